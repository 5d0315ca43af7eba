"""Plotly figures of tables: each says its protocol, how many utterances and how many speakers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from sklearn.metrics import precision_recall_curve, roc_curve

from speech_emotion.corpora import TEST
from speech_emotion.evaluation import (
    CLEAN,
    CROSS_VALIDATION,
    DetectionSettings,
    confusion,
    probability_columns,
    reliability_table,
)

__all__ = [
    "breakdown_figure",
    "confusion_figure",
    "detection_figure",
    "emotions_figure",
    "leaderboard_figure",
    "learning_curves_figure",
    "pca_figure",
    "reliability_figure",
    "tuning_figure",
]

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLORS: Final = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
    "#F0E442",
    "#444",
)
PROTOCOL_COLORS: Final = {
    "speaker_independent": "#0072B2",
    "enrolled": "#009E73",
    "speaker_adapted": "#56B4E9",
    "cross_corpus": "#CC79A7",
    "cross_corpus_adapted": "#E69F00",
    "random_split": "#D55E00",
}


def finish_figure(figure: go.Figure, title: str, subtitle: str, **layout: object) -> go.Figure:
    figure.update_layout(
        template="plotly_white",
        title={"text": title, "subtitle": {"text": subtitle}},
        margin={"t": 100, "b": 60},
        colorway=list(COLORS),
        **layout,
    )
    return figure


def counted_note(utterances: int, speakers: int, note: str) -> str:
    return f"n = {utterances} utterances of {speakers} speakers{note}"


def leaderboard_figure(leaderboard: pd.DataFrame, *, labels: int, note: str = "") -> go.Figure:
    """Compare models by UAR, with 95 % intervals over speakers.

    Args:
        leaderboard: One row a model, protocol and evaluation.
        labels: Number of labels, for the chance level.
        note: Said in the subtitle.
    """
    figure = go.Figure()
    speaker_independent = leaderboard[leaderboard["protocol"] == "speaker_independent"]
    ranked = speaker_independent if len(speaker_independent) else leaderboard
    order = ranked.groupby("model")["uar"].max().sort_values(ascending=False).index
    for (protocol, condition), rows in leaderboard.groupby(["protocol", "condition"], sort=True):
        if condition != CLEAN and protocol != "speaker_independent":
            continue
        # Corpora that are predicted by others have no held-out part: each is a fold.
        tested = rows[rows["evaluation"] == TEST]
        tested = rows if tested.empty else tested
        tested = tested.set_index("model").reindex(order).dropna(subset="uar")
        figure.add_scatter(
            x=list(tested.index),
            y=tested["uar"],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": tested["uar_high"] - tested["uar"],
                "arrayminus": tested["uar"] - tested["uar_low"],
            },
            mode="markers",
            name=str(protocol) if condition == CLEAN else f"{protocol}, {condition}",
            marker={
                "color": PROTOCOL_COLORS.get(str(protocol)),
                "symbol": "circle" if condition == CLEAN else "circle-open",
                "size": 10,
            },
            offsetgroup=f"{protocol}{condition}",
            customdata=tested[["n_utterances", "n_speakers"]],
            hovertemplate="%{y:.1%} of n = %{customdata[0]}, %{customdata[1]} speakers",
        )
    figure.add_hline(y=1 / labels, line_dash="dot", annotation_text="chance")
    clean = leaderboard[
        (leaderboard["protocol"] == "speaker_independent") & (leaderboard["condition"] == CLEAN)
    ]
    test_rows = clean[clean["evaluation"] == TEST]
    counts = (clean if test_rows.empty else test_rows).iloc[0]
    subtitle = (
        "Speakers leak under random_split, and under no other protocol. speaker_independent: "
    )
    subtitle += counted_note(int(counts["n_utterances"]), int(counts["n_speakers"]), note)
    figure.update_layout(scattermode="group", scattergap=0.3)
    figure.update_yaxes(title="UAR", range=[0, 1], tickformat=".0%")
    return finish_figure(figure, "Models by unweighted average recall", subtitle)


def detection_figure(
    predictions: pd.DataFrame, settings: DetectionSettings, *, title: str, note: str = ""
) -> go.Figure:
    """Draw ROC and precision-recall curves of one label against the rest.

    Args:
        predictions: Rows of one model, protocol and evaluation, with ``condition``, ``label``,
            ``speaker`` and probabilities.
        settings: Label and allowed false alarms.
        title: Title, naming model, protocol and evaluation.
        note: Said in the subtitle.
    """
    figure = make_subplots(cols=2, subplot_titles=["ROC", "Precision at the corpus's prevalence"])
    for number, (condition, rows) in enumerate(predictions.groupby("condition", sort=True)):
        truth = (rows["label"] == settings.target).to_numpy()
        if truth.all() or not truth.any():
            continue
        scores = rows[f"p_{settings.target}"].to_numpy()
        false_alarms, recalls, _ = roc_curve(truth, scores)
        precision, recall, _ = precision_recall_curve(truth, scores)
        line = {"color": COLORS[number % len(COLORS)]}
        names = {"name": str(condition), "legendgroup": str(condition), "line": line}
        figure.add_scatter(x=false_alarms, y=recalls, **names, row=1, col=1)
        figure.add_scatter(x=recall, y=precision, **names, showlegend=False, row=1, col=2)
    figure.add_vline(x=settings.false_alarms, line_dash="dot", row=1, col=1)
    figure.update_xaxes(title="false alarms", tickformat=".0%", row=1, col=1)
    figure.update_xaxes(title="recall", tickformat=".0%", row=1, col=2)
    figure.update_yaxes(title="recall", tickformat=".0%", range=[0, 1.02], row=1, col=1)
    figure.update_yaxes(title="precision", tickformat=".0%", range=[0, 1.02], row=1, col=2)
    clean = predictions[predictions["condition"] == CLEAN]
    return finish_figure(figure, title, counted_note(len(clean), clean["speaker"].nunique(), note))


def reliability_figure(predictions: pd.DataFrame, *, title: str, note: str = "") -> go.Figure:
    """Draw accuracy by confidence: on the diagonal, 80 % sure is right in 80 % of cases.

    Args:
        predictions: Rows of one model, protocol and evaluation, with ``condition``, ``label``,
            ``prediction``, ``speaker`` and calibrated probabilities.
        title: Title, naming model, protocol and evaluation.
        note: Said in the subtitle.
    """
    figure = go.Figure()
    columns = probability_columns(predictions)
    for condition, rows in predictions.groupby("condition", sort=True):
        table = reliability_table(
            rows[columns].max(axis=1).to_numpy(), (rows["label"] == rows["prediction"]).to_numpy()
        )
        figure.add_scatter(
            x=table["confidence"],
            y=table["accuracy"],
            mode="lines+markers",
            name=str(condition),
            customdata=table[["n"]],
            hovertemplate="%{x:.0%} sure, %{y:.0%} right, n = %{customdata[0]}",
        )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": "#888"}, showlegend=False
    )
    figure.update_xaxes(title="confidence", tickformat=".0%", range=[0, 1])
    figure.update_yaxes(title="accuracy", tickformat=".0%", range=[0, 1])
    clean = predictions[predictions["condition"] == CLEAN]
    return finish_figure(figure, title, counted_note(len(clean), clean["speaker"].nunique(), note))


def confusion_figure(
    predictions: pd.DataFrame, labels: Sequence[str], *, title: str, note: str = ""
) -> go.Figure:
    """Show which labels are taken for which: shares of each true label, counts in the cells.

    Args:
        predictions: Columns ``label``, ``prediction``, ``speaker`` of one model and protocol.
        labels: Labels in their order.
        title: Title, naming model, protocol and evaluation.
        note: Said in the subtitle.
    """
    counts = confusion(labels, predictions["label"], predictions["prediction"])
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=list(labels),
            y=list(labels),
            zmin=0,
            zmax=1,
            colorscale="Blues",
            text=[
                [f"{share:.0%}<br>{count}" for share, count in zip(*row, strict=True)]
                for row in zip(shares, counts, strict=True)
            ],
            texttemplate="%{text}",
            colorbar={"tickformat": ".0%", "title": "share"},
        )
    )
    figure.update_yaxes(autorange="reversed", title="true label")
    figure.update_xaxes(title="predicted label")
    counted = counted_note(len(predictions), predictions["speaker"].nunique(), note)
    return finish_figure(figure, title, counted, height=620, width=760)


def emotions_figure(utterances: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Count the utterances of each label and corpus."""
    counts = utterances.groupby(["corpus", "label"]).size().unstack(fill_value=0)
    figure = go.Figure(
        [
            go.Bar(name=str(corpus), x=list(counts.columns), y=row.to_numpy())
            for corpus, row in counts.iterrows()
        ]
    )
    figure.update_yaxes(title="utterances")
    counted = counted_note(len(utterances), utterances["speaker"].nunique(), note)
    return finish_figure(figure, "Utterances by label and corpus", counted, barmode="stack")


