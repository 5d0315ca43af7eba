"""Page of the feedback of reviewers: precision, misses, reliability and what recalibration changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from speech_emotion.reporting.plotting import COLORS, error_bar, finish_figure, interval
from speech_emotion.reporting.sections import Section, sections_page

__all__ = ["feedback_page", "learning_figure", "reliability_figure", "simulation_page"]

TITLE: Final = "Feedback of reviewers"
DESCRIPTION: Final = (
    "Flags of {model}, compared with the verdicts of reviewers on this center's own calls. Every item "
    "weighs 1 over the probability with which it was chosen for review. Precision is the share of "
    "flagged passages that reviewers call angry; recall the share of angry speech, by its duration, that "
    "is flagged; false alarms are passages that are not angry, in an hour of calls. In brackets: 95 % "
    "intervals from a bootstrap over callers."
)
SYNTHETIC: Final = "The model was trained on SYNTHETIC speech: these numbers mean nothing."
SIMULATION: Final = (
    "Reviewers are simulated: they judge windows of test calls, and {error:.0%} of their verdicts are wrong. "
    "The probability of anger is recalibrated with all verdicts so far, and tested on other callers; each "
    "of the {callers} callers is tested once. In brackets: 95 % intervals from a bootstrap over callers."
)
RULES: Final = (
    "Uncertain: half of the windows are drawn at random from those that reach half of the threshold of the "
    "round before, as in the queue of reviews, and half from all; random: all are drawn from all."
)
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
    left_out: pd.DataFrame,
    corpus: pd.DataFrame,
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
        left_out: Items that are no part of the corpus.
        corpus: Reviewed windows with an emotion.
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
            "callers": metrics["n_callers"],
            "hours scored": metrics["hours"].round(1),
        }
    ).astype(str)
    counts = corpus.groupby("emotion").agg(
        windows=("file", "size"), callers=("speaker", "nunique"), agreement=("weight", "mean")
    )
    counts = counts.round(2).reset_index().astype(str)
    numbers = changes.rename(columns=METRICS | {"n_flagged": "flagged"}).round(4)
    numbers = (
        numbers.astype({"flagged": int}).astype(object).where(numbers.notna(), "–").astype(str)
    )
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
            "Threshold and probability are fitted to the verdicts of the other callers: sigmoid(slope · "
            f"logit(p) + intercept). Metrics on the verdicts set aside.{note}",
            numbers,
        ),
        Section("excluded", "Verdicts that are left out", "", excluded.astype(str)),
        Section("corpus", "Reviewed calls as a corpus", _corpus_words(corpus, left_out), counts),
    ]
    return sections_page(
        TITLE,
        (f"{SYNTHETIC} " if synthetic else "") + DESCRIPTION.format(model=model),
        sections,
        {"reliability": figure},
    )


def _corpus_words(corpus: pd.DataFrame, left_out: pd.DataFrame) -> str:
    """Say what the corpus has, and what it has not."""
    missing = "; ".join(f"{row.n} items: {row.reason}" for row in left_out.itertuples() if row.n)
    return (
        f"{len(corpus)} windows of {corpus['speaker'].nunique()} callers have an emotion; train on them with "
        f"corpora.entries. {f'Left out: {missing}.' if missing else ''}"
    )


def _in_words(shown: pd.DataFrame) -> str:
    """Return the first row, the current flags on all verdicts, as a sentence."""
    row = shown.iloc[0]
    values = ", ".join(f"{title} {row[title]}" for title in METRICS.values())
    return (
        f"Current flags, all verdicts: {values}; n = {row['items']} items, {row['angry']} of them angry, "
        f"in {row['calls with verdicts']} calls."
    )


def learning_figure(rounds: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw precision and recall of flagged windows against the number of verdicts.

    Args:
        rounds: Table of :func:`speech_emotion.feedback.simulate_rounds`.
        note: Notice behind the subtitle.
    """
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=("precision", "recall"), shared_yaxes=True
    )
    texts = []
    for position, (strategy, rows) in enumerate(rounds.groupby("strategy", sort=False)):
        for column, metric in enumerate(("precision", "recall"), start=1):
            figure.add_scatter(
                x=rows["n_verdicts"],
                y=rows[metric],
                error_y=error_bar(rows, metric),
                mode="lines+markers",
                name=str(strategy),
                legendgroup=str(strategy),
                showlegend=column == 1,
                marker={"color": COLORS[position]},
                hovertemplate="%{x} verdicts: %{y:.1%}",
                row=1,
                col=column,
            )
        first, last = rows.iloc[0], rows.iloc[-1]
        texts.append(
            f"{strategy}: precision {first['precision']:.0%} before, {last['precision']:.0%} after "
            f"{last['n_verdicts']} verdicts, recall {first['recall']:.0%} and {last['recall']:.0%}"
        )
    figure.update_xaxes(title="verdicts")
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    row = rounds.iloc[0]
    return finish_figure(
        figure,
        "Learning from verdicts",
        f"flagged windows of callers that nobody reviewed, {row['n_callers']} callers, "
        f"{row['n_windows']:,} windows{note}",
        summary="; ".join(texts) + ".",
        height=460,
        wide=True,
    )


def simulation_page(
    rounds: pd.DataFrame, figure: go.Figure, *, error: float, note: str = ""
) -> str:
    """Render the simulated rounds as one self-contained HTML file.

    Args:
        rounds: Table of :func:`speech_emotion.feedback.simulate_rounds`.
        figure: The learning curves.
        error: Share of wrong verdicts.
        note: Notice at the end of the title.
    """
    names = ["precision", "recall", "f1"]
    gains = {"f1_gain": "F1 gained", "precision_gain": "precision gained since round 1"}
    shown = pd.DataFrame(
        {
            "windows to review": rounds["strategy"],
            "verdicts": rounds["n_verdicts"],
        }
        | {
            METRICS[name]: [
                interval(*row) for row in rounds[[name, f"{name}_low", f"{name}_high"]].to_numpy()
            ]
            for name in names
        }
        | {
            title: [
                interval(*row, signed=True)
                for row in rounds[[name, f"{name}_low", f"{name}_high"]].to_numpy()
            ]
            for name, title in gains.items()
        }
    ).astype(str)
    sections = [
        Section("rounds", "Rounds of reviewing", f"{_enough(rounds)} {RULES}", shown),
    ]
    return sections_page(
        "Learning from verdicts",
        SIMULATION.format(error=error, callers=rounds["n_callers"].iloc[0]),
        sections,
        {"rounds": figure},
        note=note,
    )


def _enough(rounds: pd.DataFrame) -> str:
    """Say after how many verdicts F1 and precision are higher, for each strategy."""
    texts = []
    for strategy, rows in rounds.groupby("strategy", sort=False):
        for name, since, start in (("F1", "before", 0), ("precision", "in the first round", 1)):
            higher = rows[(rows["round"] > start) & (rows[f"{name.lower()}_gain_low"] > 0)]
            found = (
                f"after {higher['n_verdicts'].iloc[0]} verdicts" if len(higher) else "in no round"
            )
            texts.append(f"{strategy}, {name} higher than {since}: {found}")
    return f"With the whole interval above zero – {'; '.join(texts)}."
