"""Plotly figures of model evaluations, each with its protocol and numbers of utterances and speakers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from speech_emotion.corpora import TEST
from speech_emotion.evaluation import (
    CLEAN,
    CROSS_VALIDATION,
    DetectionSettings,
    confusion,
    headline_first,
    probability_columns,
    reliability_table,
)
from speech_emotion.reporting.models.documents import line_title, model_title
from speech_emotion.reporting.plotting import (
    COLORS,
    NEUTRAL,
    PROTOCOL_COLORS,
    counted_note,
    error_bar,
    finish_figure,
    interval,
    listed,
)

__all__ = [
    "breakdown_figure",
    "confusion_figure",
    "detection_figure",
    "emotions_figure",
    "leaderboard_figure",
    "learning_curves_figure",
    "lines_figure",
    "pca_figure",
    "reliability_figure",
    "tuning_figure",
]

SYMBOLS: Final = ("circle", "diamond", "square")
"""Marks of models, which are more than the colors."""


def leaderboard_figure(
    leaderboard: pd.DataFrame,
    *,
    labels: int,
    protocol: str = "speaker_independent",
    note: str = "",
) -> go.Figure:
    """Compare models by UAR, with 95 % intervals over speakers.

    Protocols with a test set show its UAR, the others that of cross-validation.

    Args:
        leaderboard: One row per model, protocol, condition and evaluation.
        labels: Number of labels, which gives the chance level.
        protocol: Protocol that selects the champion. It is drawn first, and models are sorted by it.
        note: Text at the end of the subtitle.
    """
    figure = go.Figure()
    board = headline_first(leaderboard, protocol)
    headline = board["protocol"] == protocol
    ranked = board[headline] if headline.any() else board
    order = ranked.groupby("model")["uar"].max().sort_values(ascending=False).index
    summaries = []
    for (name, condition), rows in board.groupby(["protocol", "condition"], sort=False):
        if condition != CLEAN and name != protocol:
            continue
        shown = rows[rows["evaluation"] == TEST]
        shown = rows if shown.empty else shown  # cross-corpus protocols have no test set
        shown = shown.set_index("model").reindex(order).dropna(subset="uar")
        titles = [model_title(str(model)) for model in shown.index]
        figure.add_scatter(
            x=titles,
            y=shown["uar"],
            error_y=error_bar(shown, "uar"),
            mode="markers",
            name=str(name) if condition == CLEAN else f"{name}, {condition}",
            marker={
                "color": PROTOCOL_COLORS.get(str(name)),
                "symbol": "circle" if condition == CLEAN else "circle-open",
                "size": 10,
            },
            offsetgroup=f"{name}{condition}",
            customdata=shown[["n_utterances", "n_speakers"]],
            hovertemplate="%{y:.1%} of n = %{customdata[0]}, %{customdata[1]} speakers",
        )
        if condition == CLEAN and len(shown):
            best = shown.iloc[int(np.argmax(shown["uar"]))]
            summaries.append(
                f"{name}: {titles[int(np.argmax(shown['uar']))]} is best with "
                f"{interval(best['uar'], best['uar_low'], best['uar_high'])}"
            )
    figure.add_hline(
        y=1 / labels,
        line_dash="dot",
        line_color=NEUTRAL,
        annotation_text=f"chance {1 / labels:.1%}",
    )
    clean = ranked[ranked["condition"] == CLEAN]
    tested = clean[clean["evaluation"] == TEST]
    counts = (clean if tested.empty else tested).iloc[0]
    subtitle = (
        f"{counts['protocol']}: "
        f"{counted_note(int(counts['n_utterances']), int(counts['n_speakers']), note)}. "
        "Only random_split has the same speakers in training and test"
    )
    figure.update_layout(scattermode="group", scattergap=0.3)
    figure.update_yaxes(title="UAR", range=[0, 1], tickformat=".0%")
    summary = f"{'; '.join(summaries)}; chance level {1 / labels:.1%}."
    title = "Unweighted average recall (UAR) by model"
    return finish_figure(figure, title, subtitle, summary=summary, wide=len(order) > 8)


def detection_figure(
    predictions: pd.DataFrame, settings: DetectionSettings, *, title: str, note: str = ""
) -> go.Figure:
    """Draw ROC and precision-recall curves of the target label.

    Args:
        predictions: Rows of one model, protocol and evaluation, with ``condition``, ``label``,
            ``speaker`` and probabilities.
        settings: Target label and allowed false alarms.
        title: Title, which names model, protocol and evaluation.
        note: Text at the end of the subtitle.
    """
    figure = make_subplots(
        cols=2, subplot_titles=["ROC", "Precision and recall"], horizontal_spacing=0.14
    )
    areas = []
    for number, (condition, rows) in enumerate(predictions.groupby("condition", sort=True)):
        truth = (rows["label"] == settings.target).to_numpy()
        if truth.all() or not truth.any():
            continue
        scores = rows[f"p_{settings.target}"].to_numpy()
        false_alarms, recalls, _ = roc_curve(truth, scores)
        precision, recall, _ = precision_recall_curve(truth, scores)
        areas.append(f"{condition} {roc_auc_score(truth, scores):.2f}")
        line = {"color": COLORS[number % len(COLORS)]}
        names = {
            "name": str(condition),
            "legendgroup": str(condition),
            "line": line,
            "mode": "lines",
        }
        figure.add_scatter(x=false_alarms, y=recalls, **names, row=1, col=1)
        figure.add_scatter(x=recall, y=precision, **names, showlegend=False, row=1, col=2)
    figure.add_vline(x=settings.false_alarms, line_dash="dot", line_color=NEUTRAL, row=1, col=1)
    figure.update_xaxes(title="false alarms", tickformat=".0%", row=1, col=1)
    figure.update_xaxes(title="recall", tickformat=".0%", row=1, col=2)
    figure.update_yaxes(title="recall", tickformat=".0%", range=[0, 1.02], row=1, col=1)
    figure.update_yaxes(title="precision", tickformat=".0%", range=[0, 1.02], row=1, col=2)
    clean = predictions[predictions["condition"] == CLEAN]
    counts = counted_note(len(clean), clean["speaker"].nunique(), note)
    subtitle = f"{counts}; dotted: {settings.false_alarms:.0%} false alarms"
    summary = f"Area under the ROC curve: {listed(areas)}." if areas else ""
    return finish_figure(figure, title, subtitle, summary=summary)


def reliability_figure(predictions: pd.DataFrame, *, title: str, note: str = "") -> go.Figure:
    """Draw accuracy by confidence; calibrated probabilities lie on the diagonal.

    Args:
        predictions: Rows of one model, protocol and evaluation, with ``condition``, ``label``,
            ``prediction``, ``speaker`` and calibrated probabilities.
        title: Title, which names model, protocol and evaluation.
        note: Text at the end of the subtitle.
    """
    figure = go.Figure()
    columns = probability_columns(predictions)
    means = []
    for condition, rows in predictions.groupby("condition", sort=True):
        confidence = rows[columns].max(axis=1).to_numpy()
        correct = (rows["label"] == rows["prediction"]).to_numpy()
        table = reliability_table(confidence, correct)
        means.append(
            f"{condition}: mean confidence {confidence.mean():.0%}, accuracy {correct.mean():.0%}"
        )
        figure.add_scatter(
            x=table["confidence"],
            y=table["accuracy"],
            mode="lines+markers",
            name=str(condition),
            customdata=table[["n"]],
            hovertemplate="confidence %{x:.0%}, accuracy %{y:.0%}, n = %{customdata[0]}",
        )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": NEUTRAL}, showlegend=False
    )
    figure.update_xaxes(title="confidence", tickformat=".0%", range=[0, 1])
    figure.update_yaxes(title="accuracy", tickformat=".0%", range=[0, 1])
    clean = predictions[predictions["condition"] == CLEAN]
    counts = counted_note(len(clean), clean["speaker"].nunique(), note)
    return finish_figure(figure, title, counts, summary=f"{'; '.join(means)}.")


def lines_figure(lines: pd.DataFrame, *, title: str, note: str = "") -> go.Figure:
    """Draw the UAR over each telephone line beside that of the same utterances without it.

    Args:
        lines: Rows of one model, protocol and evaluation of
            :func:`speech_emotion.evaluation.line_table`; may be empty.
        title: Title, which names model, protocol and evaluation.
        note: Text at the end of the subtitle.
    """
    if lines.empty:
        return finish_figure(go.Figure(), title, "no telephone sound was tested", summary="")
    titles = [line_title(str(line)) for line in lines["line"]]
    figure = go.Figure()
    figure.add_scatter(
        x=titles,
        y=lines["uar_clean"],
        mode="markers",
        name="clean",
        marker={"symbol": "circle-open", "size": 10},
        hovertemplate="%{y:.1%}",
    )
    figure.add_scatter(
        x=titles,
        y=lines["uar"],
        error_y=error_bar(lines, "uar"),
        mode="markers",
        name="over the line",
        marker={"size": 10},
        customdata=lines[["n_utterances", "n_speakers", "loss"]],
        hovertemplate=(
            "%{y:.1%} of n = %{customdata[0]}, %{customdata[1]} speakers; loss %{customdata[2]:.1%}"
        ),
    )
    figure.update_yaxes(title="UAR", range=[0, 1], tickformat=".0%")
    everything = lines.loc[lines["n_utterances"].idxmax()]
    counted = counted_note(int(everything["n_utterances"]), int(everything["n_speakers"]), note)
    losses = [f"{name} {loss:.1%}" for name, loss in zip(titles, lines["loss"], strict=True)]
    return finish_figure(figure, title, counted, summary=f"Loss of UAR: {listed(losses)}.")


def confusion_figure(
    predictions: pd.DataFrame, labels: Sequence[str], *, title: str, note: str = ""
) -> go.Figure:
    """Draw the confusion matrix: shares of each true label that occurs, with counts.

    Args:
        predictions: Columns ``label``, ``prediction``, ``speaker`` of one model and protocol.
        labels: Labels in their order.
        title: Title, which names model, protocol and evaluation.
        note: Text at the end of the subtitle.
    """
    counts = confusion(labels, predictions["label"], predictions["prediction"])
    occurring: np.ndarray = counts.sum(axis=1) > 0
    counts = counts[occurring]
    shares = counts / counts.sum(axis=1, keepdims=True)
    rows = [label for label, occurs in zip(labels, occurring, strict=True) if occurs]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=list(labels),
            y=rows,
            zmin=0,
            zmax=1,
            colorscale="Blues",
            text=counts,
            texttemplate="%{z:.0%}<br>%{text}",
            hovertemplate="%{y} predicted as %{x}: %{z:.0%}<extra></extra>",
            showscale=False,
        )
    )
    figure.update_yaxes(autorange="reversed", title="true label")
    figure.update_xaxes(title="predicted label")
    counted = counted_note(len(predictions), predictions["speaker"].nunique(), note)
    correct = np.eye(len(labels), dtype=bool)[occurring]
    recalls = [f"{label} {recall:.0%}" for label, recall in zip(rows, shares[correct], strict=True)]
    summary = f"Recall: {listed(recalls)}."
    errors = np.where(correct, 0.0, shares)
    if errors.any():
        true, predicted = map(int, np.unravel_index(np.argmax(errors), errors.shape))
        summary += (
            f" Most frequent confusion: {rows[true]} predicted as {labels[predicted]}, "
            f"{errors[true, predicted]:.0%}."
        )
    return finish_figure(figure, title, counted, summary=summary, height=600)


def emotions_figure(utterances: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the number of utterances of each label and corpus."""
    counts = utterances.groupby(["corpus", "label"]).size().unstack(fill_value=0)
    figure = go.Figure(
        [
            go.Bar(name=str(corpus), x=list(counts.columns), y=row.to_numpy())
            for corpus, row in counts.iterrows()
        ]
    )
    figure.update_yaxes(title="utterances")
    counted = counted_note(len(utterances), utterances["speaker"].nunique(), note)
    totals = [f"{label} {count}" for label, count in counts.sum().items()]
    return finish_figure(
        figure,
        "Utterances by label and corpus",
        counted,
        summary=f"Utterances: {listed(totals)}.",
        barmode="stack",
    )