def breakdown_figure(breakdown: pd.DataFrame, *, title: str, note: str = "") -> go.Figure:
    """Show UAR by corpus, sex and speaker, with intervals where there are several speakers."""
    figure = go.Figure()
    for by, part in breakdown.groupby("by", sort=False):
        rows = part.sort_values("uar", ascending=False)
        figure.add_bar(
            x=rows["value"],
            y=rows["uar"],
            name=str(by),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": rows["uar_high"] - rows["uar"],
                "arrayminus": rows["uar"] - rows["uar_low"],
            },
            customdata=rows[["n_utterances", "n_speakers"]],
            hovertemplate="%{x}: %{y:.1%} of n = %{customdata[0]}, %{customdata[1]} speaker(s)",
        )
    figure.update_yaxes(title="UAR", range=[0, 1], tickformat=".0%")
    counts = breakdown[breakdown["by"] == breakdown["by"].iloc[0]]
    counted = counted_note(int(counts["n_utterances"].sum()), int(counts["n_speakers"].sum()), note)
    return finish_figure(figure, title, counted)


def learning_curves_figure(curves: pd.DataFrame, *, trained_on: str) -> go.Figure:
    """Draw a network's loss over epochs, in training and on the fold it did not see.

    Args:
        curves: Columns ``run``, ``epoch``, ``loss``, ``val_loss`` of one model and protocol.
        trained_on: Protocol and numbers of training utterances and speakers, for the subtitle.
    """
    figure = go.Figure()
    for number, (run, rows) in enumerate(curves.groupby("run", sort=True)):
        colour = COLORS[number % len(COLORS)]
        for column, dash, name in (("loss", "solid", "training"), ("val_loss", "dot", "unseen")):
            if rows[column].notna().any():
                figure.add_scatter(
                    x=rows["epoch"],
                    y=rows[column],
                    name=f"{run}, {name}",
                    line={"color": colour, "dash": dash},
                )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="cross-entropy", rangemode="tozero")
    subtitle = f"The unseen fold is watched, not learnt; {trained_on}"
    return finish_figure(figure, "Learning curves of the network", subtitle)


