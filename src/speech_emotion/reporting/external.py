"""Figures, tables and the page of external evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from speech_emotion.audio import TELEPHONE_TEST
from speech_emotion.evaluation import (
    CLEAN,
    EXTERNAL_METRICS,
    TELEPHONE,
    DetectionSettings,
    Exposure,
)
from speech_emotion.models import UNSEEN, Threshold
from speech_emotion.reporting.models import (
    breakdown_figure,
    confusion_figure,
    detection_figure,
    detection_title,
    line_title,
    lines_figure,
    model_title,
    reliability_figure,
)
from speech_emotion.reporting.plotting import COLORS, finish_figure, row_interval
from speech_emotion.reporting.rendering import figure_html, template

__all__ = [
    "ExternalResults",
    "count_recordings",
    "describe_external",
    "external_figures",
    "external_metrics",
    "external_page",
    "list_rejected",
]

LISTED: Final = 200
"""Rejected files that the page lists; the table has all."""
SYNTHETIC: Final = " (SYNTHETIC speech)"
ALL: Final = "all"


@dataclass(frozen=True)
class ExternalResults:
    """What the page of an external evaluation shows.

    Attributes:
        metrics: Table of :func:`speech_emotion.evaluation.external_table`.
        classes: Table of :func:`speech_emotion.evaluation.class_recall_table`.
        lines: Table of :func:`speech_emotion.evaluation.line_table`.
        data: Table of :func:`count_recordings`.
        rejected: Table of :func:`list_rejected`.
        exposure: How much of the data was in the model's training data.
        synthetic: Whether the evaluated speech is synthetic.
        labels: Labels of the model.
        target: Label that is detected.
        threshold: Decision threshold of the model; ``None`` if it has none.
        encoder: Name of the model's pretrained encoder; ``None`` without one.
        version: Result of ``ModelVersionDataset``.
    """

    metrics: pd.DataFrame
    classes: pd.DataFrame
    lines: pd.DataFrame
    data: pd.DataFrame
    rejected: pd.DataFrame
    exposure: Exposure
    synthetic: bool
    labels: Sequence[str]
    target: str
    threshold: Threshold | None
    encoder: str | None
    version: Mapping[str, str]

    def row(self, condition: str, by: str = ALL, value: str = ALL) -> dict[str, Any]:
        """Return the metrics of one group; empty if there are none."""
        table = self.metrics
        chosen = (table["condition"] == condition) & (table["by"] == by) & (table["value"] == value)
        rows = table[chosen].to_dict("records")
        return {str(key): item for key, item in rows[0].items()} if rows else {}

    def headline(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the metrics of all data and, if only some are unseen, of those, by condition."""
        groups = [("all data", ALL, ALL)]
        if not self.exposure.unseen:
            groups.append(("unseen speakers", "exposure", UNSEEN))
        return [
            (f"{title}, {condition}", row)
            for title, by, value in groups
            for condition in (CLEAN, TELEPHONE)
            if (row := self.row(condition, by, value))
        ]

    def groups(self) -> list[dict[str, Any]]:
        """Return clean and telephone metrics of each group side by side."""
        table = self.metrics[self.metrics["by"] != ALL]
        return [
            {
                "by": by,
                "value": value,
                CLEAN: self.row(CLEAN, by, value),
                TELEPHONE: self.row(TELEPHONE, by, value),
            }
            for by, value in table[["by", "value"]].drop_duplicates().itertuples(index=False)
        ]

    def recalls(self) -> list[dict[str, Any]]:
        """Return clean and telephone recall of each label side by side."""
        rows = self.classes.set_index(["condition", "label"])
        return [
            {
                "label": label,
                **{
                    condition: rows.loc[(condition, label)].to_dict()
                    if (condition, label) in rows.index
                    else {}
                    for condition in (CLEAN, TELEPHONE)
                },
            }
            for label in self.classes["label"].drop_duplicates()
        ]


def list_rejected(audio: pd.DataFrame, sounds: pd.DataFrame) -> pd.DataFrame:
    """List the files that were not scored.

    Args:
        audio: ``path`` and ``reason`` of files that ingestion rejects.
        sounds: ``path``, ``variant`` and ``reason`` of sounds without features.

    Returns:
        ``path``, ``condition`` (empty if the file was not read) and ``reason``.
    """
    over_line = sounds["variant"] == TELEPHONE_TEST
    conditions = over_line.map({True: TELEPHONE, False: CLEAN}).astype(str)
    table = pd.concat([audio.assign(condition=""), sounds.assign(condition=conditions)])
    return table[["path", "condition", "reason"]].reset_index(drop=True)


def count_recordings(
    tested: pd.DataFrame, left_out: pd.DataFrame, rejected: pd.DataFrame
) -> pd.DataFrame:
    """Count what is evaluated and what is not.

    Args:
        tested: Evaluated utterances, with ``corpus``, ``speaker`` and ``exposure``.
        left_out: ``label`` and ``n_utterances`` of labels that the model does not know.
        rejected: Table of :func:`list_rejected`.

    Returns:
        ``group``, ``detail`` and ``n``.
    """
    rows: list[tuple[str, str, int]] = []
    for (corpus, exposure), group in tested.groupby(["corpus", "exposure"], sort=True):
        count = group["speaker"].nunique()
        speakers = f"{count} speaker{'' if count == 1 else 's'}"
        rows.append(("evaluated", f"{corpus}: {exposure}, {speakers}", len(group)))
    for label, count in left_out[["label", "n_utterances"]].itertuples(index=False):
        rows.append(("label that the model does not know", str(label), int(count)))
    counts = rejected["reason"].value_counts()
    repeated = counts[counts > 1]
    rows += [("rejected", str(reason), int(count)) for reason, count in repeated.items()]
    if others := int((counts == 1).sum()):
        rows.append(("rejected", "other reasons, one file each", others))
    return pd.DataFrame(rows, columns=["group", "detail", "n"])


