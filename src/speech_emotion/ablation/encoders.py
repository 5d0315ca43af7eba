"""Compare pretrained encoders, and combine a model on embeddings with models on features."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from speech_emotion.ablation.runner import (
    DIFFERENCE,
    KEYS,
    METRIC_COLUMNS,
    PROTOCOL,
    AblationConfig,
    difference,
    probability_columns,
)
from speech_emotion.ablation.settings import AblationSettings
from speech_emotion.encoders import SpeechEncoder
from speech_emotion.evaluation import CandidateSettings, classification_metrics
from speech_emotion.features import EMBEDDING, embed

__all__ = [
    "ENCODER_ALONE",
    "choice_configs",
    "columns_of_encoders",
    "encoder_speed",
    "fusion_configs",
    "fusion_table",
    "join_tables",
]

ENCODER_ALONE: Final = "embeddings alone"
"""Value of column ``training`` of the model on embeddings in :func:`fusion_table`."""
SMALLEST: Final = 1e-6
"""Added to probabilities before their logarithms are averaged."""
TIMED: Final = 3
"""Rounds of the measurement of speed; the fastest one counts."""


def join_tables(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Place tables of the same sounds side by side.

    Args:
        tables: Tables with ``utterance_id`` and ``variant``; sounds that a table lacks are left out.
    """
    joined, *further = tables
    for table in further:
        joined = joined.merge(table, on=KEYS, how="inner", validate="1:1")
    return joined


def columns_of_encoders(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group the columns of embeddings by the short name of their encoder."""
    found: dict[str, list[str]] = {}
    for name in names:
        if matched := EMBEDDING.match(name):
            found.setdefault(matched["encoder"], []).append(name)
    return {encoder: tuple(columns) for encoder, columns in found.items()}


def choice_configs(
    columns: Mapping[str, Sequence[str]], candidate: CandidateSettings, *, reference: str
) -> list[AblationConfig]:
    """Train the same model on the embeddings of each encoder, without augmented copies.

    Args:
        columns: Columns of each encoder.
        candidate: A family on embeddings.
        reference: Encoder that the others are compared with.
    """
    plain = candidate.model_copy(update={"copies": 0})
    return [
        AblationConfig(name, plain, {"encoder": name}, reference, tuple(names))
        for name, names in columns.items()
    ]


def encoder_speed(encoder: SpeechEncoder, sounds: Sequence[np.ndarray]) -> float:
    """Measure the milliseconds of one core that an encoder needs for a second of sound.

    Args:
        encoder: The encoder, which runs on one thread.
        sounds: Sounds at its sample rate, each of shape ``(n_samples,)``.
    """
    embed(sounds[0], encoder)  # loads the graph
    seconds = sum(len(sound) for sound in sounds) / encoder.card.sample_rate
    times = []
    for _ in range(TIMED):
        start = time.process_time()
        for sound in sounds:
            embed(sound, encoder)
        times.append(time.process_time() - start)
    return 1000 * min(times) / seconds


def fusion_configs(
    features: Sequence[str], embeddings: Sequence[str], settings: AblationSettings
) -> list[AblationConfig]:
    """Train the model on embeddings, and each of the models on features that it is combined with.

    Args:
        features: Columns of the features.
        embeddings: Columns of the embeddings.
        settings: Models.
    """
    read = {settings.encoder_model: tuple(embeddings)}
    read |= dict.fromkeys(settings.fusion_models, tuple(features))
    return [
        AblationConfig(family, settings.candidate(family), features=columns)
        for family, columns in read.items()
    ]


def fusion_table(
    predictions: pd.DataFrame,
    labels: Sequence[str],
    settings: AblationSettings,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Average the log-probabilities of the model on embeddings with those of models on features.

    The weights are not fitted, so every row is a result on unseen speakers; the best of many rows is
    slightly optimistic.

    Args:
        predictions: Predictions of :func:`fusion_configs`.
        labels: All labels.
        settings: Models and weights.
        resamples: Resamples of speakers behind each interval.
        seed: Seed of the resampling.

    Returns:
        ``training``, ``model``, ``weight`` (of the model on features), ``protocol``, ``condition``, UAR with
        its interval, and the ``difference`` to embeddings alone.
    """
    bootstrap = {"resamples": resamples, "seed": seed}
    rows = []
    for condition, of_condition in predictions.groupby("condition", sort=True):
        by_model = {
            str(name): table.sort_values("utterance_id").reset_index(drop=True)
            for name, table in of_condition.groupby("model")
        }
        encoder = by_model[settings.encoder_model]
        for name, model, weight, table in _mixtures(by_model, labels, settings):
            metrics = classification_metrics(table, labels, **bootstrap)
            row: dict[str, Any] = {"training": name, "model": model, "weight": weight}
            row |= {"protocol": PROTOCOL, "condition": condition}
            row |= {column: metrics[column] for column in METRIC_COLUMNS}
            row |= dict.fromkeys(DIFFERENCE, np.nan)
            if weight > 0:
                row |= difference(table, encoder, labels, **bootstrap)
            rows.append(row)
    return pd.DataFrame(rows)


def _mixtures(
    by_model: Mapping[str, pd.DataFrame], labels: Sequence[str], settings: AblationSettings
) -> Iterator[tuple[str, str, float, pd.DataFrame]]:
    """Name, model on features, its weight, and predictions of each mixture."""
    encoder = by_model[settings.encoder_model]
    yield ENCODER_ALONE, settings.encoder_model, 0.0, encoder
    columns, names = probability_columns(labels), np.asarray(labels)
    for family in dict.fromkeys(settings.fusion_models):
        other = by_model[family]
        logs = [np.log(table[columns].to_numpy() + SMALLEST) for table in (encoder, other)]
        for weight in (*settings.fusion_weights, 1.0):
            codes = ((1 - weight) * logs[0] + weight * logs[1]).argmax(axis=1)
            name = f"+ {weight:.0%} {family}" if weight < 1 else f"{family} alone"
            yield name, family, weight, other.assign(prediction=names[codes])
