"""What a user may set about calls, checked before any work."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from speech_emotion.config import Settings

__all__ = [
    "CallSettings",
    "FlagSettings",
    "QualitySettings",
    "WindowSettings",
]


class WindowSettings(Settings):
    """How speech is cut into windows that are judged like utterances.

    Attributes:
        speech_s: Seconds of speech a window.
        step_s: Seconds of further speech until the next window.
        min_speech_s: Speech that is judged on its own where a pause ends it.
        pause_s: A pause so long ends a window; shorter ones are closed up.
    """

    renamed: ClassVar[dict[str, str]] = {"shortest_s": "min_speech_s"}

    speech_s: float = Field(5.0, ge=2.0, le=10.0)
    step_s: float = Field(2.5, ge=0.5)
    min_speech_s: float = Field(1.0, ge=0.3)
    pause_s: float = Field(2.0, ge=0.5)

    @model_validator(mode="after")
    def _overlapping(self) -> WindowSettings:
        for name in ("step_s", "min_speech_s"):
            if getattr(self, name) > self.speech_s:
                raise ValueError(
                    f"{name} {getattr(self, name)} is above speech_s {self.speech_s}: some speech "
                    "would never be judged"
                )
        return self


class QualitySettings(Settings):
    """Sound that is judged; what lies outside is sent to a person.

    Attributes:
        min_snr_db: Speech less than this above the noise is not judged.
        max_clipped: Share of samples at full scale from which a window is not judged.
        max_tonal: Share of steady tones from which a window is music or a signal tone.
        min_speech_s: A channel with less speech in the whole call is not judged.
        max_out_of_domain: Share of windows outside the domain from which a call is sent to a person.
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
    min_speech_s: float = Field(5.0, ge=0)
    max_out_of_domain: float = Field(0.5, gt=0, le=1)


class FlagSettings(Settings):
    """From probabilities to flags.

    Attributes:
        target: Label that is looked for.
        threshold: Smoothed probability from which speech is flagged; ``None`` takes the one that is
            stored with the model.
        smoothing: Windows that a score is the mean of.
        consecutive: Neighbouring windows over the threshold that raise a flag.
        release: The flag falls where the score is below this share of the threshold.
    """

    target: str = "angry"
    threshold: float | None = Field(None, gt=0, lt=1)
    smoothing: int = Field(3, ge=1)
    consecutive: int = Field(2, ge=1)
    release: float = Field(0.7, gt=0, le=1)


class CallSettings(Settings):
    """How calls are scored.

    Attributes:
        customer_channel: Channel of the customer, from 0; the only channel of a mono recording is
            taken for one party.
        score_agent: Also score all other channels. An employee's emotions at work may not be
            inferred in the European Union (Regulation (EU) 2024/1689, Article 5(1)(f)), but for
            medical or safety reasons; whoever sets this answers for its legality where the agent
            works, and for telling the agent.
        min_call_s: Shorter recordings are rejected.
        batch: Windows that are judged at once.
        n_jobs: Recordings that are scored at the same time; -1 for one a core.
        windows: How speech is cut.
        quality: What is judged.
        flags: How flags are raised.
    """

    renamed: ClassVar[dict[str, str]] = {
        "shortest_call_s": "min_call_s",
        "domain": "quality",
        "normalization": "was removed: windows are always scored as they are; delete it",
        "prior": "was removed with 'normalization'; delete it",
    }

    customer_channel: int = Field(0, ge=0)
    score_agent: bool = False
    min_call_s: float = Field(5.0, ge=0)
    batch: int = Field(256, ge=1)
    n_jobs: int = -1
    windows: WindowSettings = WindowSettings()
    quality: QualitySettings = QualitySettings()
    flags: FlagSettings = FlagSettings()
