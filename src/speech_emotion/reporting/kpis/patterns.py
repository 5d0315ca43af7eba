"""Plotly figures of patterns in a year of calls: months, hours and handle times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from speech_emotion.clock import format_clock
from speech_emotion.contact_center import KpiSettings, calls_by_scope, kpi_table
from speech_emotion.reporting.kpis.figures import (
    AXES,
    COLUMNS,
    COUNTS,
    SMALL,
    clock_axis,
    in_words,
    listed_by_row,
    scope_colors,
    translucent,
)
from speech_emotion.reporting.plotting import NEUTRAL, finish_figure

__all__ = ["handle_time_figure", "hours_figure", "motion_figure"]

HANDLE_TIMES_S: Final = (30, 60, 120, 240, 480, 960, 1920, 3840)
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def motion_figure(
    calls: pd.DataFrame, agents: Sequence[str], settings: KpiSettings, *, note: str
) -> go.Figure:
    """Draw agents moving over the months: AHT and FCR as place, calls as size, anger as color.

    Args:
        calls: From :func:`~speech_emotion.contact_center.select_period`.
        agents: Agents that are outlined.
        settings: Targets, smallest count.
        note: Number of calls and days, for the subtitle.
    """
    known = calls.dropna(subset="fcr")
    if known.empty:
        return finish_figure(go.Figure(), "Agents over the months", f"FCR is unknown; {note}")
    table = kpi_table(known, ["month", "agent"], settings)
    order = sorted(table["agent"].unique())
    largest, angriest = table["n_calls"].max(), max(table["angry"].fillna(0).max(), 0.01)

    def bubbles(month: pd.Timestamp) -> dict[str, Any]:
        rows = table[table["month"] == month].set_index("agent").reindex(order)
        few = ~(rows["n_calls"] >= settings.min_calls)
        shares = rows["angry"].where(~few) / angriest
        colors = [
            SMALL if pd.isna(share) else sample_colorscale("YlOrRd", share)[0] for share in shares
        ]
        return {
            "type": "scatter",
            "x": rows["aht_s"],
            "y": rows["fcr"],
            "ids": order,
            "text": order,
            "mode": "markers+text",
            "textposition": "top center",
            "marker": {
                "size": rows["n_calls"].fillna(0),
                "sizemode": "area",
                "sizeref": 2 * largest / 45**2,
                "color": colors,
                "line": {
                    "color": NEUTRAL,
                    "width": [3 if agent in agents else 0.5 for agent in order],
                },
            },
            "customdata": listed_by_row(
                rows["n_calls"], in_words("angry", rows["angry"]), in_words("aht", rows["aht_s"])
            ),
            "showlegend": False,
            "hovertemplate": "%{text}: AHT %{customdata[2]}, FCR %{y:.1%}, angry %{customdata[1]}, "
            "n = %{customdata[0]:,}<extra></extra>",
        }

    months = sorted(table["month"].unique())
    names = [f"{month:%Y-%m}" for month in months]
    # As dictionaries, which the figure validates once; Plotly's objects are validated and copied thrice.
    frames = [
        {"data": [bubbles(month)], "name": name, "traces": [0]}
        for month, name in zip(months, names, strict=True)
    ]
    # Markers without a share are gray, so the color bar belongs to an empty trace.
    bar = {"title": {"text": "angry calls"}, "tickformat": ".0%"}
    scale = {"colorscale": "YlOrRd", "cmin": 0, "cmax": angriest, "color": [0], "colorbar": bar}
    scale["showscale"] = bool(table["angry"].notna().any())
    empty = go.Scatter(x=[None], y=[None], mode="markers", marker=scale, showlegend=False)
    figure = go.Figure(data=[bubbles(months[0]), empty], frames=frames)
    figure.add_vline(x=settings.target_aht_s, line_dash="dot")
    figure.add_hline(y=settings.target_fcr, line_dash="dot")
    certain = table[table["n_calls"] >= settings.min_calls]
    certain = table if certain.empty else certain
    for update, column, target, least in (
        (figure.update_xaxes, "aht_s", settings.target_aht_s, 20.0),
        (figure.update_yaxes, "fcr", settings.target_fcr, 0.03),
    ):
        low, high = min(certain[column].min(), target), max(certain[column].max(), target)
        margin = max(0.12 * (high - low), least)
        update(range=[low - margin, high + margin])
    figure.update_xaxes(title=AXES["aht"], **clock_axis(*figure.layout.xaxis.range))
    figure.update_yaxes(title="FCR", tickformat=".0%")
    subtitle = f"Size: calls; gray: fewer than {settings.min_calls}, or unknown emotions; {note}"
    return finish_figure(
        figure,
        "Agents over the months",
        subtitle,
        height=700,
        sliders=[_slider(names)],
        updatemenus=[_buttons()],
    )


def _step(duration: int) -> dict[str, Any]:
    return {
        "frame": {"duration": duration, "redraw": False},
        "transition": {"duration": duration // 2},
        "mode": "immediate",
        "fromcurrent": True,
    }


def _slider(names: Sequence[str]) -> dict[str, Any]:
    return {
        "steps": [
            {"label": name, "method": "animate", "args": [[name], _step(300)]} for name in names
        ],
        "currentvalue": {"prefix": "month "},
        "x": 0,
        "len": 1,
        "pad": {"t": 45},
    }


def _buttons() -> dict[str, Any]:
    stop = {"frame": {"duration": 0, "redraw": False}, "mode": "immediate"}
    return {
        "type": "buttons",
        "direction": "left",
        "showactive": False,
        "x": 0,
        "y": 0,
        "xanchor": "left",
        "yanchor": "top",
        "pad": {"t": 135},  # below the slider, beside which there is no room on phones
        "buttons": [
            {"label": "▶", "method": "animate", "args": [None, _step(900)]},
            {"label": "❚❚", "method": "animate", "args": [[None], stop]},
        ],
    }


def handle_time_figure(
    calls: pd.DataFrame, agents: Sequence[str], *, team: str = "", note: str
) -> go.Figure:
    """Draw how handle times are spread: of agents and teams against the center, of angry against other calls.

    Args:
        calls: From :func:`~speech_emotion.contact_center.select_period`.
        agents: Selected agents, which are drawn with their teams.
        team: Selected team, instead of agents.
        note: Number of calls and days, for the subtitle.
    """
    left = calls_by_scope(calls, agents, team)
    compared = "All calls" if len(left) == 1 else "Compared with the center"
    figure = make_subplots(
        cols=2, shared_yaxes=True, subplot_titles=[compared, "Angry calls and others"]
    )
    shortest, longest = calls["handle_s"].clip(lower=1).quantile([0.001, 0.999])
    edges = np.geomspace(0.95 * shortest, 1.05 * longest, 41)
    right = {"angry": calls[calls["angry"] == 1], "not angry": calls[calls["angry"] == 0]}
    colors = scope_colors(list(left)) | {"angry": "#B00020", "not angry": "#56B4E9"}
    for col, groups in ((1, left), (2, right)):
        for name, group in groups.items():
            if group.empty:
                continue
            counts, _ = np.histogram(group["handle_s"], edges)
            figure.add_scatter(
                x=edges,
                y=np.append(counts, counts[-1]) / len(group),
                line={"shape": "hv", "color": colors[name]},
                fill="tozeroy",
                fillcolor=translucent(colors[name], 0.12),
                name=f"{name}, n = {len(group):,}, median {format_clock(group['handle_s'].median())}",
                legend="legend" if col == 1 else "legend2",
                text=in_words("aht", pd.Series(edges)),
                hovertemplate="from %{text}: %{y:.1%}<extra></extra>",
                row=1,
                col=col,
            )
    figure.update_xaxes(
        type="log",
        title="handle time, m:ss",
        tickvals=HANDLE_TIMES_S,
        ticktext=[format_clock(value) for value in HANDLE_TIMES_S],
    )
    figure.update_yaxes(title="share of calls", tickformat=".0%", col=1)
    below = {"y": -0.22, "yanchor": "top"}
    return finish_figure(
        figure,
        "Distribution of handle times",
        note,
        height=520,
        legend=below | {"x": 0},
        legend2=below | {"x": 0.55},
    )


def _hours_per_cell(calls: pd.DataFrame, settings: KpiSettings) -> int:
    for block in (1, 2, 3, 4, 6):
        cells = calls.groupby(["weekday", calls["hour"] // block]).size()
        if cells.median() >= settings.min_calls:
            return block
    return 6


def hours_figure(
    calls: pd.DataFrame, settings: KpiSettings, *, selected: str, note: str
) -> go.Figure:
    """Draw calls, AHT, FCR and angry share by local hour and weekday; cells of few calls are gray.

    Hours are grouped so that most cells contain enough calls.

    Args:
        calls: Calls of the shown agents, from :func:`~speech_emotion.contact_center.select_period`.
        settings: Smallest count.
        selected: Name of the agents or the contact center, for the title.
        note: Number of calls and days, for the subtitle.
    """
    block = _hours_per_cell(calls, settings)
    calls = calls.assign(block=calls["hour"] // block * block)
    table = kpi_table(calls, ["weekday", "block"], settings)
    hours = list(range(int(table["block"].min()), int(table["block"].max()) + 1, block))
    names = [f"{hour}–{hour + block}" if block > 1 else str(hour) for hour in hours]
    panels = [("calls", "n_calls", "n_calls", "Greys")]
    panels += [(AXES[kpi], COLUMNS[kpi], COUNTS[kpi], scale) for kpi, scale in
               (("aht", "Blues"), ("fcr", "Greens"), ("angry", "YlOrRd"))]  # fmt: skip
    figure = make_subplots(
        rows=2,
        cols=2,
        subplot_titles=[panel[0] for panel in panels],
        horizontal_spacing=0.2,
        vertical_spacing=0.16,
    )
    for number, (_, column, counted, scale) in enumerate(panels):
        row, col = number // 2 + 1, number % 2 + 1
        shown = table.assign(value=table[column])
        if number:
            shown["value"] = shown["value"].where(shown[counted] >= settings.min_calls)
        grids = [
            shown.pivot_table(index="weekday", columns="block", values=name, dropna=False).reindex(
                index=range(7), columns=hours
            )
            for name in ("value", counted)
        ]
        share = column in {"fcr", "angry"}
        is_time = column == "aht_s"
        bar: dict[str, Any] = {"tickformat": ".0%" if share else ""}
        if is_time and shown["value"].notna().any():
            bar = clock_axis(shown["value"].min(), shown["value"].max(), marks=4)
        words = [[format_clock(value) for value in line] for line in grids[0].to_numpy()]
        figure.add_shape(  # shows where cells are left out
            {
                "type": "rect",
                "xref": "x domain",
                "yref": "y domain",
                "x0": 0,
                "x1": 1,
                "y0": 0,
                "y1": 1,
            },
            fillcolor=translucent(NEUTRAL, 0.3),
            line_width=0,
            layer="below",
            row=row,
            col=col,
        )
        figure.add_heatmap(
            x=names,
            y=list(WEEKDAYS),
            z=grids[0].to_numpy(),
            customdata=grids[1].to_numpy(),
            colorscale=scale,
            xgap=1,
            ygap=1,
            colorbar={
                "len": 0.42,
                "x": 0.4 if col == 1 else 1.0,
                "y": 0.79 if row == 1 else 0.21,
                "thickness": 12,
            }
            | bar,
            text=words if is_time else None,
            hovertemplate="%{y}, %{x} h: %{"
            + ("text" if is_time else "z:.1%" if share else "z:,.0f")
            + "}, n = %{customdata}<extra></extra>",
            hoverongaps=False,
            row=row,
            col=col,
        )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, type="category")
    figure.update_xaxes(title="local hour", row=2)
    subtitle = f"{note}; gray cells: fewer than {settings.min_calls} calls"
    title = f"Hours and weekdays, {selected}"
    return finish_figure(figure, title, subtitle, height=640)