def breakdown_figure(breakdown: pd.DataFrame, *, title: str, note: str = "") -> go.Figure:
    """Draw the UAR by corpus, sex and speaker, with intervals for groups of several speakers.

    Args:
        breakdown: Columns ``by``, ``value``, ``n_utterances``, ``n_speakers`` and the UAR with its
            interval.
        title: Title, which names model, protocol and evaluation.
        note: Text at the end of the subtitle.
    """
    figure = go.Figure()
    summaries = []
    for by, group in breakdown.groupby("by", sort=False):
        rows = group.sort_values("uar", ascending=False)
        figure.add_bar(
            x=rows["value"],
            y=rows["uar"],
            name=str(by),
            error_y=error_bar(rows, "uar", color=NEUTRAL),
            customdata=rows[["n_utterances", "n_speakers"]],
            hovertemplate="%{x}: %{y:.1%} of n = %{customdata[0]}, %{customdata[1]} speaker(s)",
        )
        if len(rows) > 6:
            lowest, highest = rows["uar"].min(), rows["uar"].max()
            summaries.append(f"{len(rows)} {by}s: {lowest:.0%} to {highest:.0%}")
        else:
            shown = [f"{row.value} {row.uar:.0%}" for row in rows.itertuples()]
            summaries.append(f"{by}: {listed(shown)}")
    figure.update_yaxes(title="UAR", range=[0, 1], tickformat=".0%")
    counts = breakdown[breakdown["by"] == breakdown["by"].iloc[0]]
    counted = counted_note(int(counts["n_utterances"].sum()), int(counts["n_speakers"].sum()), note)
    wide = len(breakdown) > 12
    return finish_figure(
        figure, title, counted, wide=wide, summary=f"UAR by {'; by '.join(summaries)}."
    )


