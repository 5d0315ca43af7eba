"""Measures of each scored call that are watched, and the periods that are compared."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from speech_emotion.monitoring.settings import MonitoringSettings

__all__ = ["MEASURES", "Periods", "measure_calls", "weekly_table"]

INPUT: Final = "input"
OUTPUT: Final = "output"
NUMBER: Final = "number"
SHARE: Final = "share"
MEASURES: Final = {
    "snr_db": (INPUT, NUMBER, "signal-to-noise ratio, dB"),
    "loudness_dbfs": (INPUT, NUMBER, "loudness, dBFS"),
    "bandwidth_hz": (INPUT, NUMBER, "bandwidth, Hz"),
    "novelty": (INPUT, NUMBER, "distance of embeddings from training"),
    "speech_share": (INPUT, NUMBER, "share of speech in windows"),
    "talk_share": (INPUT, NUMBER, "share of the call that the customer speaks"),
    "minutes": (INPUT, NUMBER, "length of the call, minutes"),
    "outside": (INPUT, NUMBER, "share of windows that are not scored"),
    "mean_target": (OUTPUT, NUMBER, "mean probability of the target"),
    "score": (OUTPUT, NUMBER, "highest score of the call"),
    "confidence": (OUTPUT, NUMBER, "confidence of the most probable emotion"),
    "flagged": (OUTPUT, SHARE, "flagged calls"),
    "to_review": (OUTPUT, SHARE, "calls sent to review"),
}
"""Kind (input or output of the model), type and title of each measure. Shares of emotions are added."""
KEYS: Final = ["call", "channel"]
SUMS: Final = (
    "snr_db",
    "bandwidth_hz",
    "novelty",
    "speech_share",
    "confidence",
    "mean_target",
)


class Periods(NamedTuple):
    """First and last days, all included.

    Attributes:
        start: First day of the period.
        end: Last day of the period.
        reference_start: First day of the reference.
        reference_end: Last day of the reference.
    """

    start: date
    end: date
    reference_start: date
    reference_end: date

    @classmethod
    def choose(cls, days: pd.Series, settings: MonitoringSettings) -> Periods:
        """Choose the periods from the settings and the days of the calls.

        Args:
            days: Day of each call, shape ``(n,)``; missing where it is unknown.
            settings: Days that are set.

        Raises:
            ValueError: If no call has a day, or the periods overlap.
        """
        known = days.dropna()
        if known.empty:
            raise ValueError(
                "No scored call has a start: give it with --params calls.metadata=PATH or "
                "calls.name_pattern, and score the calls again"
            )
        end = settings.end or known.max()
        start = settings.start or end - timedelta(days=settings.days - 1)
        reference_end = settings.reference_end or start - timedelta(days=1)
        length = end - start
        reference_start = settings.reference_start or reference_end - length
        if reference_end >= start and reference_start <= end:
            raise ValueError(
                f"monitoring: the reference from {reference_start} to {reference_end} overlaps the period "
                f"from {start} to {end}"
            )
        return cls(start, end, reference_start, reference_end)


def measure_calls(
    summary: pd.DataFrame, windows: Iterable[pd.DataFrame], *, target: str
) -> pd.DataFrame:
    """Compute the measures of each scored party.

    Args:
        summary: Summary of scored calls.
        windows: Windows of the calls, in blocks.
        target: Label that flags.

    Returns:
        ``call``, ``channel``, ``day`` (missing if the start is unknown or cannot be read), ``model``, the
        measures of :data:`MEASURES` and ``share_<label>``.
    """
    totals = [_totals(block, target) for block in windows if len(block)]
    table = summary.copy()
    started = pd.to_datetime(
        table.get("started", pd.Series("", index=table.index)),
        errors="coerce",
        format="ISO8601",
        utc=True,
    )
    table["day"] = started.dt.date
    table["flagged"] = (table["flag"] == target).astype(float)
    table["to_review"] = (table["flag"] == "review").astype(float)
    if totals:
        sums = pd.concat(totals).groupby(level=[0, 1]).sum(min_count=1)
        scored = sums["n_scored"].where(sums["n_scored"] > 0)
        means = sums[list(SUMS)].div(scored, axis=0)
        means["outside"] = 1 - sums["n_scored"] / sums["n"]
        table = table.merge(means.rename_axis(KEYS).reset_index(), on=KEYS, how="left")
    shares = [name for name in table if name.startswith("share_")]
    columns = [*KEYS, "day", "model", *MEASURES, *shares]
    return table.reindex(columns=columns)


def _totals(block: pd.DataFrame, target: str) -> pd.DataFrame:
    """Sums over the scored windows of each channel in a block; a channel may go on in the next one."""
    inside = block["out_of_domain"] == ""
    values = block.assign(mean_target=block[f"p_{target}"]).reindex(columns=list(SUMS))
    values = values.where(inside)
    return (
        values.assign(n_scored=inside.astype(int), n=1)
        .groupby([block["call"].astype(str), block["channel"]])
        .sum(min_count=1)  # what no window has stays missing
    )


def weekly_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Compute the mean of each measure in each week.

    Args:
        measured: Result of :func:`measure_calls`.

    Returns:
        ``week_from`` (Monday), ``n_calls`` and the means.
    """
    dated = measured.dropna(subset=["day"])
    monday = pd.to_datetime(dated["day"]).dt.to_period("W-SUN").dt.start_time
    numbers = [name for name in measured if name not in (*KEYS, "day", "model")]
    table = dated[numbers].groupby(monday.rename("week_from")).mean()
    table.insert(0, "n_calls", dated.groupby(monday.rename("week_from"))["call"].nunique())
    return table.reset_index().assign(week_from=lambda each: each["week_from"].dt.date.astype(str))


def in_period(measured: pd.DataFrame, start: date, end: date) -> pd.DataFrame:
    """Return the calls between two days, both included."""
    days = measured["day"]
    inside = [not pd.isna(day) and start <= day <= end for day in days]
    return measured[np.array(inside, dtype=bool)]
