"""Settings of call scoring, validated before a run starts."""

from __future__ import annotations

import re
from typing import ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from speech_emotion.audio import SoundLimits
from speech_emotion.config import Settings
from speech_emotion.text_tables import check_encoding, check_separator

__all__ = [
    "CALL_FIELDS",
    "CallSettings",
    "FlagSettings",
    "QualitySettings",
    "WindowSettings",
]

CALL_FIELDS: Final = (
    "call_id",
    "agent",
    "queue",
    "direction",
    "started",
    "customer_channel",
    "first_speaker",
    "customer_id",
)
"""What can be known of a call. All are text, empty if unknown; the channel is a number, -1 if unknown."""


class WindowSettings(Settings):
    """How speech is cut into windows; each window is scored like one utterance.

    Attributes:
        speech_s: Seconds of speech in a window.
        step_s: Seconds of speech from the start of one window to the start of the next.
        min_speech_s: Shortest window, in seconds of speech; shorter rests before a pause are dropped.
        pause_s: Pauses of at least this length end a window; shorter ones are cut out.
    """

    renamed: ClassVar[dict[str, str]] = {"shortest_s": "min_speech_s"}

    speech_s: float = Field(3.0, ge=2.0, le=10.0)
    step_s: float = Field(1.5, ge=0.5)
    min_speech_s: float = Field(1.0, ge=0.3)
    pause_s: float = Field(2.0, ge=0.5)

    @model_validator(mode="after")
    def _cover_all_speech(self) -> WindowSettings:
        for name in ("step_s", "min_speech_s"):
            if getattr(self, name) > self.speech_s:
                raise ValueError(
                    f"{name} {getattr(self, name)} is above speech_s {self.speech_s}: some speech "
                    "would never be scored"
                )
        return self


class QualitySettings(Settings):
    """Limits of sound quality. Windows outside are out of domain and are not scored.

    Attributes:
        min_snr_db: Lowest signal-to-noise ratio of a scored window.
        max_clipped: Share of samples at full scale from which a window is out of domain.
        max_tonal: Share of steady tones from which a window counts as music or signal tones.
        min_speech_s: Channels with fewer seconds of speech are sent to review.
        max_out_of_domain: Share of windows out of domain from which a channel is sent to review.
    """

    renamed: ClassVar[dict[str, str]] = {
        "lowest_snr_db": "min_snr_db",
        "most_clipped": "max_clipped",
        "most_tonal": "max_tonal",
        "least_speech_s": "min_speech_s",
        "most_outside": "max_out_of_domain",
    }

    min_snr_db: float = 6.0
    max_clipped: float = Field(0.005, gt=0, le=1)
    max_tonal: float = Field(0.45, gt=0, le=1)
    min_speech_s: float = Field(4.0, ge=0)
    max_out_of_domain: float = Field(0.5, gt=0, le=1)


class FlagSettings(Settings):
    """How probabilities become flags.

    Attributes:
        target: Label to detect.
        threshold: Score from which speech is flagged; ``None`` uses the threshold stored with the
            model.
        smoothing: Number of windows over which the probability is averaged to a score.
        consecutive: Number of consecutive windows at or above the threshold that raise the flag.
        release: The flag is cleared when the score falls below this share of the threshold.
        per_100_calls: Capacity of the reviewers: the threshold is set so that about this many of 100
            scored channels are flagged, instead of ``threshold``. ``None`` uses the threshold.
        max_silence_s: A flagged passage ends at a longer silence of its channel, in which the other
            party speaks, or nobody.
    """

    target: str = "angry"
    threshold: float | None = Field(None, gt=0, lt=1)
    smoothing: int = Field(1, ge=1)
    consecutive: int = Field(3, ge=1)
    release: float = Field(0.7, gt=0, le=1)
    per_100_calls: float | None = Field(None, gt=0, lt=100)
    max_silence_s: float = Field(10.0, ge=0)

    @model_validator(mode="after")
    def _one_operating_point(self) -> FlagSettings:
        if self.threshold is not None and self.per_100_calls is not None:
            raise ValueError("set threshold or per_100_calls, not both")
        return self


