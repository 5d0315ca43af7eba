"""Compare calls with the training data of the model that scored them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

from speech_emotion.monitoring.measures import MEASURES, Periods, in_period

__all__ = ["compare_with_training"]

COLUMNS: Final = [
    "measure",
    "title",
    "training_low",
    "training_median",
    "training_high",
    "n_period",
    "period",
    "outside",
    "far",
]


def compare_with_training(
    measured: pd.DataFrame,
    periods: Periods,
    ranges: Mapping[str, tuple[float, float, float]],
) -> pd.DataFrame:
    """Compare calls of a period with training utterances, which are no sample of calls.

    Corpora were recorded in studios, so some distance is normal and no alarm of its own. Most of the calls
    outside of the range mean that the model is used on other sound than it knows.

    Args:
        measured: Result of :func:`speech_emotion.monitoring.measure_calls`.
        periods: The period.
        ranges: 5th, 50th and 95th percentile over training utterances, by measure.

    Returns:
        One row per measure that both have: ``measure``, ``title``, ``training_low``, ``training_median``,
        ``training_high``, ``n_period`` calls, ``period`` (their median), ``outside`` (share of calls
        outside of the range; 0.1 of the training utterances are) and ``far``: whether most calls are.
    """
    now = in_period(measured, periods.start, periods.end)
    rows = []
    for name, (low, middle, high) in ranges.items():
        values = now[name].dropna() if name in now else pd.Series(dtype=float)
        if values.empty:
            continue
        outside = float(((values < low) | (values > high)).mean())
        title = MEASURES[name][2]
        row = (name, title, low, middle, high, len(values), float(values.median()), outside)
        rows.append((*row, outside > 0.5))
    return pd.DataFrame(rows, columns=COLUMNS)
