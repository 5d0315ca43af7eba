"""Page of the feedback of reviewers: precision, misses, reliability and what recalibration changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd
import plotly.graph_objects as go

from speech_emotion.reporting.plotting import COLORS, finish_figure, interval
from speech_emotion.reporting.sections import Section, sections_page

__all__ = ["feedback_page", "reliability_figure"]

TITLE: Final = "Feedback of reviewers"
DESCRIPTION: Final = (
    "Flags of {model}, compared with the verdicts of reviewers on this center's own calls. Every item "
    "weighs 1 over the probability with which it was chosen for review. Precision is the share of "
    "flagged passages that reviewers call angry; recall the share of angry speech, by its duration, that "
    "is flagged; false alarms are passages that are not angry, in an hour of calls. In brackets: 95 % "
    "intervals from a bootstrap over calls."
)
SYNTHETIC: Final = "The model was trained on SYNTHETIC speech: these figures mean nothing."
METRICS: Final = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "false_alarms_per_hour": "false alarms an hour",
}


def reliability_figure(
    curves: Mapping[str, pd.DataFrame], *, n_items: int, n_calls: int, synthetic: bool = False
) -> go.Figure:
    """Draw the share of items that reviewers call angry against the score.

    Args:
        curves: Tables of :func:`speech_emotion.feedback.reliability` by the name of the operation.
        n_items: Number of items.
        n_calls: Number of their calls.
        synthetic: Whether the model was trained on synthetic speech.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="ideal", line={"dash": "dot", "color": COLORS[-1]}
    )
    texts = []
    for position, (name, rows) in enumerate(curves.items()):
        figure.add_scatter(
            x=rows["score"],
            y=rows["angry"],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": rows["high"] - rows["angry"],
                "arrayminus": rows["angry"] - rows["low"],
            },
            mode="lines+markers",
            name=name,
            marker={"color": COLORS[position]},
            customdata=rows[["n"]],
            hovertemplate="score %{x:.2f}: %{y:.0%} angry, n = %{customdata[0]}",
        )
        points = [f"{row.score:.2f}: {row.angry:.0%}" for row in rows.itertuples()]
        texts.append(f"{name}: {', '.join(points) or 'no items'}")
    figure.update_xaxes(title="score", range=[0, 1])
    figure.update_yaxes(title="share that reviewers call angry", range=[0, 1], tickformat=".0%")
    note = ", SYNTHETIC speech in training" if synthetic else ""
    return finish_figure(
        figure,
        "Reliability on reviewed calls",
        f"verdicts set aside for testing, n = {n_items} items of {n_calls} calls{note}",
        summary="; ".join(texts) + ".",
        height=460,
    )


def feedback_page(
    metrics: pd.DataFrame,
    changes: pd.DataFrame,
    excluded: pd.DataFrame,
    figure: go.Figure,
    *,
    model: str,
    reason: str = "",
    synthetic: bool = False,
) -> str:
    """Render the results as one self-contained HTML file.

    Args:
        metrics: Metrics by verdicts and operation.
        changes: What recalibration changes.
        excluded: Verdicts that are left out.
        figure: Reliability.
        model: Name and version of the model.
        reason: Why there is no recalibrated model; empty if there is one.
        synthetic: Whether the model was trained on synthetic speech.
    """
    shown = pd.DataFrame(
        {"verdicts": metrics["verdicts"], "operation": metrics["operation"]}
        | {
            title: [
                interval(*row)
                if name != "false_alarms_per_hour"
                else f"{row[0]:.2f} [{row[1]:.2f}, {row[2]:.2f}]"
                for row in metrics[[name, f"{name}_low", f"{name}_high"]].to_numpy()
            ]
            for name, title in METRICS.items()
        }
        | {
            "items": metrics["n_items"],
            "angry": metrics["n_angry"],
            "flagged": metrics["n_flagged"],
            "calls with verdicts": metrics["n_calls"],
            "hours scored": metrics["hours"].round(1),
        }
    ).astype(str)
    numbers = changes.rename(columns=METRICS).round(4).astype(str)
    note = f" {reason[:1].upper()}{reason[1:]}." if reason else ""
    sections = [
        Section(
            "metrics",
            "Precision, recall and false alarms",
            f"{_in_words(shown)} The table also has the verdicts set aside for testing.",
            shown,
        ),
        Section(
            "reliability",
            "Recalibration",
            "Threshold and probability are fitted to the verdicts of the other calls: sigmoid(slope · "
            f"logit(p) + intercept). Metrics on the verdicts set aside.{note}",
            numbers,
        ),
        Section("excluded", "Verdicts that are left out", "", excluded.astype(str)),
    ]
    return sections_page(
        TITLE,
        (f"{SYNTHETIC} " if synthetic else "") + DESCRIPTION.format(model=model),
        sections,
        {"reliability": figure},
    )


def _in_words(shown: pd.DataFrame) -> str:
    """Return the first row, the current flags on all verdicts, as a sentence."""
    row = shown.iloc[0]
    values = ", ".join(f"{title} {row[title]}" for title in METRICS.values())
    return (
        f"Current flags, all verdicts: {values}; n = {row['items']} items, {row['angry']} of them angry, "
        f"in {row['calls with verdicts']} calls."
    )
