"""What of a scored call is reviewed: flagged passages, calls to review, and samples of unflagged windows."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from speech_emotion.review.settings import QueueSettings

__all__ = [
    "KINDS",
    "REASONS",
    "Candidate",
    "WindowSample",
    "candidates_of_call",
    "dominant_emotion",
]

KINDS: Final = ("passage", "window", "call")
REASONS: Final = ("flagged", "uncertain", "review", "random")
REVIEW: Final = "review"


class Candidate(NamedTuple):
    """Something to review.

    Attributes:
        scored_call: Identifier of the scored channel.
        kind: One of :data:`KINDS`.
        reason: One of :data:`REASONS`.
        start_s: Start in the call, in seconds.
        end_s: End.
        score: Score of the model; ``None`` for a call without a scored window.
        label: Dominant emotion.
        sampling_probability: Probability with which it was chosen for review, in (0, 1].
    """

    scored_call: str
    kind: str
    reason: str
    start_s: float
    end_s: float
    score: float | None
    label: str
    sampling_probability: float = 1.0


def candidates_of_call(
    scored_call: str,
    row: dict[str, Any],
    windows: pd.DataFrame,
    passages: pd.DataFrame,
    labels: list[str],
) -> list[Candidate]:
    """Return what is reviewed of a channel in any case: its flagged passages, or the whole call.

    Args:
        scored_call: Identifier of the scored channel.
        row: Row of the summary.
        windows: Windows of the channel.
        passages: Flagged passages of the channel.
        labels: Labels of the model.
    """
    found = [
        Candidate(
            scored_call,
            "passage",
            "flagged",
            float(passage["start_s"]),
            float(passage["end_s"]),
            float(passage["peak"]),
            dominant_emotion(windows, labels, passage["start_s"], passage["end_s"]),
        )
        for passage in passages.sort_values("start_s").to_dict("records")
    ]
    if row["flag"] == REVIEW:
        end = float(row["minutes"]) * 60
        label = dominant_emotion(windows, labels, 0.0, end)
        score = optional_number(row["score"])
        found.append(Candidate(scored_call, "call", REVIEW, 0.0, end, score, label))
    return found


def optional_number(value: Any) -> float | None:
    """Return a number of a table, or ``None`` if it is missing."""
    return None if pd.isna(value) else float(value)


def dominant_emotion(windows: pd.DataFrame, labels: list[str], start_s: float, end_s: float) -> str:
    """Return the label with the highest mean probability between two times, or "" if none was scored."""
    within = windows[(windows["end_s"] > start_s) & (windows["start_s"] < end_s)]
    means = within[[f"p_{label}" for label in labels]].mean().to_numpy()
    return "" if not len(means) or np.isnan(means).all() else labels[int(np.nanargmax(means))]


class WindowSample:
    """Two random samples without replacement of unflagged windows, drawn while windows are read.

    A window is `uncertain` if its score is near the threshold or above it, else it is in the stratum
    `random`. Each sample is drawn from all windows of its stratum with the same probability.

    Args:
        settings: Size of the samples.
        seed: Seed of the draws.

    Example:
        >>> sample = WindowSample(QueueSettings(random=2, uncertain=1), seed=0)
        >>> windows = pd.DataFrame(
        ...     {
        ...         "start_s": [0.0, 3.0, 6.0, 9.0],
        ...         "end_s": [3.0, 6.0, 9.0, 12.0],
        ...         "score": [0.1, 0.0, 0.2, 0.4],
        ...         "flagged": False,
        ...         "emotion": "neutral",
        ...         "p_angry": [0.1, 0.0, 0.2, 0.4],
        ...     }
        ... )
        >>> sample.add("call", windows, pd.DataFrame(columns=["start_s", "end_s"]), 0.5)
        >>> [(chosen.reason, round(chosen.sampling_probability, 3)) for chosen in sample.chosen()]
        [('random', 0.667), ('random', 0.667), ('uncertain', 1.0)]
    """

    def __init__(self, settings: QueueSettings, *, seed: int):
        self._settings = settings
        self._rng = np.random.default_rng(seed)
        self._sizes = {"random": settings.random, "uncertain": settings.uncertain}
        self._kept: dict[str, list[tuple[float, int, Candidate]]] = {n: [] for n in self._sizes}
        self._counts = dict.fromkeys(self._sizes, 0)

    def add(
        self, scored_call: str, windows: pd.DataFrame, passages: pd.DataFrame, threshold: float
    ) -> None:
        """Add the windows of a channel.

        Args:
            scored_call: Identifier of the scored channel.
            windows: Windows; those that were not scored are left out.
            passages: Flagged passages; windows that overlap them are left out.
            threshold: Threshold of the model.
        """
        probabilities = [name for name in windows if str(name).startswith("p_")]
        scored = windows[windows[probabilities].notna().all(axis=1)]
        scored = scored[~scored["flagged"].astype(bool)]
        for passage in passages[["start_s", "end_s"]].itertuples(index=False):
            outside = (scored["end_s"] <= passage.start_s) | (scored["start_s"] >= passage.end_s)
            scored = scored[outside]
        keys = self._rng.random(len(scored))
        uncertain = scored["score"].to_numpy() >= self._settings.uncertain_from * threshold
        for reason, chosen in (("uncertain", uncertain), ("random", ~uncertain)):
            rows = np.flatnonzero(chosen)
            # Of more windows of one call than the sample has, the others cannot be part of it.
            rows = rows[np.argsort(keys[rows])][: self._sizes[reason]]
            self._counts[reason] += int(chosen.sum())
            self._keep(reason, scored_call, scored.iloc[rows], keys[rows])

    def _keep(
        self, reason: str, scored_call: str, windows: pd.DataFrame, keys: Iterable[float]
    ) -> None:
        """Keep the windows with the smallest random keys: a sample without replacement."""
        heap, size = self._kept[reason], self._sizes[reason]
        columns = ["start_s", "end_s", "score", "emotion"]
        for key, values in zip(keys, windows[columns].itertuples(index=False), strict=True):
            start, end, score, emotion = values
            candidate = Candidate(
                scored_call, "window", reason, float(start), float(end), float(score), str(emotion)
            )
            entry = (-float(key), len(heap), candidate)
            if len(heap) < size:
                heapq.heappush(heap, entry)
            elif size and entry[0] > heap[0][0]:
                heapq.heapreplace(heap, entry)

    def chosen(self) -> list[Candidate]:
        """Return the samples, with the probability of each window to be part of its sample."""
        found = []
        for reason, heap in self._kept.items():
            share = len(heap) / max(self._counts[reason], 1)
            found += [
                candidate._replace(sampling_probability=share)
                for _, _, candidate in sorted(heap, reverse=True)
            ]
        return found
