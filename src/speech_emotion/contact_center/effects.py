"""Effects of anger: whether angry calls last longer and customers call again, with effect sizes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import sparse

from speech_emotion.bootstrap import bootstrap_interval
from speech_emotion.contact_center.kpi_tables import customer_weights
from speech_emotion.contact_center.kpis import KpiSettings

__all__ = ["OUTCOMES", "anger_effects", "cliffs_delta", "cohens_h"]

OUTCOMES: Final = {
    "handle_s": "handle time, s",
    "came_back": "customer came back",
    "fcr": "resolved at first contact",
}
COLUMNS: Final = ("difference", "ratio", "adjusted_difference", "adjusted_ratio", "effect")


def cliffs_delta(values: np.ndarray, group: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return Cliff's delta: P(x > y) − P(x < y) for x in the group and y outside (Cliff 1993).

    Args:
        values: Shape ``(n,)``.
        group: Boolean, shape ``(n,)``.
        weights: Weight of each value; ``None`` for equal weights.

    Example:
        >>> cliffs_delta(np.array([3, 4, 1, 2]), np.array([True, True, False, False]))
        1.0
    """
    weights = np.ones(len(values)) if weights is None else weights
    return _delta(np.unique(values, return_inverse=True)[1], group, weights)


def _delta(code: np.ndarray, group: np.ndarray, weights: np.ndarray) -> float:
    """Compute Cliff's delta from the ranks of the values, which are the same in every resample."""
    inside = np.bincount(code, weights * group)
    outside = np.bincount(code, weights * ~group)
    below = np.cumsum(outside) - outside
    above = outside.sum() - below - outside
    return float((inside * (below - above)).sum() / (inside.sum() * outside.sum()))


def cohens_h(first: np.ndarray | float, second: np.ndarray | float) -> np.ndarray | float:
    """Return Cohen's h, the difference of two shares on the arcsine scale: 0.2 is small, 0.8 large."""
    return 2 * np.arcsin(np.sqrt(first)) - 2 * np.arcsin(np.sqrt(second))


def anger_effects(calls: pd.DataFrame, settings: KpiSettings) -> pd.DataFrame:
    """Compare angry calls with all others.

    The adjusted metrics compare calls of the same agent and topic, with Mantel-Haenszel weights (JNCI
    22, 1959), so that a topic that causes both anger and long calls does not count as an effect of
    anger. Waiting time and repeat calls, which come before anger, are not adjusted for.

    Args:
        calls: From :func:`~speech_emotion.contact_center.kpis.select_period`.
        settings: Bootstrap and smallest number of calls.

    Returns:
        One row per outcome: ``outcome``, ``n_angry``, ``n_other``, ``angry`` and ``other`` (means or
        shares); ``difference``, ``ratio``, ``adjusted_difference``, ``adjusted_ratio`` and ``effect``
        (Cliff's delta for times, Cohen's h for shares, see ``effect_name``), each with a 95 % interval
        from a bootstrap over customers; ``small``; ``synthetic``. Metrics are NaN if there are no
        angry calls or no others.
    """
    return pd.DataFrame([_effect(calls, name, settings) for name in OUTCOMES])


def _effect(calls: pd.DataFrame, outcome: str, settings: KpiSettings) -> dict[str, Any]:
    known = calls.dropna(subset=["angry", outcome])
    angry = known["angry"].to_numpy(dtype=bool)
    row: dict[str, Any] = {"outcome": outcome, "n_angry": int(angry.sum())}
    row |= {"n_other": int((~angry).sum())}
    names = [f"{name}{end}" for name in COLUMNS for end in ("", "_low", "_high")]
    row |= dict.fromkeys(["angry", "other", *names], np.nan)
    row["effect_name"] = "Cliff's delta" if outcome == "handle_s" else "Cohen's h"
    row["synthetic"] = bool(calls["synthetic"].any())
    row["small"] = min(row["n_angry"], row["n_other"]) < settings.min_calls
    if not angry.any() or angry.all():
        return row
    comparison = _Comparison(known, angry, outcome)
    point = comparison.compute(np.ones((comparison.n_customers, 1)))
    row |= {name: float(values[0]) for name, values in point.items()}
    if comparison.n_customers < 2:
        return row
    blocks = customer_weights(comparison.n_customers, settings.resamples, settings.seed)
    resampled = [comparison.compute(weights) for weights in blocks]
    for name in COLUMNS:
        values = np.concatenate([block[name] for block in resampled])
        low, high = bootstrap_interval(values, comparison.n_customers)
        row |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return row


class _Comparison:
    """Metrics of one outcome for any weights of the customers."""

    def __init__(self, calls: pd.DataFrame, angry: np.ndarray, outcome: str) -> None:
        values = calls[outcome].to_numpy(dtype=float)
        self.ranks = np.unique(values, return_inverse=True)[1]
        self.angry = angry
        self.is_time = outcome == "handle_s"
        self.customer, names = pd.factorize(calls["customer_id"])
        self.n_customers = len(names)
        strata = calls.groupby(["agent_id", "topic"], sort=False).ngroup().to_numpy()
        n_strata = int(strata.max()) + 1
        shape = (2 * n_strata, self.n_customers)
        place = (strata + n_strata * angry, self.customer)
        self.counts = sparse.coo_matrix((np.ones(len(calls)), place), shape=shape).tocsr()
        self.sums = sparse.coo_matrix((values, place), shape=shape).tocsr()

    def compute(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Compute each metric, shape ``(resamples,)``, for weights ``(n_customers, resamples)``."""
        n_other, n_angry = np.split(self.counts @ weights, 2)
        sum_other, sum_angry = np.split(self.sums @ weights, 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            angry = sum_angry.sum(axis=0) / n_angry.sum(axis=0)
            other = sum_other.sum(axis=0) / n_other.sum(axis=0)
            n = n_other + n_angry
            within_angry = np.nansum(sum_angry * n_other / n, axis=0)
            within_other = np.nansum(sum_other * n_angry / n, axis=0)
            common = np.nansum(n_angry * n_other / n, axis=0)
            metrics = {
                "angry": angry,
                "other": other,
                "difference": angry - other,
                "ratio": np.where(other > 0, angry / other, np.nan),
                "adjusted_difference": np.where(
                    common > 0, (within_angry - within_other) / common, np.nan
                ),
                "adjusted_ratio": np.where(within_other > 0, within_angry / within_other, np.nan),
            }
        if self.is_time:
            effect = [_delta(self.ranks, self.angry, column[self.customer]) for column in weights.T]
            return metrics | {"effect": np.asarray(effect)}
        return metrics | {"effect": np.asarray(cohens_h(angry, other))}
