"""Page of monitoring: which measures have changed, and how they developed."""

from __future__ import annotations

from typing import Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from speech_emotion.reporting.plotting import COLORS, finish_figure
from speech_emotion.reporting.sections import Section, sections_page

__all__ = ["drift_figure", "monitoring_page", "weeks_figure"]

TITLE: Final = "Monitoring of scored calls"
SYNTHETIC: Final = "The model was trained on SYNTHETIC speech: its scores mean nothing."
# Weekly means that are drawn: title, format of ticks, and the smallest range of the axis.
SHOWN: Final = {
    "snr_db": ("signal-to-noise ratio, dB", ".1f", 2.0),
    "loudness_dbfs": ("loudness, dBFS", ".1f", 2.0),
    "score": ("highest score, mean", ".2f", 0.1),
    "flagged": ("share of flagged calls", ".1%", 0.02),
}
WEEKS: Final = 6
"""Weeks in the table: what fits on a printed page."""


def drift_figure(drift: pd.DataFrame, *, periods: str) -> go.Figure:
    """Draw the effect of each measure; alarms stand out.

    Args:
        drift: Table of :func:`speech_emotion.monitoring.compare_periods`.
        periods: The periods in words.
    """
    rows = drift.sort_values("effect", key=abs)
    figure = go.Figure()
    for alarm, color, name in ((False, COLORS[0], "no alarm"), (True, COLORS[1], "alarm")):
        part = rows[rows["alarm"] == alarm]
        figure.add_bar(
            x=part["effect"].abs(),
            y=part["title"],
            orientation="h",
            name=name,
            marker={"color": color, "pattern": {"shape": "/" if alarm else ""}},
            customdata=part[["reference", "period", "p_adjusted"]],
            hovertemplate="%{y}: %{customdata[0]:.3g} before, %{customdata[1]:.3g} now, adjusted p "
            "%{customdata[2]:.2g}",
        )
    figure.update_yaxes(categoryorder="array", categoryarray=list(rows["title"]), automargin=True)
    figure.update_xaxes(title="effect (distance, or Cohen's h)")
    alarms = ", ".join(drift.loc[drift["alarm"], "title"]) or "none"
    return finish_figure(
        figure,
        "What has changed",
        periods,
        summary=f"Alarms: {alarms}.",
        height=160 + 26 * max(len(rows), 4),
    )


def weeks_figure(weeks: pd.DataFrame, *, n_calls: int) -> go.Figure:
    """Draw weekly means of loudness, signal-to-noise ratio, flagged calls and score.

    Args:
        weeks: Table of :func:`speech_emotion.monitoring.weekly_table`.
        n_calls: Number of calls with a start.
    """
    titles = [title for title, _, _ in SHOWN.values()]
    figure = make_subplots(rows=len(SHOWN), cols=1, shared_xaxes=True, subplot_titles=titles)
    for row, (name, (_, tick_format, span)) in enumerate(SHOWN.items(), start=1):
        figure.add_scatter(
            x=weeks["week_from"],
            y=weeks[name],
            mode="lines+markers",
            marker={"color": COLORS[0]},
            showlegend=False,
            customdata=weeks[["n_calls"]],
            hovertemplate="week from %{x}: %{y:.3g}, n = %{customdata[0]} calls",
            row=row,
            col=1,
        )
        figure.update_yaxes(
            range=_range(weeks[name], span), tickformat=tick_format, nticks=5, row=row, col=1
        )
    last = weeks.iloc[-1] if len(weeks) else None
    summary = (
        "No calls."
        if last is None
        else f"Last week: flagged {last['flagged']:.1%} of {last['n_calls']} calls."
    )
    return finish_figure(
        figure, "Weekly means", f"n = {n_calls} calls with a start", summary=summary, height=720
    )


