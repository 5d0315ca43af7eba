"""Nodes of monitoring: measure calls, compare periods, draw, report."""

from __future__ import annotations

import logging
from datetime import date

import pandas as pd
import plotly.graph_objects as go

from speech_emotion.call_scoring import CallSettings
from speech_emotion.datasets import TableBlocks
from speech_emotion.models import EmotionPredictor
from speech_emotion.monitoring import (
    MonitoringSettings,
    Periods,
    compare_periods,
    compare_with_training,
    measure_calls,
    weekly_table,
)
from speech_emotion.reporting import monitoring as pages

logger = logging.getLogger(__name__)


def measure(
    summary: pd.DataFrame | None, emotions: TableBlocks, calls: CallSettings
) -> pd.DataFrame:
    """Compute level, noise, speech, scores and flags of each scored party.

    Raises:
        ValueError: If no call was scored.
    """
    if summary is None or summary.empty:
        raise ValueError(
            "No calls were scored: kedro run --pipelines call_scoring --params recordings_dir=PATH"
        )
    return measure_calls(summary, emotions, target=calls.flags.target)


def compare(
    measured: pd.DataFrame, settings: MonitoringSettings
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Compare the period with its reference; each alarm is also a warning in the log.

    Returns:
        Table of :func:`compare_periods`, and first and last days.
    """
    periods = Periods.choose(measured["day"], settings)
    drift = compare_periods(measured, periods, settings)
    for row in drift[drift["alarm"]].itertuples():
        logger.warning(
            "%s has changed: %.3g before, %.3g now (n = %d and %d)",
            row.title,
            row.reference,
            row.period,
            row.n_reference,
            row.n_period,
        )
    if not drift["alarm"].any():
        logger.info("No alarm: none of %d measures has changed", len(drift))
    return drift, {name: str(day) for name, day in periods._asdict().items()}


def compare_training(
    measured: pd.DataFrame, periods: dict[str, str], predictor: EmotionPredictor
) -> pd.DataFrame:
    """Compare the period with the training data of the model; what is far from them is a warning."""
    days = Periods(**{name: date.fromisoformat(day) for name, day in periods.items()})
    table = compare_with_training(measured, days, predictor.training_ranges)
    for row in table[table["far"]].itertuples():
        logger.warning(
            "%s: %.0f %% of n = %d calls are outside of the range of training utterances, %.3g to %.3g",
            row.title,
            100 * row.outside,
            row.n_period,
            row.training_low,
            row.training_high,
        )
    return table.assign(model=predictor.title)


def compute_weeks(measured: pd.DataFrame) -> pd.DataFrame:
    """Compute weekly means of all measures."""
    return weekly_table(measured)


def draw(
    drift: pd.DataFrame, weeks: pd.DataFrame, measured: pd.DataFrame, periods: dict[str, str]
) -> tuple[go.Figure, go.Figure]:
    """Draw effects and weekly means."""
    return (
        pages.drift_figure(drift, periods=_in_words(periods)),
        pages.weeks_figure(weeks, n_calls=int(measured["day"].notna().sum())),
    )


def write_page(
    drift: pd.DataFrame,
    training: pd.DataFrame,
    weeks: pd.DataFrame,
    drift_figure: go.Figure,
    weeks_figure: go.Figure,
    measured: pd.DataFrame,
    summary: pd.DataFrame,
    periods: dict[str, str],
) -> str:
    """Write the results as one HTML page."""
    n_undated = int(measured["day"].isna().sum())
    models = sorted(measured["model"].dropna().astype(str).unique())
    left_out = f"{n_undated} calls have no start and are left out." if n_undated else ""
    if len(models) > 1:
        left_out += (
            f" The calls were scored by {len(models)} models ({', '.join(models)}): a difference of scores "
            "may come from the model."
        )
    return pages.monitoring_page(
        drift,
        training,
        weeks,
        {"drift": drift_figure, "weeks": weeks_figure},
        periods=_in_words(periods),
        left_out=left_out.strip(),
        synthetic=bool(summary["synthetic_model"].any()),
    )


def _in_words(periods: dict[str, str]) -> str:
    return (
        f"{periods['start']} to {periods['end']}, compared with {periods['reference_start']} to "
        f"{periods['reference_end']}"
    )
