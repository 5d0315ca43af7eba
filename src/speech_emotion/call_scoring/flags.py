"""Flags from probabilities: smoothing, hysteresis, passages."""

from __future__ import annotations

from collections import deque

import numpy as np
import pandas as pd

from speech_emotion.call_scoring.settings import FlagSettings

__all__ = ["Hysteresis", "find_passages"]


class Hysteresis:
    """Raise a flag after several windows at or above the threshold, and clear it well below.

    Args:
        threshold: Score from which a window counts towards the flag.
        settings: Smoothing, number of consecutive windows, release level.

    Example:
        >>> hysteresis = Hysteresis(0.5, FlagSettings(smoothing=1, consecutive=2))
        >>> [hysteresis(probability)[1] for probability in (0.6, 0.7, 0.4, 0.3)]
        [False, True, True, False]
    """

    def __init__(self, threshold: float, settings: FlagSettings):
        self._threshold = threshold
        self._release = threshold * settings.release
        self._consecutive = settings.consecutive
        self._recent: deque[float] = deque(maxlen=settings.smoothing)
        self._n_above = 0
        self._flagged = False

    def __call__(self, probability: float) -> tuple[float, bool]:
        """Add the probability of the next window; return its score and whether it is flagged."""
        self._recent.append(probability)
        score = float(np.mean(self._recent))
        self._n_above = self._n_above + 1 if score >= self._threshold else 0
        if self._n_above >= self._consecutive:
            self._flagged = True
        elif score < self._release:
            self._flagged = False
        return score, self._flagged


def find_passages(windows: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Find the flagged passages of one channel.

    A passage starts with the first of the consecutive windows that raised the flag.

    Args:
        windows: ``start_s``, ``end_s``, ``score`` and ``flagged`` of the channel's windows, in order.
        threshold: Threshold that the windows were flagged with.

    Returns:
        ``start_s``, ``end_s`` and ``peak``, the highest score of the passage.
    """
    flagged = windows["flagged"].to_numpy(dtype=bool)
    above = windows["score"].to_numpy() >= threshold
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flagged.astype(int), [0]])))
    rows = []
    for raised, stop in zip(edges[::2], edges[1::2], strict=True):
        first = raised
        while first > 0 and above[first - 1] and not flagged[first - 1]:
            first -= 1
        passage = windows.iloc[first:stop]
        rows.append((passage["start_s"].iloc[0], passage["end_s"].iloc[-1], passage["score"].max()))
    return pd.DataFrame(rows, columns=["start_s", "end_s", "peak"]).astype(float)
