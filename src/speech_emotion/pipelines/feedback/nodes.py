"""Nodes of the feedback pipeline: collect verdicts, recalibrate, test, report and register."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from speech_emotion.audio import AudioError
from speech_emotion.call_scoring import CallSettings
from speech_emotion.corpora import SYNTHETIC_MARK, is_marked_synthetic
from speech_emotion.datasets import NotRegistered, Registration, TableBlocks
from speech_emotion.feedback import (
    CORPUS_COLUMNS,
    TEST,
    FeedbackSettings,
    Judged,
    Operation,
    clips_of,
    collect_items,
    cut_clip,
    evaluate_flags,
    flagged_items,
    recalibrate,
    reliability,
    reviewed_corpus,
)
from speech_emotion.models import EmotionPredictor, PlattScaling
from speech_emotion.pipelines.registration.nodes import example_sound
from speech_emotion.reporting import feedback as pages
from speech_emotion.runtime import FileStore

CURRENT: Final = "current"
RECALIBRATED: Final = "recalibrated"
ALL: Final = "all"

logger = logging.getLogger(__name__)


def collect_verdicts(
    verdicts: pd.DataFrame,
    summary: pd.DataFrame | None,
    model: EmotionPredictor,
    calls: CallSettings,
    settings: FeedbackSettings,
) -> tuple[pd.DataFrame, dict[str, float], pd.DataFrame]:
    """Collect judged passages and windows of the calls that this model scored.

    Returns:
        Items, hours of scored calls by part, and the verdicts that are left out, with the reason.

    Raises:
        ValueError: If no call was scored.
    """
    if summary is None:
        raise ValueError(
            "No calls were scored: kedro run --pipelines call_scoring --params recordings_dir=PATH"
        )
    passage_s = calls.windows.speech_s + (calls.flags.consecutive - 1) * calls.windows.step_s
    judged = collect_items(
        verdicts,
        summary,
        model=model.title,
        step_s=calls.windows.step_s,
        passage_s=passage_s,
        settings=settings,
    )
    for row in judged.excluded.itertuples():
        if row.n:
            logger.info("%d verdicts are left out: %s", row.n, row.reason)
    return judged.items, judged.hours, judged.excluded


def collect_corpus(
    verdicts: pd.DataFrame,
    summary: pd.DataFrame,
    emotions: TableBlocks,
    calls: CallSettings,
    settings: FeedbackSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Choose the reviewed windows to train on, and count the items that are left out."""
    windows = _windows_of(verdicts.rename(columns={"call_id": "call"}), emotions)
    return reviewed_corpus(
        verdicts, summary, windows, target=calls.flags.target, test_share=settings.test_share
    )