def _number(value: float) -> str:
    """Return a number with three digits, or as many as are before its point.

    Example:
        >>> _number(0.06271), _number(2437.6)
        ('0.0627', '2,438')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _weeks_shown(weeks: pd.DataFrame, drift: pd.DataFrame) -> pd.DataFrame:
    """Return the last weeks as columns, and a row for each measure that is compared."""
    last = weeks.tail(WEEKS)
    titles = {"n_calls": "calls"} | dict(zip(drift["measure"], drift["title"], strict=True))
    rows = last[[name for name in titles if name in last]].T
    shown = rows.map(lambda value: "–" if pd.isna(value) else _number(value))
    shown.loc["n_calls"] = [str(count) for count in last["n_calls"]]
    shown.columns = list(last["week_from"])
    shown.insert(0, "measure, by week from", [titles[name] for name in shown.index])
    return shown.reset_index(drop=True)


def _range(values: pd.Series, span: float) -> list[float] | None:
    """Return a range of an axis that is at least ``span`` wide, so that noise is not a trend.

    An axis of values that are not negative has no negative part.
    """
    low, high = values.min(), values.max()
    if pd.isna(low):
        return None
    half = max(0.6 * (high - low), span / 2)
    center = (low + high) / 2 if low < 0 else max((low + high) / 2, half)
    return [center - half, center + half]


def monitoring_page(
    drift: pd.DataFrame,
    training: pd.DataFrame,
    weeks: pd.DataFrame,
    figures: dict[str, go.Figure],
    *,
    periods: str,
    left_out: str = "",
    synthetic: bool = False,
) -> str:
    """Render drift and weekly means as one self-contained HTML file.

    Args:
        drift: Table of :func:`speech_emotion.monitoring.compare_periods`.
        training: Table of :func:`speech_emotion.monitoring.compare_with_training`.
        weeks: Table of :func:`speech_emotion.monitoring.weekly_table`.
        figures: ``drift`` and ``weeks``.
        periods: The periods in words.
        left_out: Which calls are left out, and why.
        synthetic: Whether a model was trained on synthetic speech.
    """
    alarms = drift.loc[drift["alarm"], "title"]
    verdict = f"Alarms: {', '.join(alarms)}." if len(alarms) else "No alarm."
    shown = pd.DataFrame(
        {
            "measure": drift["title"],
            "of": drift["kind"],
            "before": drift["reference"].map(_number),
            "now": drift["period"].map(_number),
            "effect": drift["effect"].map("{:+.2f}".format),
            "adjusted p": drift["p_adjusted"].map("{:.2g}".format),
            "alarm": drift["alarm"].map({True: "ALARM", False: ""}),
            "n": drift["n_reference"].astype(str) + "\u00a0/\u00a0" + drift["n_period"].astype(str),
        }
    )
    against = pd.DataFrame(
        {
            "measure": training["title"],
            "training, range": training["training_low"].map(_number)
            + " to "
            + training["training_high"].map(_number),
            "training, median": training["training_median"].map(_number),
            "now, median": training["period"].map(_number),
            "outside": training["outside"].map("{:.0%}".format),
            "": training["far"].map({True: "FAR", False: ""}),
            "n": training["n_period"].astype(str),
        }
    )
    sections = [
        Section(
            "drift",
            "What has changed",
            f"{verdict} Medians of numbers and shares of calls; n are calls before / now. An alarm needs an "
            "effect that matters and an adjusted p-value below the level, so that without a change "
            "hardly any alarm is raised. The effect is the Kolmogorov-Smirnov distance of numbers, and "
            "Cohen's h of shares of calls.",
            shown,
        ),
        Section(
            "training",
            "Compared with the training data",
            _far(training),
            against,
        ),
        Section(
            "weeks",
            "Weekly means",
            f"The last {WEEKS} weeks; weeks.csv has all.",
            _weeks_shown(weeks, drift),
        ),
    ]
    return sections_page(
        TITLE,
        " ".join(filter(None, [SYNTHETIC if synthetic else "", f"{periods}.", left_out])),
        sections,
        figures,
    )


def _far(training: pd.DataFrame) -> str:
    """Say which measures are far from training, and how the table is to be read."""
    if training.empty:
        return "The model holds no description of its training data: train and register it again."
    far = [
        f"{row.title} ({row.outside:.0%} of n = {row.n_period} calls are outside)"
        for row in training[training["far"]].itertuples()
    ]
    verdict = f"Far from training: {', '.join(far)}." if far else "Nothing is far from training."
    return (
        f"{verdict} Training data of {training['model'].iloc[0]}; range: the middle 90 % of the training "
        "utterances, so 10 % of them are outside. Corpora were recorded in studios, so some distance is "
        "normal. Far means that most calls are outside."
    )
