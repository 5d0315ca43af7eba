"""Segments of recordings: a path may end in ``#t=START,END``, as media fragments are written.

The times are in seconds; without an end, the segment goes to the end of the recording.
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

import numpy as np

__all__ = ["Segment", "split_segment", "with_segment"]

FRAGMENT: Final = re.compile(r"(.+)#t=(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)?", re.DOTALL)


class Segment(NamedTuple):
    """A recording or a part of it.

    Attributes:
        path: Path or URL of the recording.
        start_s: Start in seconds.
        end_s: End in seconds; ``None`` for the end of the recording.
    """

    path: str
    start_s: float = 0.0
    end_s: float | None = None

    def cut(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """Return the samples of the segment.

        Args:
            samples: Samples of the recording, shape ``(n_samples, ...)``.
            rate: Sample rate in Hz.

        Raises:
            ValueError: If the segment ends after the recording, or contains no sample.
        """
        start = round(self.start_s * rate)
        stop = len(samples) if self.end_s is None else round(self.end_s * rate)
        seconds = len(samples) / rate
        # Times are often rounded to a hundredth of a second.
        if stop > len(samples) + 0.01 * rate or start >= len(samples):
            end = "" if self.end_s is None else f" to {self.end_s:g} s"
            raise ValueError(
                f"the segment from {self.start_s:g} s{end} is not inside the recording of {seconds:.2f} s"
            )
        if stop <= start:
            raise ValueError(f"the segment from {self.start_s:g} to {self.end_s:g} s is empty")
        return samples[start:stop]


def with_segment(path: str, start_s: float | None, end_s: float | None) -> str:
    """Write a segment behind a path; the whole recording is the path alone.

    Example:
        >>> with_segment("call.wav", 1.5, 3.0), with_segment("call.wav", None, None)
        ('call.wav#t=1.5,3', 'call.wav')
    """
    if not start_s and end_s is None:
        return path
    return f"{path}#t={_time(start_s or 0.0)},{'' if end_s is None else _time(end_s)}"


def split_segment(path: str | os.PathLike[str]) -> Segment:
    """Read the segment behind a path.

    Example:
        >>> split_segment("call.wav#t=1.5,3")
        Segment(path='call.wav', start_s=1.5, end_s=3.0)
    """
    text = os.fspath(path)
    match = FRAGMENT.fullmatch(text)
    if match is None:
        return Segment(text)
    return Segment(match[1], float(match[2]), float(match[3]) if match[3] else None)


def _time(seconds: float) -> str:
    """Microseconds are kept, zeros at the end are not."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