class CallSettings(Settings):
    """How calls are scored.

    Attributes:
        customer_channel: Channel of the customer, from 0, where the metadata of a call names none.
        one_channel: Who speaks in recordings with one channel: ``both`` parties, who are separated by their
            voices, or the ``customer`` alone.
        score_agent: Also score all other channels. In the European Union an employee's emotions at
            work must not be inferred, except for medical or safety reasons (Regulation (EU)
            2024/1689, Article 5(1)(f)). Enable this only where it is lawful and agents are informed.
        metadata: Path or URL of a table with metadata of each call; only read if set with
            ``--params calls.metadata=PATH``.
        metadata_columns: Name in the table for each of ``recording`` and :data:`CALL_FIELDS`; those that
            are not named have their own name.
        metadata_separator: Character between values of the table, or one of ``comma``, ``semicolon``,
            ``tab``, ``pipe``; ``None`` detects it by the names of the columns.
        metadata_encoding: Encoding of the table, as ``cp1252``; ``None`` for UTF-8, or UTF-16 if it shows.
        metadata_sheet: Sheet of an Excel workbook; ``None`` for the first one.
        metadata_start_format: Format of ``started`` in :func:`time.strptime` codes; ``None`` for ISO 8601.
        name_pattern: Regular expression with groups named after :data:`CALL_FIELDS`, searched in the path
            of a recording below its folder. The table takes precedence.
        min_call_s: Shorter recordings are rejected.
        line_calls: Number of calls from which the mean embedding of the center's line is estimated, for
            models with a speech encoder; 0 disables the adaptation.
        batch: Number of windows that are scored together.
        n_jobs: Number of recordings scored in parallel; -1 for one per core.
        windows: How speech is cut into windows.
        quality: Limits of sound quality.
        flags: How flags are raised.
        limits: Largest accepted recording.

    Example:
        >>> CallSettings(flags={"threshold": 0.5}).windows.speech_s
        3.0
    """

    renamed: ClassVar[dict[str, str]] = {
        "shortest_call_s": "min_call_s",
        "domain": "quality",
        "normalization": "was removed: windows are always scored without normalization; delete it",
        "prior": "was removed with 'normalization'; delete it",
    }

    customer_channel: int = Field(0, ge=0)
    one_channel: Literal["both", "customer"] = "both"
    score_agent: bool = False
    metadata: str | None = None
    metadata_columns: dict[str, str] = Field(default_factory=dict)
    metadata_separator: str | None = None
    metadata_encoding: str | None = None
    metadata_sheet: str | None = None
    metadata_start_format: str | None = None
    name_pattern: str | None = None
    min_call_s: float = Field(5.0, ge=0)
    line_calls: int = Field(100, ge=0)
    batch: int = Field(256, ge=1)
    n_jobs: int = -1
    windows: WindowSettings = WindowSettings()
    quality: QualitySettings = QualitySettings()
    flags: FlagSettings = FlagSettings()
    limits: SoundLimits = SoundLimits()

    @field_validator("name_pattern")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        unknown = sorted(set(groups) - set(CALL_FIELDS))
        if unknown or not groups:
            found = f"the groups {', '.join(unknown)}" if unknown else "no named group"
            raise ValueError(
                f"{pattern!r} has {found}: name groups (?P<NAME>…) after {', '.join(CALL_FIELDS)}"
            )
        return pattern

    @field_validator("metadata_separator")
    @classmethod
    def _check_separator(cls, separator: str | None) -> str | None:
        return check_separator(separator)

    @field_validator("metadata_encoding")
    @classmethod
    def _check_encoding(cls, encoding: str | None) -> str | None:
        return check_encoding(encoding)

    @field_validator("metadata_columns")
    @classmethod
    def _check_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        known = ("recording", *CALL_FIELDS)
        if unknown := sorted(set(columns) - set(known)):
            raise ValueError(f"{', '.join(unknown)} is not one of {', '.join(known)}")
        return columns
