"""Plotly figures of the KPIs of a contact center, each with the number and kind of calls.

Points and rows of few calls are gray; bands and bars are 95 % intervals.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from speech_emotion.clock import format_clock
from speech_emotion.contact_center import (
    OUTCOMES,
    CallSelection,
    KpiSettings,
    add_kpi_columns,
    choose_grain,
    count_emotions,
    kpi_series,
    select_period,
)
from speech_emotion.reporting.plotting import NEUTRAL, error_bar, finish_figure

__all__ = [
    "agent_colors",
    "calls_note",
    "effects_figure",
    "emotions_note",
    "groups_figure",
    "kpi_figure",
    "over_time_figure",
]

# The palette of Okabe and Ito, which color-blind readers can distinguish; blue is lighter than theirs.
AGENT_COLORS: Final = ("#1F83C6", "#D55E00", "#CC79A7", "#56B4E9")
TEAM_COLORS: Final = ("#009E73", "#E69F00")
CENTER_COLOR: Final = NEUTRAL
SMALL: Final = "#bbbbbb"
STEPS_S: Final = (5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
TITLES: Final = {
    "aht": "Average handle time (AHT)",
    "fcr": "First call resolution (FCR)",
    "angry": "Share of angry calls",
}
AXES: Final = {"aht": "AHT, m:ss", "fcr": "FCR", "angry": "angry calls"}
COLUMNS: Final = {"aht": "aht_s", "fcr": "fcr", "angry": "angry"}
COUNTS: Final = {"aht": "n_calls", "fcr": "n_fcr", "angry": "n_angry"}


def calls_note(calls: pd.DataFrame) -> str:
    """Return the number of calls, the period, and whether the calls are generated."""
    first, last = calls["day"].min(), calls["day"].max()
    marked = " (GENERATED calls)" if calls["synthetic"].any() else ""
    return f"n = {len(calls):,} calls, {first:%Y-%m-%d} to {last:%Y-%m-%d}{marked}"


def emotions_note(calls: pd.DataFrame) -> str:
    """Return the number of emotions by verdicts, from recordings, generated and unknown."""
    count = count_emotions(calls)
    return (
        f"emotions: {count['verdict']:,} by verdicts, {count['recording']:,} from recordings, "
        f"{count['generated']:,} generated, "
        f"{count['none']:,} unknown"
    )


def unknown(figure: go.Figure, **place: int) -> None:
    """Add the reason to the middle of an empty panel."""
    middle = {"xref": "x domain", "yref": "y domain", "x": 0.5, "y": 0.5}
    figure.add_annotation(text="unknown for all calls", showarrow=False, **middle, **place)


def clock_axis(low: float, high: float, *, marks: int = 6) -> dict[str, Any]:
    """Return ticks of an axis of seconds in minutes and seconds.

    Example:
        >>> clock_axis(200, 440)["ticktext"]
        ['4:00', '5:00', '6:00', '7:00']
    """
    if not np.isfinite([low, high]).all() or high <= low:
        low, high = 0.0, 600.0
    step = next((step for step in STEPS_S if (high - low) / step <= marks), STEPS_S[-1])
    values = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return {"tickvals": values.tolist(), "ticktext": [format_clock(value) for value in values]}


def listed_by_row(*columns: Iterable[Any]) -> list[list[Any]]:
    """Return numbers and texts of each row, for the text that a chart shows at a point."""
    return [list(row) for row in zip(*columns, strict=True)]


def in_words(kpi: str, values: pd.Series) -> list[str]:
    """Return values of a KPI as text: times in minutes and seconds, shares in percent."""
    if kpi == "aht":
        return [format_clock(value) for value in values]
    return ["–" if pd.isna(value) else f"{value:.1%}" for value in values]


def scope_colors(scopes: Sequence[str]) -> dict[str, str]:
    """Return the color of the center, of each team and of each agent."""
    teams = [scope for scope in scopes if scope.startswith("team ")]
    agents = [scope for scope in scopes if scope != "center" and scope not in teams]
    colors = {"center": CENTER_COLOR}
    for names, palette in ((teams, TEAM_COLORS), (agents, AGENT_COLORS)):
        colors |= {name: palette[number % len(palette)] for number, name in enumerate(names)}
    return colors


def agent_colors(calls: pd.DataFrame, selection: CallSelection) -> dict[str, str]:
    """Return the color of each selected agent, or of the agents of the selected team."""
    if selection.team:
        return dict.fromkeys(selection.of(calls)["agent_id"].unique(), TEAM_COLORS[0])
    return dict(zip(selection.agents, cycle(AGENT_COLORS), strict=False))


def translucent(color: str, opacity: float) -> str:
    """Return a color that lets others shine through."""
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def kpi_figure(
    calls: pd.DataFrame,
    *,
    agent_id: str | None = None,
    kpi: Literal["aht", "fcr", "angry"] = "aht",
    start: dt.date | str | None = None,
    end: dt.date | str | None = None,
    grain: Literal["auto", "day", "week", "month"] = "auto",
    settings: KpiSettings | None = None,
) -> go.Figure:
    """Draw a KPI over time: an agent compared with the team and the contact center.

    Args:
        calls: See :data:`~speech_emotion.contact_center.calls_table.CALLS`.
        agent_id: An agent, several as ``A01;A07``, or ``None`` for the center alone.
        kpi: ``aht``, ``fcr`` or ``angry``.
        start: First local day; ``None`` for the first of the data.
        end: Last local day, included; ``None`` for the last of the data.
        grain: Length of a period.
        settings: Time zone, repeat window, targets.

    Raises:
        UnknownAgent: If an agent handled no call at all.
        NoCalls: If the period holds no call of those asked for.
    """
    settings = settings or KpiSettings()
    selection = CallSelection.model_validate(
        {"agent_id": agent_id, "from": start, "to": end, "grain": grain}
    )
    chosen = select_period(add_kpi_columns(calls, settings), selection)
    step = choose_grain(chosen, selection)
    series = kpi_series(chosen, selection.agents, step, settings)
    return over_time_figure(series, kpi, step, settings, note=calls_note(chosen))


def over_time_figure(
    series: pd.DataFrame, kpi: str, grain: str, settings: KpiSettings, *, note: str
) -> go.Figure:
    """Draw a KPI over time with 95 % bands; points of few calls are gray.

    Args:
        series: From :func:`~speech_emotion.contact_center.kpi_tables.kpi_series`.
        kpi: ``aht``, ``fcr`` or ``angry``.
        grain: Length of a period.
        settings: Targets and smallest count.
        note: Number of calls and days, for the subtitle.
    """
    figure = go.Figure()
    column, counted = COLUMNS[kpi], COUNTS[kpi]
    colors = scope_colors(list(series["scope"].unique()))
    for scope, rows in series.groupby("scope", sort=False):
        color = colors[str(scope)]
        group = {"legendgroup": str(scope), "x": rows["period"]}
        hidden = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
        figure.add_scatter(y=rows[f"{column}_low"], **group, **hidden)
        figure.add_scatter(
            y=rows[f"{column}_high"],
            fill="tonexty",
            fillcolor=translucent(color, 0.15),
            **group,
            **hidden,
        )
        figure.add_scatter(
            y=rows[column],
            mode="lines+markers",
            name=str(scope),
            line={"color": color, "width": 1.5 if scope == "center" else 2.5},
            marker={"color": color, "size": 7},
            customdata=listed_by_row(
                rows[counted],
                *(in_words(kpi, rows[f"{column}{end}"]) for end in ("_low", "_high", "")),
            ),
            hovertemplate="%{customdata[3]} [%{customdata[1]}, %{customdata[2]}], "
            "n = %{customdata[0]:,}",
            **group,
        )
        figure.add_scatter(
            y=rows[column].where(~rows["complete"]),
            name=f"{scope}, incomplete",
            mode="markers",
            marker={"color": "#ffffff", "size": 8, "line": {"color": color, "width": 2}},
            showlegend=False,
            hoverinfo="skip",
            **group,
        )
        figure.add_scatter(
            y=rows[column].where(rows[counted] < settings.min_calls),
            name=f"{scope}, few calls",
            mode="markers",
            marker={"color": SMALL, "size": 7},
            showlegend=False,
            hoverinfo="skip",
            **group,
        )
    target = {"aht": settings.target_aht_s, "fcr": settings.target_fcr}.get(kpi)
    if target is not None:
        figure.add_hline(
            y=target, line_dash="dot", annotation_text="target", annotation_position="top left"
        )
    values = series.loc[series[counted] >= settings.min_calls, [f"{column}_low", f"{column}_high"]]
    if values.notna().to_numpy().any():
        # Wide intervals of few calls would compress the axis.
        ends = [np.nanmin([values.min().min(), target or np.nan])]
        ends.append(np.nanmax([values.max().max(), target or np.nan]))
        margin = 0.08 * (ends[1] - ends[0]) or 0.1 * ends[1]
        low, high = max(0, ends[0] - margin), ends[1] + margin
        figure.update_yaxes(range=[low, high if kpi == "aht" else min(1, high)])
    if not series[counted].any():
        unknown(figure)
        figure.update_yaxes(range=[0, 1])
    figure.update_yaxes(title=AXES[kpi])
    if kpi == "aht":
        lines = [*series[column].dropna(), settings.target_aht_s]  # few calls set no range
        shown = figure.layout.yaxis.range or [min(lines), max(lines)]
        figure.update_yaxes(**clock_axis(*shown))
    else:
        figure.update_yaxes(tickformat=".0%")
    figure.update_xaxes(hoverformat="%Y-%m-%d")
    subtitle = (
        f"{note}; gray points: fewer than {settings.min_calls} calls; hollow: part of a {grain}"
    )
    return finish_figure(
        figure,
        f"{TITLES[kpi]} by {grain}",
        subtitle,
        summary=_series_summary(series, kpi, grain),
        hovermode="x unified",
    )


def _series_summary(series: pd.DataFrame, kpi: str, grain: str) -> str:
    """Describe first and last complete value of each scope."""
    column = COLUMNS[kpi]
    parts = []
    for scope, rows in (
        series[series["complete"]].dropna(subset=column).groupby("scope", sort=False)
    ):
        first, last = in_words(kpi, rows[column].iloc[[0, -1]])
        parts.append(f"{scope} from {first} in the first to {last} in the last complete {grain}")
    return "; ".join(parts)


def groups_figure(
    breakdown: pd.DataFrame,
    by: str,
    settings: KpiSettings,
    *,
    colors: Mapping[str, str] | None = None,
    note: str,
) -> go.Figure:
    """Draw AHT, FCR and angry share of each agent, team or topic with intervals.

    Args:
        breakdown: From :func:`~speech_emotion.contact_center.kpi_tables.kpi_breakdown`.
        by: What they are grouped by.
        settings: Targets and smallest count.
        colors: Colors of some of them; others are gray.
        note: Number of calls and days, for the subtitle.
    """
    rows = breakdown[(breakdown["scope"] == "center") & (breakdown["by"] == by)]
    rows = rows.sort_values("aht_s", ascending=False)
    figure = make_subplots(
        cols=3, shared_yaxes=True, subplot_titles=list(AXES.values()), horizontal_spacing=0.05
    )
    targets = {"aht": settings.target_aht_s, "fcr": settings.target_fcr}
    for col, (kpi, column) in enumerate(COLUMNS.items(), start=1):
        few = rows[COUNTS[kpi]] < settings.min_calls
        plain = rows["value"].map(lambda value: (colors or {}).get(value, NEUTRAL))
        figure.add_scatter(
            x=rows[column],
            y=rows["value"],
            mode="markers",
            showlegend=False,
            marker={"color": plain.mask(few, SMALL).tolist(), "size": 9},
            error_x=error_bar(rows, column, color=NEUTRAL),
            customdata=listed_by_row(in_words(kpi, rows[column]), rows[COUNTS[kpi]]),
            hovertemplate="%{y}: %{customdata[0]}, n = %{customdata[1]:,}<extra></extra>",
            row=1,
            col=col,
        )
        if kpi == "aht":
            ends = rows[[f"{column}_low", f"{column}_high", column]].stack()
            axis = clock_axis(
                min(ends.min(), settings.target_aht_s),
                max(ends.max(), settings.target_aht_s),
                marks=4,
            )
        else:
            axis = {"tickformat": ".0%"}
        figure.update_xaxes(**axis, row=1, col=col)
        if not rows[COUNTS[kpi]].any():
            figure.update_xaxes(range=[0, 1], row=1, col=col)
            unknown(figure, row=1, col=col)
        if kpi in targets:
            figure.add_vline(x=targets[kpi], line_dash="dot", row=1, col=col)
    figure.update_yaxes(type="category", title=by, col=1)
    subtitle = f"{note}; dotted: targets; gray: fewer than {settings.min_calls} calls"
    return finish_figure(figure, f"By {by}", subtitle, height=max(340, 170 + 28 * len(rows)))


def effects_figure(effects: pd.DataFrame, *, note: str) -> go.Figure:
    """Draw how many times as long, or as often, it is in angry calls as in others.

    Args:
        effects: From :func:`~speech_emotion.contact_center.effects.anger_effects`.
        note: Number of calls and kinds of emotions, for the subtitle.
    """
    figure = go.Figure()
    named = effects["outcome"].map(OUTCOMES).str.removesuffix(", s")
    for column, name, color, place in (
        ("ratio", "unadjusted", NEUTRAL, -0.12),
        ("adjusted_ratio", "within agent and topic", AGENT_COLORS[0], 0.12),
    ):
        figure.add_scatter(
            x=effects[column],
            y=np.arange(len(effects)) + place,
            mode="markers",
            name=name,
            marker={"color": np.where(effects["small"], SMALL, color).tolist(), "size": 11},
            error_x=error_bar(effects, column, color=color),
            customdata=effects[["n_angry", "n_other", f"{column}_low", f"{column}_high"]],
            hovertemplate="%{x:.2f} [%{customdata[2]:.2f}, %{customdata[3]:.2f}], "
            "n = %{customdata[0]:,} angry and %{customdata[1]:,} others",
        )
    figure.add_vline(x=1, line_dash="dot", annotation_text="equal")
    figure.update_xaxes(title="ratio of angry calls to other calls")
    figure.update_yaxes(
        tickvals=list(range(len(effects))),
        ticktext=list(named),
        range=[len(effects) - 0.5, -0.5],
        zeroline=False,
    )
    return finish_figure(figure, "Angry calls compared with others", note, height=360)