def learning_curves_figure(curves: pd.DataFrame, *, trained_on: str) -> go.Figure:
    """Draw the loss of a network over epochs, on training and validation data.

    Args:
        curves: Columns ``run``, ``epoch``, ``loss``, ``val_loss`` of one model and protocol.
        trained_on: Protocol and numbers of training utterances and speakers, for the subtitle.
    """
    figure = go.Figure()
    last = []
    for number, (run, rows) in enumerate(curves.groupby("run", sort=True)):
        color = COLORS[number % len(COLORS)]
        for column, dash, name in (
            ("loss", "solid", "training"),
            ("val_loss", "dot", "validation"),
        ):
            if rows[column].notna().any():
                last.append(f"{run}, {name} {rows[column].dropna().iloc[-1]:.2f}")
                figure.add_scatter(
                    x=rows["epoch"],
                    y=rows[column],
                    name=f"{run}, {name}",
                    line={"color": color, "dash": dash},
                )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="cross-entropy", rangemode="tozero")
    subtitle = f"Solid: training, dotted: validation fold; {trained_on}"
    summary = f"Cross-entropy after the last epoch: {listed(last)}." if last else "No curves."
    return finish_figure(figure, "Learning curves of the network", subtitle, summary=summary)


def pca_figure(variance: pd.DataFrame, *, trained_on: str) -> go.Figure:
    """Draw the explained variance of the principal components of the MFCC block.

    Args:
        variance: Columns ``component``, ``explained``, ``cumulative``.
        trained_on: Protocol and numbers of training utterances and speakers, for the subtitle.
    """
    figure = go.Figure()
    figure.add_bar(x=variance["component"], y=variance["explained"], name="component")
    figure.add_scatter(x=variance["component"], y=variance["cumulative"], name="cumulative")
    figure.update_xaxes(title="principal component of the MFCC statistics")
    figure.update_yaxes(title="explained variance", range=[0, 1.02], tickformat=".0%")
    subtitle = f"{len(variance)} components; {trained_on}"
    needed = int((variance["cumulative"] < 0.9).sum()) + 1
    summary = (
        f"The first component explains {variance['explained'].iloc[0]:.0%} of the variance, the first "
        f"{min(needed, len(variance))} of {len(variance)} components explain 90%."
    )
    return finish_figure(figure, "PCA of the MFCCs", subtitle, summary=summary)


