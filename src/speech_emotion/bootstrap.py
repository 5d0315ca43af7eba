"""Cluster bootstrap: 95 % intervals that treat all results of one speaker, customer or call together.

Utterances of one speaker are not independent, so whole speakers are resampled instead of utterances
(Davison & Hinkley, *Bootstrap Methods and their Application*, 1997, §3.8).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["bootstrap_counts", "bootstrap_interval", "no_event_rate", "share_interval"]

PERCENTILES: Final = (2.5, 97.5)
TAIL: Final = 0.025


def bootstrap_counts(n_clusters: int, *, resamples: int, seed: int) -> np.ndarray:
    """Draw how often each cluster is part of each resample.

    Args:
        n_clusters: Number of speakers, customers or calls.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Returns:
        Counts of shape ``(resamples, n_clusters)``; each row adds up to ``n_clusters``.

    Example:
        >>> counts = bootstrap_counts(5, resamples=1000, seed=0)
        >>> counts.shape, set(counts.sum(axis=1).tolist())
        ((1000, 5), {5})
    """
    shares = np.full(n_clusters, 1 / n_clusters)
    return np.random.default_rng(seed).multinomial(n_clusters, shares, size=resamples)


def bootstrap_interval(
    values: ArrayLike, n_clusters: int | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the 95 % percentile interval of a metric over resamples.

    Args:
        values: Metric in each resample, shape ``(…, resamples)``. Resamples in which it is not finite
            are left out.
        n_clusters: Number of clusters that were resampled, one number or shape ``(…)``.

    Returns:
        Lower and upper bound, each of shape ``(…)``. NaN with fewer than two clusters, which say nothing
        about others, and if the metric is finite in no resample. With n clusters, the interval lies between
        the lowest and the highest of them, which hold the median with a probability of
        :math:`1 - 2^{1 - n}`: fewer than six cannot give 95 %.

    Example:
        >>> low, high = bootstrap_interval([0.1, 0.2, 0.3, float("nan")], 8)
        >>> f"{low:.3f} to {high:.3f}"
        '0.105 to 0.295'
    """
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    defined = finite.any(axis=-1) & (np.asarray(n_clusters) > 1)
    if finite.all():
        low, high = np.percentile(values, PERCENTILES, axis=-1)
    else:
        usable = np.where(finite, values, np.nan)
        usable[~finite.any(axis=-1)] = 0.0  # an empty slice would warn; its bounds become NaN below
        low, high = np.nanpercentile(usable, PERCENTILES, axis=-1)
    return np.where(defined, low, np.nan), np.where(defined, high, np.nan)


def share_interval(
    hits: ArrayLike, among: ArrayLike, draws: np.ndarray
) -> tuple[float, float, float]:
    """Compute a share and its 95 % interval.

    If all clusters have a share of 0, or all of 1, no resample differs from them. The bound is then that of
    Clopper and Pearson (Biometrika 26, 1934) for as many trials as clusters.

    Args:
        hits: Count, or weight, of hits in each cluster, shape ``(n_clusters,)``.
        among: Count, or weight, of all in each cluster, shape ``(n_clusters,)``.
        draws: From :func:`bootstrap_counts`, shape ``(resamples, n_clusters)``.

    Returns:
        The share, NaN if ``among`` is 0, and the bounds of :func:`bootstrap_interval`.

    Example:
        >>> draws = bootstrap_counts(9, resamples=1000, seed=0)
        >>> share, low, high = share_interval(np.zeros(9), np.ones(9), draws)
        >>> share, low, round(high, 2)
        (0.0, 0.0, 0.34)
    """
    hits, among = np.asarray(hits, dtype=float), np.asarray(among, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = float(hits.sum() / among.sum()) if among.any() else float("nan")
        low, high = map(float, bootstrap_interval(draws @ hits / (draws @ among), draws.shape[1]))
    bound = 1 - TAIL ** (1 / max(int(np.count_nonzero(among)), 1))
    if high == 0:
        high = bound
    elif low == 1:
        low = 1 - bound
    return share, low, high


def no_event_rate(exposure: float) -> float:
    """Return the upper 95 % bound of a rate of which no event was seen: Poisson, exact.

    Example:
        >>> round(no_event_rate(2.0), 2)  # per hour, after two hours
        1.84
    """
    return float(-np.log(TAIL) / exposure) if exposure else float("nan")
