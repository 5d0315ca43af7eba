"""Resample a channel block by block, and cut it at exact times."""

from __future__ import annotations

import itertools

import numpy as np
import soxr

__all__ = ["StreamResampler"]


class StreamResampler:
    """Resample a stream, and cut it at times that are given later.

    Args:
        source: Rate of the stream in Hz.
        target: Rate of the pieces in Hz.
    """

    def __init__(self, source: int, target: int):
        self._stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="HQ")
        self._rate = target
        self._waiting = np.empty(0, dtype=np.float32)
        self._n_dropped = 0  # resampled samples before the first in `_waiting`

    @property
    def seconds(self) -> float:
        """End of the resampled sound so far, in seconds from the start."""
        return (self._n_dropped + len(self._waiting)) / self._rate

    def push(self, block: np.ndarray, *, last: bool) -> None:
        """Add a block."""
        self._waiting = np.append(self._waiting, self._stream.resample_chunk(block, last=last))

    def cut(self, edges_s: np.ndarray) -> list[np.ndarray]:
        """Return the samples between successive times in seconds from the start, and drop them."""
        edges = np.round(edges_s * self._rate).astype(int) - self._n_dropped
        pieces = [self._waiting[start:end] for start, end in itertools.pairwise(edges)]
        self._waiting = self._waiting[edges[-1] :]
        self._n_dropped += int(edges[-1])
        return pieces
