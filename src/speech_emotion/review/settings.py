"""Settings of the review application, and of how long results of calls are kept."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from speech_emotion.config import Settings

__all__ = ["QueueSettings", "RetentionSettings", "ReviewSettings"]

Days = Annotated[int, Field(ge=1)] | None


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone: write it as Europe/London") from None
    return name


class QueueSettings(Settings):
    """What is reviewed, and by how many. Leads change these values in the application.

    Attributes:
        uncertain: Unflagged windows with a score near the threshold or above it that are drawn at random
            from each batch of newly scored calls.
        uncertain_from: Share of the threshold from which an unflagged window is uncertain.
        random: Other unflagged windows that are drawn at random, so that misses can be estimated.
        double_review: Share of the items that two reviewers judge, for their agreement.
        blind: Hide score, reason and emotions until the verdict, so that they do not influence it.
        lease_minutes: An item that was opened but not judged goes to another reviewer after this time.
        context_s: Seconds that are shown before and after a passage.
    """

    uncertain: int = Field(100, ge=0)
    uncertain_from: float = Field(0.5, gt=0, le=1)
    random: int = Field(100, ge=0)
    double_review: float = Field(0.1, ge=0, le=1)
    blind: bool = False
    lease_minutes: float = Field(30.0, gt=0)
    context_s: float = Field(10.0, ge=0, le=120)


class RetentionSettings(Settings):
    """Days after which ``speech-emotion purge`` erases what is stored of a call; ``None`` for no limit.

    Attributes:
        passages: Everything: passages, summaries, pages, exports and verdicts.
        windows: Scored windows, and the timelines made of them.
        embeddings: Voices of the parties, which the inspection of a recording stores.
        verdict_audio: Compressed copies of the recording, waveforms and spectrograms, and clips of the
            corpus of reviewed calls.
    """

    passages: Days = 365
    windows: Days = 365
    embeddings: Days = 90
    verdict_audio: Days = 90


class ReviewSettings(Settings):
    """The review application.

    Attributes:
        time_zone: Zone of starts without an offset, and of what the pages show; UTC is stored.
        channels: ``all`` channels of a recording are played, or the ``scored`` one alone.
        session_minutes: A session ends after this time without a request.
        session_hours: A session ends after this time in any case.
        login_attempts: Failed logins of a name within ``login_minutes`` until it has to wait; an address may
            have four times as many.
        login_minutes: See ``login_attempts``.
        requests_per_minute: Requests of a user, or of an address that is not logged in.
        seed: Seed of the samples.
        queue: What is reviewed, and by how many, until a lead changes it.
        retention: How long results are kept.

    Example:
        >>> ReviewSettings(queue={"random": 50}).queue.random
        50
    """

    time_zone: Annotated[str, AfterValidator(_known_zone)] = "Europe/London"
    channels: Literal["all", "scored"] = "all"
    session_minutes: float = Field(60.0, gt=0)
    session_hours: float = Field(12.0, gt=0)
    login_attempts: int = Field(5, ge=1)
    login_minutes: float = Field(5.0, gt=0)
    requests_per_minute: int = Field(600, ge=10)
    seed: int = 0
    queue: QueueSettings = QueueSettings()
    retention: RetentionSettings = RetentionSettings()
