"""Times within a call as people read them."""

from __future__ import annotations

import math

__all__ = ["format_clock"]


def format_clock(seconds: float) -> str:
    """Format seconds as ``m:ss`` or ``h:mm:ss``; a dash if the value is missing.

    Example:
        >>> format_clock(75.4), format_clock(3675), format_clock(float("nan"))
        ('1:15', '1:01:15', '–')
    """
    if math.isnan(seconds):
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