def external_figures(
    predictions: pd.DataFrame,
    metrics: pd.DataFrame,
    lines: pd.DataFrame,
    *,
    labels: Sequence[str],
    detection: DetectionSettings,
    threshold: Threshold | None,
    synthetic: bool,
) -> tuple[go.Figure, ...]:
    """Draw confusions (clean, telephone), groups, detection, calibration and telephone lines.

    Args:
        predictions: Predictions of the model.
        metrics: Table of :func:`speech_emotion.evaluation.external_table`.
        lines: Table of :func:`speech_emotion.evaluation.line_table`.
        labels: Labels of the model.
        detection: Label that is detected.
        threshold: Decision threshold of the model, which is marked on the curves.
        synthetic: Whether the evaluated speech is synthetic.
    """
    model = f"{model_title(str(predictions['model'].iloc[0]))}, external evaluation"
    note = SYNTHETIC if synthetic else ""
    confusions = []
    for condition in (CLEAN, TELEPHONE):
        rows, title = predictions[predictions["condition"] == condition], f"Confusion: {model}"
        confusions.append(
            confusion_figure(rows, labels, title=f"{title}, {condition}", note=note)
            if len(rows)
            else finish_figure(go.Figure(), f"{title}, {condition}", "not scored")
        )
    groups = metrics[(metrics["condition"] == CLEAN) & (metrics["by"] != ALL)]
    everything = lines[lines["model"] == predictions["model"].iloc[0]]
    detected = detection_figure(
        predictions, detection, title=f"{detection_title(detection.target)}: {model}", note=note
    )
    if threshold is not None:
        _mark_threshold(detected, metrics)
    return (
        *confusions,
        breakdown_figure(groups, title=f"UAR by group: {model}, {CLEAN}", note=note),
        detected,
        reliability_figure(predictions, title=f"Calibration: {model}", note=note),
        lines_figure(everything, title=f"Telephone lines: {model}", note=note),
    )


def _mark_threshold(figure: go.Figure, metrics: pd.DataFrame) -> None:
    """Mark recall and false alarms at the stored threshold on the ROC curves."""
    rows = metrics[metrics["by"] == ALL].dropna(subset="recall_at_threshold")
    for number, row in enumerate(rows.sort_values("condition").to_dict("records")):
        figure.add_scatter(
            x=[row["false_alarms_at_threshold"]],
            y=[row["recall_at_threshold"]],
            mode="markers",
            marker={"symbol": "x", "size": 11, "color": COLORS[number % len(COLORS)]},
            name=f"stored threshold, {row['condition']}",
            row=1,
            col=1,
        )


def external_page(
    results: ExternalResults, figures: Mapping[str, go.Figure], run: Mapping[str, str]
) -> str:
    """Render an external evaluation as one self-contained HTML file.

    Args:
        results: Tables and what describes the model.
        figures: Figures by name.
        run: Date, commit and MLflow run.
    """
    page = template(
        "external/external.html.j2", line_title=line_title, detection_title=detection_title
    )
    return page.render(
        results=results,
        listed=LISTED,
        figures={name: figure_html(figure, name) for name, figure in figures.items()},
        plotly=get_plotlyjs(),
        run=dict.fromkeys(("date", "commit", "run_id"), "") | dict(run),
    )


def external_metrics(metrics: pd.DataFrame) -> dict[str, float]:
    """Return the metrics of all data by name, those of telephone sound as ``telephone/NAME``.

    Args:
        metrics: Table of :func:`speech_emotion.evaluation.external_table`.
    """
    found: dict[str, float] = {}
    for row in metrics[metrics["by"] == ALL].to_dict("records"):
        prefix = "" if row["condition"] == CLEAN else f"{row['condition']}/"
        names = [f"{name}{end}" for name in EXTERNAL_METRICS for end in ("", "_low", "_high")]
        names += ["n_utterances", "n_speakers"]
        found |= {f"{prefix}{name}": float(row[name]) for name in names if pd.notna(row[name])}
    return found


def describe_external(metrics: pd.DataFrame, corpora: str, model: str, exposure: Exposure) -> str:
    """Describe an external evaluation in Markdown.

    Args:
        metrics: Table of :func:`speech_emotion.evaluation.external_table`.
        corpora: Names of the corpora.
        model: Name and version of the model.
        exposure: How much of the data was in the model's training data.
    """
    lines = [f"**{model}** on {corpora}. {exposure.verdict}", ""]
    lines += ["| condition | n | UAR | AUC | recall at stored threshold |", "|---|---|---|---|---|"]
    for row in metrics[metrics["by"] == ALL].to_dict("records"):
        named = {str(key): value for key, value in row.items()}
        area = row_interval(named, "auc", scale=1, digits=2, unit="")
        lines.append(
            f"| {row['condition']} | {row['n_utterances']} / {row['n_speakers']} "
            f"| {row_interval(named, 'uar')} | {area} | {row_interval(named, 'recall_at_threshold')} |"
        )
    return "\n".join(lines)
