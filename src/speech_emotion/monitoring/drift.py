"""Tests for drift between two periods, with few false alarms."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from speech_emotion.contact_center import cohens_h
from speech_emotion.monitoring.measures import (
    KEYS,
    MEASURES,
    OUTPUT,
    SHARE,
    Periods,
    in_period,
)
from speech_emotion.monitoring.settings import MonitoringSettings

__all__ = ["compare_periods"]

COLUMNS: Final = [
    "measure",
    "title",
    "kind",
    "n_reference",
    "n_period",
    "reference",
    "period",
    "effect",
    "p",
    "p_adjusted",
    "alarm",
]


def compare_periods(
    measured: pd.DataFrame, periods: Periods, settings: MonitoringSettings
) -> pd.DataFrame:
    """Compare each measure in two periods.

    Numbers are compared by the two-sample Kolmogorov-Smirnov test and its distance, which sees changes of
    level and of spread; shares of calls by Fisher's exact test and Cohen's h. P-values are adjusted for
    the number of measures (Holm, 1979). An alarm needs both a small adjusted p-value and an effect that
    matters, because with many calls any difference is significant.

    Args:
        measured: Result of :func:`speech_emotion.monitoring.measure_calls`.
        periods: Days to compare.
        settings: Level, smallest effects, smallest number of calls.

    Returns:
        One row per measure: ``measure``, ``title``, ``kind``, ``n_reference``, ``n_period``, ``reference``
        and ``period`` (medians, or shares), ``effect``, ``p``, ``p_adjusted`` and ``alarm``. Measures that
        are never known are left out.

    Raises:
        ValueError: If a period has too few calls.
    """
    before = in_period(measured, periods.reference_start, periods.reference_end)
    now = in_period(measured, periods.start, periods.end)
    spans = {
        f"the reference ({periods.reference_start} to {periods.reference_end})": before,
        f"the period ({periods.start} to {periods.end})": now,
    }
    for name, rows in spans.items():
        if len(rows) < settings.min_calls:
            raise ValueError(
                f"monitoring: {name} has {len(rows)} scored parties with a start, and "
                f"{settings.min_calls} are needed: choose longer periods with --params "
                "from=YYYY-MM-DD,to=YYYY-MM-DD, or lower monitoring.min_calls"
            )
    rows = []
    for name in measured:
        if name in (*KEYS, "day", "model"):
            continue
        first, second = (part[name].dropna().to_numpy(dtype=float) for part in (before, now))
        if not len(first) or not len(second):
            continue
        kind, form, title = MEASURES.get(
            str(name), (OUTPUT, "", f"share of windows: {str(name).removeprefix('share_')}")
        )
        compare = _compare_shares if form == SHARE else _compare_numbers
        row: dict[str, Any] = {"measure": name, "title": title, "kind": kind}
        row |= {"n_reference": len(first), "n_period": len(second)} | compare(first, second)
        row["matters"] = abs(row["effect"]) >= (
            settings.min_h if form == SHARE else settings.min_distance
        )
        rows.append(row)
    table = pd.DataFrame(rows)
    table["p_adjusted"] = _holm(table["p"].to_numpy())
    table["alarm"] = (table["p_adjusted"] < settings.alpha) & table["matters"]
    return table[COLUMNS]


def _compare_numbers(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    result = stats.ks_2samp(first, second, method="asymp")
    return {
        "reference": float(np.median(first)),
        "period": float(np.median(second)),
        "effect": float(result.statistic),
        "p": float(result.pvalue),
    }


def _compare_shares(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    table = [[part.sum(), len(part) - part.sum()] for part in (first, second)]
    shares = first.mean(), second.mean()
    effect = cohens_h(shares[1], shares[0])
    return {
        "reference": float(shares[0]),
        "period": float(shares[1]),
        "effect": float(effect),
        "p": float(stats.fisher_exact(table).pvalue),
    }


def _holm(p: np.ndarray) -> np.ndarray:
    """Adjust p-values so that the chance of any false alarm is at most the level (S. Holm, 1979)."""
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(adjusted, 1)
    return result
