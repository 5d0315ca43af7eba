"""Plotly figures of tables about calls."""

from __future__ import annotations

from typing import Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from speech_emotion.reporting.models import COLORS

__all__ = ["call_evaluation_figure"]

SHOWN: Final = {
    "passage_recall": ("Passages found", "share"),
    "passage_precision": ("Flagged passages that are right", "share"),
    "call_recall": ("Angry calls flagged", "share"),
    "false_alarms_per_hour": ("False alarms", "an hour of call"),
    "seconds_to_detect": ("Time to detect, median", "seconds"),
    "review_share": ("Calls sent to review", "share"),
}


def call_evaluation_figure(table: pd.DataFrame, *, target: str, note: str = "") -> go.Figure:
    """Show how calls are flagged by noise, for each condition.

    Args:
        table: Table of :func:`speech_emotion.call_scoring.call_metrics`.
        target: What is flagged.
        note: Said in the subtitle.
    """
    titles = [title for title, _ in SHOWN.values()]
    figure = make_subplots(2, 3, subplot_titles=titles, vertical_spacing=0.17)
    for number, (condition, rows) in enumerate(table.groupby("condition", sort=True)):
        places = [snr if snr == "all" else f"{float(snr):g} dB" for snr in rows["snr_db"]]
        for cell, name in enumerate(SHOWN):
            figure.add_scatter(
                row=cell // 3 + 1,
                col=cell % 3 + 1,
                x=places,
                y=rows[name],
                error_y={
                    "type": "data",
                    "array": rows[f"{name}_high"] - rows[name],
                    "arrayminus": rows[name] - rows[f"{name}_low"],
                    "thickness": 1,
                },
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
    every = table[table["snr_db"] == "all"].iloc[0]
    figure.update_layout(
        template="plotly_white",
        height=720,
        margin={"t": 110, "b": 90},
        legend={"orientation": "h", "y": -0.09},
        title={
            "text": f"{target.capitalize()} passages in test calls, by signal-to-noise ratio",
            "subtitle": {
                "text": f"n = {every['n_calls']} calls a condition, {every['n_passages']} passages, "
                f"{every['hours']:.1f} h, {every['n_customers']} customers the model never heard; "
                f"95 % intervals over calls{note}"
            },
        },
    )
    return figure