def pca_figure(variance: pd.DataFrame, *, trained_on: str) -> go.Figure:
    """Draw the variance of the MFCC block that its principal components explain.

    Args:
        variance: Columns ``component``, ``explained``, ``cumulative``.
        trained_on: Protocol and numbers of training utterances and speakers, for the subtitle.
    """
    figure = go.Figure()
    figure.add_bar(x=variance["component"], y=variance["explained"], name="component")
    figure.add_scatter(x=variance["component"], y=variance["cumulative"], name="together")
    figure.update_xaxes(title="principal component of the MFCC statistics")
    figure.update_yaxes(title="explained variance", range=[0, 1.02], tickformat=".0%")
    subtitle = f"{len(variance)} components; {trained_on}"
    return finish_figure(figure, "PCA of the MFCCs", subtitle)


def tuning_figure(trials: pd.DataFrame, *, trained_on: str) -> go.Figure:
    """Draw the UAR of each trial and the best so far, model by model.

    Args:
        trials: Columns ``model``, ``trial``, ``state``, ``uar``.
        trained_on: Protocol and numbers of training utterances and speakers, for the subtitle.
    """
    figure = go.Figure()
    for number, (model, rows) in enumerate(trials.groupby("model", sort=True)):
        colour = COLORS[number % len(COLORS)]
        done = rows[rows["state"] == "complete"]
        pruned = rows[rows["state"] == "pruned"]
        marks = {"color": colour}
        figure.add_scatter(
            x=done["trial"], y=done["uar"], mode="markers", marker=marks, name=str(model)
        )
        figure.add_scatter(
            x=done["trial"],
            y=done["uar"].cummax(),
            line={"color": colour, "shape": "hv"},
            name=f"{model}, best",
            showlegend=False,
        )
        figure.add_scatter(
            x=pruned["trial"],
            y=pruned["uar"],
            mode="markers",
            marker=marks | {"symbol": "x-thin-open"},
            name=f"{model}, pruned",
            showlegend=False,
        )
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title="mean UAR over folds", tickformat=".0%")
    subtitle = f"× was pruned; {CROSS_VALIDATION}, {trained_on}"
    return finish_figure(figure, "Hyperparameter search", subtitle)
