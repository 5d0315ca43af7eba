"""Plotly figures of tables about calls."""

from __future__ import annotations

from typing import Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from speech_emotion.reporting.plotting import COLORS, error_bar, finish_figure, row_interval

__all__ = ["call_evaluation_figure"]

SHOWN: Final = {
    "passage_recall": ("Passages found", "share"),
    "passage_precision": ("Precision of flagged passages", "share"),
    "call_recall": ("Angry calls flagged", "share"),
    "false_alarms_per_hour": ("False alarms", "per hour of calls"),
    "seconds_to_detect": ("Time to detect, median", "seconds"),
    "review_share": ("Calls sent to review", "share"),
}


def call_evaluation_figure(table: pd.DataFrame, *, target: str, note: str = "") -> go.Figure:
    """Draw the metrics of flagged passages and calls by signal-to-noise ratio and condition.

    Args:
        table: Table of :func:`speech_emotion.call_scoring.call_metrics`.
        target: Label that is flagged.
        note: Text at the end of the subtitle.
    """
    titles = [title for title, _ in SHOWN.values()]
    figure = make_subplots(2, 3, subplot_titles=titles, vertical_spacing=0.17)
    for number, (condition, rows) in enumerate(table.groupby("condition", sort=True)):
        noise_levels = [snr if snr == "all" else f"{float(snr):g} dB" for snr in rows["snr_db"]]
        for cell, name in enumerate(SHOWN):
            figure.add_scatter(
                row=cell // 3 + 1,
                col=cell % 3 + 1,
                x=noise_levels,
                y=rows[name],
                error_y=error_bar(rows, name, thickness=1),
                mode="markers",
                name=str(condition),
                legendgroup=str(number),
                showlegend=cell == 0,
                marker={"color": COLORS[number], "size": 9},
                hovertemplate="%{x}: %{y:.2f}",
            )
    figure.update_layout(scattermode="group", scattergap=0.6)
    for cell, (_, unit) in enumerate(SHOWN.values()):
        row, col = cell // 3 + 1, cell % 3 + 1
        figure.update_yaxes(title=unit, rangemode="tozero", row=row, col=col)
        if unit == "share":
            figure.update_yaxes(range=[0, 1.05], row=row, col=col)
    overall = table[table["snr_db"] == "all"]
    first = overall.iloc[0]
    found = [
        f"{row['condition']} {row_interval(row, 'passage_recall')}"
        for row in overall.to_dict("records")
    ]
    return finish_figure(
        figure,
        f"{target.capitalize()} passages in test calls, by signal-to-noise ratio",
        f"n = {first['n_calls']} calls per condition, {first['n_passages']} passages, "
        f"{first['hours']:.1f} h, {first['n_customers']} customers without training data; "
        f"95 % intervals over calls{note}",
        summary=f"Passages found: {', '.join(found)}.",
        height=720,
        legend={"orientation": "h", "y": -0.09},
    )
