"""Settings of the feedback of reviewers."""

from __future__ import annotations

from pydantic import Field

from speech_emotion.config import Settings

__all__ = ["FeedbackSettings"]


class FeedbackSettings(Settings):
    """How verdicts are evaluated, and when a model is recalibrated.

    Attributes:
        false_alarms_per_hour: Largest accepted number of false alarms in an hour of calls; the threshold
            is chosen by it.
        test_share: Share of the callers whose verdicts are set aside to test the recalibrated model.
        min_verdicts: Angry and not angry items that recalibration needs, each.
        thresholds: Thresholds that are tried.
        bins: Bins of the reliability diagram.
        bootstrap: Resamples of callers behind each interval.
        seed: Seed of the resampling.
    """

    false_alarms_per_hour: float = Field(0.5, gt=0, le=1000)
    test_share: float = Field(0.5, gt=0, lt=1)
    min_verdicts: int = Field(20, ge=2)
    thresholds: int = Field(50, ge=2, le=1000)
    bins: int = Field(8, ge=2, le=50)
    bootstrap: int = Field(1000, ge=1, le=100_000)
    seed: int = 0