def tuning_figure(trials: pd.DataFrame, *, trained_on: str) -> go.Figure:
    """Draw the UAR of each trial and the best UAR so far for each model.

    Args:
        trials: Columns ``model``, ``trial``, ``state``, ``uar``.
        trained_on: Protocol and numbers of training utterances and speakers, for the subtitle.
    """
    figure = go.Figure()
    best = []
    for number, (model, rows) in enumerate(trials.groupby("model", sort=True)):
        title = model_title(str(model))
        color = COLORS[number % len(COLORS)]
        done = rows[rows["state"] == "complete"]
        pruned = rows[rows["state"] == "pruned"]
        marks = {"color": color, "symbol": SYMBOLS[number // len(COLORS) % len(SYMBOLS)], "size": 8}
        if len(done):
            best.append(f"{title} {done['uar'].max():.1%} in {len(done)} trials")
        figure.add_scatter(
            x=done["trial"],
            y=done["uar"],
            mode="markers",
            marker=marks,
            name=title,
            legendgroup=title,
        )
        figure.add_scatter(
            x=done["trial"],
            y=done["uar"].cummax(),
            line={"color": color, "shape": "hv"},
            name=f"{title}, best",
            legendgroup=title,
            showlegend=False,
        )
        figure.add_scatter(
            x=pruned["trial"],
            y=pruned["uar"],
            mode="markers",
            marker=marks | {"symbol": "x-thin-open"},
            name=f"{title}, pruned",
            legendgroup=title,
            showlegend=False,
        )
    figure.update_xaxes(title="trial", tickformat="d")
    figure.update_yaxes(title="mean UAR over folds", tickformat=".1%")
    subtitle = f"×: pruned trial; {CROSS_VALIDATION}, {trained_on}"
    summary = f"Best mean UAR: {listed(best)}." if best else "No trials."
    return finish_figure(figure, "Hyperparameter search", subtitle, summary=summary)
