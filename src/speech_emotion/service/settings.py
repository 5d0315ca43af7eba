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
        parallel: Recordings that are scored at the same time; further requests are told to try again.
    """

    max_bytes: int = Field(100_000_000, ge=1)
    max_seconds: float = Field(7200.0, gt=0)
    timeout_s: float = Field(300.0, gt=0)
    parallel: int = Field(2, ge=1)
