"""Flags from probabilities: smoothing, hysteresis, passages."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
import pandas as pd

from speech_emotion.call_scoring.settings import FlagSettings

__all__ = [
    "PASSAGE_COLUMNS",
    "Hysteresis",
    "capacity_threshold",
    "find_passages",
    "flag_again",
    "sustained_score",
]

PASSAGE_COLUMNS: Final = ["start_s", "end_s", "speech_s", "peak", "peak_s"]


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


def find_passages(windows: pd.DataFrame, threshold: float, settings: FlagSettings) -> pd.DataFrame:
    """Find the flagged passages of one channel.

    A passage has all windows that raised the flag: the consecutive windows at or above the threshold,
    and those before them that entered their smoothed scores. So it contains the window with the highest
    probability. It ends with the flag, and at a silence longer than ``settings.max_silence_s``.

    Args:
        windows: ``start_s``, ``end_s``, ``speech_share``, ``p_<target>``, ``score`` and ``flagged`` of the
            channel's windows in domain, in order.
        threshold: Threshold that the windows were flagged with.
        settings: Target, smoothing and longest silence.

    Returns:
        :data:`PASSAGE_COLUMNS`: ``start_s`` and ``end_s``; ``speech_s``, the seconds of speech between
        them; ``peak``, the highest score; ``peak_s``, the start of the window with the highest
        probability of the target.
    """
    starts, ends = windows["start_s"].to_numpy(), windows["end_s"].to_numpy()
    probabilities = windows[f"p_{settings.target}"].to_numpy()
    scores, within = windows["score"].to_numpy(), _raising_windows(windows, threshold, settings)
    rows = []
    for first, stop in _runs(within, starts, ends, settings.max_silence_s):
        part = slice(first, stop)
        speech_s = _speech_seconds(
            starts[part], ends[part], windows["speech_share"].to_numpy()[part]
        )
        strongest = first + int(probabilities[part].argmax())
        rows.append(
            (starts[first], ends[part].max(), speech_s, scores[part].max(), starts[strongest])
        )
    return pd.DataFrame(rows, columns=PASSAGE_COLUMNS).astype(float)


def _raising_windows(windows: pd.DataFrame, threshold: float, settings: FlagSettings) -> np.ndarray:
    """Mark the flagged windows, and those before them that raised the flag."""
    within = windows["flagged"].to_numpy(dtype=bool).copy()
    above = windows["score"].to_numpy() >= threshold
    for raised in np.flatnonzero(within & ~np.append(False, within[:-1])):
        first = raised
        while first > 0 and above[first - 1]:
            first -= 1
        within[max(first - settings.smoothing + 1, 0) : raised] = True
    return within


def _runs(
    within: np.ndarray, starts: np.ndarray, ends: np.ndarray, max_silence_s: float
) -> list[tuple[int, int]]:
    """Return first window and window after the last of each run without a long silence."""
    marked = np.flatnonzero(within)
    if not len(marked):
        return []
    apart = np.diff(marked) > 1
    apart |= starts[marked[1:]] - ends[marked[:-1]] > max_silence_s
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(marked, np.flatnonzero(apart) + 1)]


def _speech_seconds(starts: np.ndarray, ends: np.ndarray, shares: np.ndarray) -> float:
    """Return the seconds of speech in windows that may overlap.

    Where windows overlap, the mean of their shares of speech counts.
    """
    edges = np.unique(np.concatenate([starts, ends]))
    middles = (edges[1:] + edges[:-1]) / 2
    covers = (starts[:, None] <= middles) & (middles < ends[:, None])
    n_covering = covers.sum(axis=0)
    density = (shares @ covers) / np.maximum(n_covering, 1)
    return float(density @ np.diff(edges))


def sustained_score(scores: pd.Series, consecutive: int) -> float:
    """Return the highest threshold at which a channel is flagged; 0 if it has too few windows.

    Args:
        scores: Scores of the channel's windows in domain, in order.
        consecutive: Windows at or above the threshold that raise the flag.

    Example:
        >>> sustained_score(pd.Series([0.2, 0.9, 0.6, 0.7]), 2)
        0.6
    """
    lowest = scores.rolling(consecutive).min()
    return float(lowest.max()) if lowest.notna().any() else 0.0


def capacity_threshold(sustained: np.ndarray, per_100_calls: float) -> float:
    """Return the threshold that flags about a given share of channels, and never more.

    Args:
        sustained: Result of :func:`sustained_score` of each channel, shape ``(n,)``.
        per_100_calls: Channels to flag of 100.

    Returns:
        Threshold in (0, 1]; with equal scores at the limit, fewer channels are flagged.

    Example:
        >>> capacity_threshold(np.array([0.1, 0.5, 0.7, 0.9]), 50) < 0.7
        True
    """
    ranked = np.sort(sustained)[::-1]
    n_flagged = int(len(ranked) * per_100_calls / 100)
    above = ranked[n_flagged] if n_flagged < len(ranked) else 0.0
    return float(np.nextafter(max(above, 0.0), 2.0))


def flag_again(windows: pd.DataFrame, threshold: float, settings: FlagSettings) -> pd.DataFrame:
    """Flag the windows of all channels anew with another threshold; scores stay.

    Args:
        windows: ``call``, ``channel``, ``score`` and ``out_of_domain`` in the order of time.
        threshold: Score from which a window counts towards the flag.
        settings: Number of consecutive windows, release level.
    """
    plain = settings.model_copy(update={"smoothing": 1})  # the scores are smoothed already
    flagged = np.zeros(len(windows), dtype=bool)
    scored = windows.reset_index(drop=True)
    scored = scored[scored["out_of_domain"] == ""]
    for _, channel in scored.groupby(["call", "channel"], sort=False):
        hysteresis = Hysteresis(threshold, plain)
        flagged[channel.index] = [hysteresis(score)[1] for score in channel["score"]]
    return windows.assign(flagged=flagged)
