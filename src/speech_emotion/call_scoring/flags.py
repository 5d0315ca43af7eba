"""From probabilities to flags: smoothing, hysteresis, passages."""

from __future__ import annotations

from collections import deque

import numpy as np
import pandas as pd

from speech_emotion.call_scoring.settings import FlagSettings

__all__ = ["Hysteresis", "passages_of"]


class Hysteresis:
    """Raise a flag after several windows over the threshold, lower it clearly below.

    Args:
        threshold: Score from which a window speaks for the flag.
        settings: Smoothing, windows that raise the flag, and where it falls.
    """

    def __init__(self, threshold: float, settings: FlagSettings):
        self._threshold = threshold
        self._release = threshold * settings.release
        self._needed = settings.consecutive
        self._last: deque[float] = deque(maxlen=settings.smoothing)
        self._over = 0
        self._up = False

    def __call__(self, probability: float) -> tuple[float, bool]:
        """Take the probability of the next window; return its score and whether the flag is up."""
        self._last.append(probability)
        score = float(np.mean(self._last))
        self._over = self._over + 1 if score >= self._threshold else 0
        if self._over >= self._needed:
            self._up = True
        elif score < self._release:
            self._up = False
        return score, self._up


def passages_of(windows: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Find the flagged passages of one channel.

    A passage begins with the first of the windows over the threshold that raised the flag.

    Args:
        windows: ``start_s``, ``end_s``, ``score`` and ``flagged`` of its windows in their order.
        threshold: The threshold they were flagged by.

    Returns:
        ``start_s``, ``end_s`` and ``peak``, the highest score of the passage.
    """
    flagged = windows["flagged"].to_numpy(dtype=bool)
    over = windows["score"].to_numpy() >= threshold
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flagged.astype(int), [0]])))
    rows = []
    for raised, stop in zip(edges[::2], edges[1::2], strict=True):
        first = raised
        while first > 0 and over[first - 1] and not flagged[first - 1]:
            first -= 1
        part = windows.iloc[first:stop]
        rows.append((part["start_s"].iloc[0], part["end_s"].iloc[-1], part["score"].max()))
    return pd.DataFrame(rows, columns=["start_s", "end_s", "peak"]).astype(float)
