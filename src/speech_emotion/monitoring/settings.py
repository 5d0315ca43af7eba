"""Settings of monitoring."""

from __future__ import annotations

from datetime import date

from pydantic import Field, model_validator

from speech_emotion.config import Settings

__all__ = ["MonitoringSettings"]


class MonitoringSettings(Settings):
    """Which periods are compared, and when a difference is an alarm.

    Attributes:
        start: First day of the period; ``None`` for the last ``days`` days with calls.
        end: Last day of the period; ``None`` for the last day with calls.
        days: Length of the period if ``start`` is not set.
        reference_start: First day of the reference; ``None`` for as many days as the period has.
        reference_end: Last day of the reference; ``None`` for the day before the period.
        min_calls: Calls that both periods need.
        alpha: Probability of at least one alarm among all measures if nothing has changed, at most.
        min_distance: Smallest Kolmogorov-Smirnov distance of a measure that is an alarm.
        min_h: Smallest Cohen's h of a share that is an alarm.

    Example:
        >>> MonitoringSettings(start="2026-02-01", end="2026-01-01")
        Traceback (most recent call last):
            ...
        pydantic_core._pydantic_core.ValidationError: ...
    """

    start: date | None = None
    end: date | None = None
    days: int = Field(7, ge=1, le=3660)
    reference_start: date | None = None
    reference_end: date | None = None
    min_calls: int = Field(30, ge=5)
    alpha: float = Field(0.01, gt=0, lt=0.5)
    min_distance: float = Field(0.15, ge=0, lt=1)
    min_h: float = Field(0.2, ge=0, lt=3)

    @model_validator(mode="after")
    def _in_order(self) -> MonitoringSettings:
        for first, last in (("start", "end"), ("reference_start", "reference_end")):
            begins, ends = getattr(self, first), getattr(self, last)
            if begins and ends and ends < begins:
                raise ValueError(f"{last} {ends} is before {first} {begins}")
        return self
