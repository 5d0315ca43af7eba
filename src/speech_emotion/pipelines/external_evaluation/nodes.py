"""Nodes of external evaluation: read other corpora, predict them with a trained model, score and report."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from speech_emotion.corpora import CorporaSettings, has_speaker, ingest
from speech_emotion.evaluation import (
    DetectionSettings,
    ExternalSettings,
    class_recall_table,
    confusion_table,
    external_table,
    extract_recordings,
    find_exposure,
    line_table,
    plan_recordings,
    predict_recordings,
    select_known_labels,
    summarize_exposure,
)
from speech_emotion.models import EmotionPredictor
from speech_emotion.reporting import external
from speech_emotion.runtime import ShardStore

logger = logging.getLogger(__name__)


def read_recordings(root: Path, settings: CorporaSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the usable utterances under ``root``, and the rejected files with the reason."""
    return ingest(root, settings)


def compare_with_training(
    utterances: pd.DataFrame, predictor: EmotionPredictor, corpora: CorporaSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leave out unknown labels, and look up speakers and recordings in the model's training data.

    Returns:
        The utterances that are evaluated, with ``exposure``; and the labels that are left out.
    """
    tested, left_out = select_known_labels(utterances, predictor.labels)
    given = has_speaker(tested, corpora.read)
    tested = tested.assign(exposure=find_exposure(tested, predictor, given))
    for row in left_out.itertuples():
        logger.warning(
            "%d utterances are left out: the model does not know the label %r",
            row.n_utterances,
            row.label,
        )
    exposure = summarize_exposure(tested)
    logger.log(logging.INFO if exposure.unseen else logging.WARNING, exposure.verdict)
    return tested, left_out


def extract_features(
    tested: pd.DataFrame,
    predictor: EmotionPredictor,
    cache: ShardStore,
    settings: ExternalSettings,
) -> pd.DataFrame:
    """Extract what the model needs of each recording, clean and over a telephone line.

    Returns:
        What is scored, with keys in the cache.
    """
    index = plan_recordings(tested, telephone=settings.telephone)
    extract_recordings(index, predictor, cache)
    return index


def predict(
    index: pd.DataFrame, tested: pd.DataFrame, predictor: EmotionPredictor, cache: ShardStore
) -> tuple[Iterator[pd.DataFrame], pd.DataFrame]:
    """Predict every recording, block by block.

    Returns:
        Predictions; sounds without prediction, with the reason.
    """
    return predict_recordings(index, tested, predictor, cache)


def score(
    predictions: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: ExternalSettings,
    detection: DetectionSettings,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Score the predictions.

    Returns:
        Metrics of all data and of each group; recall of each label; confusions; telephone lines.
    """
    options: dict[str, Any] = {"resamples": settings.bootstrap, "seed": settings.seed}
    metrics = external_table(
        predictions,
        predictor.labels,
        settings,
        target=_target(predictor, detection),
        threshold=predictor.threshold,
    )
    return (
        metrics,
        class_recall_table(predictions, predictor.labels, settings),
        confusion_table(predictions, predictor.labels),
        line_table(predictions, predictor.labels, **options),
    )


def _target(predictor: EmotionPredictor, detection: DetectionSettings) -> str:
    return predictor.threshold.target if predictor.threshold else detection.target


def count_data(
    tested: pd.DataFrame,
    left_out: pd.DataFrame,
    rejected_audio: pd.DataFrame,
    rejected_sounds: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count what is evaluated and what is not, and list the rejected files with the reason."""
    rejected = external.list_rejected(rejected_audio, rejected_sounds)
    return external.count_recordings(tested, left_out, rejected), rejected


def draw(
    predictions: pd.DataFrame,
    metrics: pd.DataFrame,
    lines: pd.DataFrame,
    tested: pd.DataFrame,
    predictor: EmotionPredictor,
    detection: DetectionSettings,
) -> tuple[go.Figure, ...]:
    """Draw confusions, results by group, detection, calibration and telephone lines."""
    return external.external_figures(
        predictions,
        metrics,
        lines,
        labels=predictor.labels,
        detection=detection.model_copy(update={"target": _target(predictor, detection)}),
        threshold=predictor.threshold,
        synthetic=bool(tested["synthetic"].any()),
    )


def write_page(
    metrics: pd.DataFrame,
    classes: pd.DataFrame,
    lines: pd.DataFrame,
    data: pd.DataFrame,
    rejected: pd.DataFrame,
    tested: pd.DataFrame,
    predictor: EmotionPredictor,
    version: dict[str, str],
    run: dict[str, str],
    detection: DetectionSettings,
    **figures: go.Figure,
) -> str:
    """Write the page.

    Args:
        metrics: Metrics of all data and of each group.
        classes: Recall of each label.
        lines: Results by telephone line.
        data: What was evaluated and what not.
        rejected: Rejected files with the reason.
        tested: Evaluated utterances.
        predictor: The model.
        version: Its name and version.
        run: Date, commit and MLflow run.
        detection: Label to detect if the model has no threshold.
        figures: Figures by ``NAME_figure``.
    """
    return external.external_page(
        external.ExternalResults(
            metrics=metrics,
            classes=classes,
            lines=lines,
            data=data,
            rejected=rejected,
            exposure=summarize_exposure(tested),
            synthetic=bool(tested["synthetic"].any()),
            labels=predictor.labels,
            target=_target(predictor, detection),
            threshold=predictor.threshold,
            encoder=predictor.encoder.card.name if predictor.encoder else None,
            version=version,
        ),
        {name.removesuffix("_figure"): figure for name, figure in figures.items()},
        run,
    )
