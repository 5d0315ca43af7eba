"""Precision, recall and false alarms of flags, from items that were sampled for review."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from speech_emotion.bootstrap import (
    bootstrap_counts,
    bootstrap_interval,
    no_event_rate,
    share_interval,
)

__all__ = ["evaluate_flags", "false_alarms_per_hour", "reliability"]

METRICS: Final = ("precision", "recall", "f1", "false_alarms_per_hour")


def false_alarms_per_hour(items: pd.DataFrame, flagged: np.ndarray, hours: float) -> float:
    """Estimate the false alarms in an hour of calls.

    Args:
        items: Items of :class:`speech_emotion.feedback.Judged`.
        flagged: Which of them are flagged, shape ``(n,)``.
        hours: Hours of calls that the items were sampled from.
    """
    wrong = items["weight"] * items["alarms"] * (1 - items["angry"]) * flagged
    return float(wrong.sum()) / hours if hours else float("nan")


def evaluate_flags(
    items: pd.DataFrame,
    flagged: dict[str, np.ndarray],
    hours: float,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare ways to flag on the same judged items.

    Every item weighs 1 over its sampling probability. Precision is the share of alarms that are angry;
    recall the share of the seconds of angry speech that are flagged; ``f1`` their harmonic mean.
    Intervals come from a bootstrap over callers, in which the hours stay.

    Args:
        items: Items of :class:`speech_emotion.feedback.Judged`, all of one part.
        flagged: Which items are flagged, shape ``(n,)``, by the name of the operation. The others are
            compared with the first.
        hours: Hours of calls that the items were sampled from.
        resamples: Resamples of callers.
        seed: Seed of the resampling.

    Returns:
        ``operation``, ``precision``, ``recall``, ``f1``, ``false_alarms_per_hour``, each with ``_low`` and
        ``_high``; ``f1_difference`` to the first operation with its interval; ``n_items``, ``n_angry``,
        ``n_flagged``, ``n_calls``, ``n_callers``, ``hours``.
    """
    codes, callers = pd.factorize(items["caller"])
    counts = bootstrap_counts(max(len(callers), 1), resamples=resamples, seed=seed)
    angry = items["angry"].to_numpy(dtype=float)
    weight = items["weight"].to_numpy(dtype=float)
    alarms = weight * items["alarms"].to_numpy(dtype=float)
    seconds = weight * items["seconds"].to_numpy(dtype=float)
    rows, first = [], None
    for name, mask in flagged.items():
        sums = np.zeros((4, max(len(callers), 1)))
        parts = (alarms * angry * mask, alarms * (1 - angry) * mask, seconds * angry * mask)
        for row, values in zip(sums, (*parts, seconds * angry), strict=True):
            np.add.at(row, codes, values)
        values = _metrics(sums.sum(axis=1), hours)
        resampled = _metrics(sums @ counts.T, hours)
        result: dict[str, object] = {"operation": name}
        right, false, found, all_angry = sums
        bounds: dict[str, tuple[Any, Any]] = {
            "precision": share_interval(right, right + false, counts)[1:],
            "recall": share_interval(found, all_angry, counts)[1:],
            "f1": bootstrap_interval(resampled["f1"], len(callers)),
            "false_alarms_per_hour": bootstrap_interval(
                resampled["false_alarms_per_hour"], len(callers)
            ),
        }
        if not false.any() and len(callers) > 1:
            # An unseen false alarm would weigh as much as the alarms that were judged.
            largest = float(alarms[mask].max()) if mask.any() else 1.0
            bounds["false_alarms_per_hour"] = (0.0, largest * no_event_rate(hours))
        for metric in METRICS:
            result[metric] = float(values[metric])
            result[f"{metric}_low"], result[f"{metric}_high"] = map(float, bounds[metric])
        if first is None:
            first = values["f1"], resampled["f1"]
        low, high = bootstrap_interval(resampled["f1"] - first[1], len(callers))
        result |= {
            "f1_difference": float(values["f1"] - first[0]),
            "f1_difference_low": float(low),
            "f1_difference_high": float(high),
            "n_items": len(items),
            "n_angry": int((angry > 0.5).sum()),
            "n_flagged": int(mask.sum()),
            "n_calls": items["call"].nunique(),
            "n_callers": len(callers),
            "hours": hours,
        }
        rows.append(result)
    return pd.DataFrame(rows)


def _metrics(sums: np.ndarray, hours: float) -> dict[str, np.ndarray]:
    """Compute the metrics from sums of shape ``(4, …)``."""
    right, wrong, found, angry = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = right / (right + wrong)
        recall = found / angry
        f1 = 2 * precision * recall / (precision + recall)
        alarms = wrong / hours
    # Without an alarm nothing is found, whatever the precision is.
    f1 = np.where((found == 0) & (angry > 0), 0.0, f1)
    return dict(zip(METRICS, (precision, recall, f1, alarms), strict=True))


def reliability(items: pd.DataFrame, scores: np.ndarray, *, bins: int) -> pd.DataFrame:
    """Compare scores with the share of items that reviewers call angry.

    Args:
        items: Items of :class:`speech_emotion.feedback.Judged`.
        scores: Score of each, shape ``(n,)``.
        bins: Number of bins with about the same number of items.

    Returns:
        ``score`` and ``angry``, weighted means of each bin, ``low`` and ``high`` of ``angry`` (Wilson, with
        the effective number of items), ``n``.
    """
    if not len(items):
        return pd.DataFrame(columns=["score", "angry", "low", "high", "n"], dtype=float)
    order = np.argsort(scores, kind="stable")
    rows = []
    for part in np.array_split(order, min(bins, len(order))):
        weight = items["weight"].to_numpy(dtype=float)[part]
        share = float(np.average(items["angry"].to_numpy(dtype=float)[part], weights=weight))
        effective = weight.sum() ** 2 / np.square(weight).sum()
        low, high = _wilson(share, effective)
        rows.append((np.average(scores[part], weights=weight), share, low, high, len(part)))
    return pd.DataFrame(rows, columns=["score", "angry", "low", "high", "n"])


def _wilson(share: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share of ``n`` items (E. B. Wilson, 1927)."""
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(max(center - half, 0)), float(min(center + half, 1))
