"""Limits of the HTTP service."""

from __future__ import annotations

from pydantic import Field

from speech_emotion.config import Settings

__all__ = ["ServiceSettings"]


class ServiceSettings(Settings):
    """Limits of the HTTP service.

    Attributes:
        max_bytes: Largest recording.
        max_seconds: Longest recording.
        timeout_s: Longest time to score a recording; scoring ends then.
        parallel: Recordings that are scored at the same time.
        wait_s: Seconds that a further request waits for its turn; then it is told to try again.
        waiting: Requests that are received or wait; further ones are told to try again at once.
    """

    max_bytes: int = Field(100_000_000, ge=1)
    max_seconds: float = Field(7200.0, gt=0)
    timeout_s: float = Field(300.0, gt=0)
    parallel: int = Field(2, ge=1)
    wait_s: float = Field(30.0, ge=0)
    waiting: int = Field(200, ge=1)