def cut_clips(
    corpus: pd.DataFrame, left_out: pd.DataFrame, files: FileStore, calls: CallSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut the reviewed windows out of their recordings, into the folder of the corpus.

    Clips that are no part of the corpus any more are deleted.

    Returns:
        The table of the corpus, and what is left out, with recordings that cannot be read.
    """
    rows, before = [], files.names("")
    synthetic = False
    unread: dict[str, int] = {}
    for row in corpus.to_dict("records"):
        start_ms = round(1000 * row["start_s"])
        name = f"{clips_of(row['call'])}{row['channel']}_{start_ms:09d}.flac"
        span = row["channel"], row["start_s"], row["end_s"]
        try:
            files.put(name, cut_clip(row["recording"], *span, calls.limits))
        except AudioError as error:
            unread[error.reason] = unread.get(error.reason, 0) + 1
            continue
        rows.append(row | {"file": name})
        synthetic |= is_marked_synthetic(row["recording"])
    for name in before - {row["file"] for row in rows}:
        if name.endswith(".flac"):
            files.remove(name)
    if synthetic:
        files.put(SYNTHETIC_MARK, b"Some of these clips are of synthetic speech.\n")
    logger.info(
        "%d reviewed windows to train on; %d items are left out", len(rows), left_out["n"].sum()
    )
    more = pd.DataFrame(
        [(f"the recording cannot be read: {reason}", n) for reason, n in unread.items()],
        columns=["reason", "n"],
    )
    table = pd.DataFrame(rows, columns=list(CORPUS_COLUMNS))
    return table, pd.concat([left_out, more], ignore_index=True)


def recalibrate_model(
    items: pd.DataFrame,
    hours: dict[str, float],
    emotions: TableBlocks,
    summary: pd.DataFrame,
    model: EmotionPredictor,
    calls: CallSettings,
    settings: FeedbackSettings,
) -> dict[str, Any]:
    """Fit probability and threshold to the calibration part.

    Returns:
        ``current`` and ``recalibrated`` (``None`` with a ``reason``): threshold and scaling; ``model`` and
        ``synthetic``.
    """
    thresholds = summary.loc[summary["model"] == model.title, "threshold"].dropna()
    if thresholds.empty:
        raise ValueError(
            f"No scored call names {model.title} as its model: score the calls with it, or name the model "
            "that scored them with --params model_uri=URI"
        )
    current = Operation(float(thresholds.mode().iloc[0]))
    judged = Judged(items, hours, pd.DataFrame())
    windows = _windows_of(items, emotions)
    found = recalibrate(judged, windows, current, calls.flags, settings)
    if found.proposed is None:
        logger.warning("The model is not recalibrated: %s", found.reason)
    return {
        CURRENT: _as_dict(found.current),
        RECALIBRATED: found.proposed and _as_dict(found.proposed),
        "reason": found.reason,
        # The model is not loaded again after registration, which may change the alias.
        "model": model.title,
        "synthetic": model.synthetic,
    }


def evaluate(
    items: pd.DataFrame,
    hours: dict[str, float],
    operations: dict[str, Any],
    emotions: TableBlocks,
    calls: CallSettings,
    settings: FeedbackSettings,
) -> pd.DataFrame:
    """Compute precision, recall and false alarms per hour, on all verdicts and on those set aside."""
    windows = _windows_of(items, emotions)
    names = [name for name in (CURRENT, RECALIBRATED) if operations[name]]
    tables = []
    for part in (ALL, TEST):
        rows = items if part == ALL else items[items["part"] == part]
        # On all verdicts the recalibrated model has seen the half that it was fitted to.
        flagged = {
            name: flagged_items(rows, windows, _operation(operations[name]), calls.flags)
            for name in (names if part == TEST else [CURRENT])
        }
        total = sum(hours.values()) if part == ALL else hours[part]
        table = evaluate_flags(
            rows, flagged, total, resamples=settings.bootstrap, seed=settings.seed
        )
        table.insert(0, "verdicts", part)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def describe_changes(operations: dict[str, Any], metrics: pd.DataFrame) -> pd.DataFrame:
    """List what recalibration changes: threshold, scaling, and the metrics on the verdicts set aside."""
    test = metrics[metrics["verdicts"] == TEST].set_index("operation")
    rows = []
    for name in (CURRENT, RECALIBRATED):
        if not operations[name]:
            continue
        scaling = operations[name]["scaling"] or {"slope": 1.0, "intercept": 0.0}
        row = {"operation": name, "threshold": operations[name]["threshold"]}
        row |= {"slope": scaling["slope"], "intercept": scaling["intercept"]}
        metric_names = ["precision", "recall", "f1", "false_alarms_per_hour", "n_flagged"]
        rows.append(row | test.loc[name, metric_names].to_dict())
    return pd.DataFrame(rows)


def draw_reliability(
    items: pd.DataFrame,
    operations: dict[str, Any],
    settings: FeedbackSettings,
) -> go.Figure:
    """Draw the share of angry items against the score, before and after recalibration."""
    test = items[items["part"] == TEST]
    scores = test["score"].to_numpy(dtype=float)
    curves = {CURRENT: reliability(test, scores, bins=settings.bins)}
    if operations[RECALIBRATED]:
        scaling = _operation(operations[RECALIBRATED]).scaling
        assert scaling is not None
        curves[RECALIBRATED] = reliability(test, scaling(scores), bins=settings.bins)
    return pages.reliability_figure(
        curves, n_items=len(test), n_calls=test["call"].nunique(), synthetic=operations["synthetic"]
    )


def write_page(
    metrics: pd.DataFrame,
    changes: pd.DataFrame,
    excluded: pd.DataFrame,
    left_out: pd.DataFrame,
    corpus: pd.DataFrame,
    figure: go.Figure,
    operations: dict[str, Any],
) -> str:
    """Write the results as one HTML page."""
    return pages.feedback_page(
        metrics,
        changes,
        excluded,
        left_out,
        corpus,
        figure,
        model=operations["model"],
        reason=operations["reason"],
        synthetic=operations["synthetic"],
    )


def propose_challenger(
    operations: dict[str, Any],
    metrics: pd.DataFrame,
    model: EmotionPredictor,
    version: dict[str, str],
) -> Registration | NotRegistered:
    """Propose the recalibrated model; it becomes champion if its F1 on the verdicts set aside is higher.

    Higher means that the whole 95 % interval of the difference is above zero.
    """
    if not operations[RECALIBRATED]:
        return NotRegistered(operations["reason"])
    if "tag.uar" not in version:
        return NotRegistered(
            f"{version['title']} is no registered model; score the calls with models:/speech-emotion@champion"
        )
    proposed = _operation(operations[RECALIBRATED])
    assert proposed.scaling is not None
    test = metrics[metrics["verdicts"] == TEST].set_index("operation")
    row = test.loc[RECALIBRATED]
    difference = (
        f"F1 on verdicts set aside {row['f1']:.3f}, before {test.loc[CURRENT, 'f1']:.3f}; difference "
        f"{row['f1_difference']:+.3f} [{row['f1_difference_low']:+.3f}, "
        f"{row['f1_difference_high']:+.3f}], n = {row['n_items']} items of {row['n_calls']} calls"
    )
    better = bool(row["f1_difference_low"] > 0)
    tags = {
        name.removeprefix("tag."): value
        for name, value in version.items()
        if name.startswith("tag.") and name not in ("tag.uar", "tag.split", "tag.alias_reason")
    }
    tags |= {"recalibrated_from": model.title, "verdict_items": str(int(row["n_items"]))}
    names = ("precision", "recall", "f1", "false_alarms_per_hour")
    threshold = model.threshold and replace_threshold(model, proposed.threshold)
    return Registration(
        predictor=replace(
            model, scaling=_joined(model.scaling, proposed.scaling), threshold=threshold, version=""
        ),
        metric="uar",
        # Recalibration changes few labels; the test set was not predicted again.
        value=float(version["tag.uar"]),
        split=version["tag.split"],
        example=example_sound(),
        tags=tags,
        metrics={f"feedback_{name}": float(row[name]) for name in names if np.isfinite(row[name])},
        decision=(better, f"{difference}: {'better' if better else 'not shown to be better'}"),
    )


def replace_threshold(model: EmotionPredictor, value: float) -> Any:
    """Return the threshold of a model with another value."""
    assert model.threshold is not None
    return model.threshold.model_copy(update={"value": value})


def _joined(first: PlattScaling | None, second: PlattScaling) -> PlattScaling:
    """Apply one scaling after another."""
    if first is None:
        return second
    return second.model_copy(
        update={
            "slope": first.slope * second.slope,
            "intercept": second.slope * first.intercept + second.intercept,
        }
    )


def _windows_of(items: pd.DataFrame, emotions: TableBlocks) -> pd.DataFrame:
    """Read the windows of the judged calls, block by block."""
    judged = set(items["call"])
    return pd.concat(
        [block[block["call"].astype(str).isin(judged)] for block in emotions], ignore_index=True
    )


def _as_dict(operation: Operation) -> dict[str, Any]:
    scaling = operation.scaling
    return {"threshold": operation.threshold, "scaling": scaling and scaling.model_dump()}


def _operation(content: dict[str, Any]) -> Operation:
    scaling = content["scaling"]
    return Operation(content["threshold"], scaling and PlattScaling.model_validate(scaling))
