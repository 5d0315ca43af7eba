"""Nodes of the registration pipeline."""

from __future__ import annotations

from typing import Any

import pandas as pd

from speech_emotion.audio import encode_sound
from speech_emotion.corpora import LEAKING, Speaker, speak, split_digest
from speech_emotion.datasets import Registration, describe_inputs
from speech_emotion.evaluation import DetectionSettings, SelectionSettings
from speech_emotion.models import EmotionPredictor
from speech_emotion.reporting.models import headline_metrics, headline_table


def propose_champion(
    champion: EmotionPredictor,
    leaderboard: pd.DataFrame,
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    selection: SelectionSettings,
    detection: DetectionSettings,
) -> Registration:
    """Propose the champion of this run for registration, with its headline metrics and its data.

    Args:
        champion: The predictor.
        leaderboard: Metrics of all models.
        predictions: Calibrated predictions of all models.
        utterances: All utterances.
        splits: Training and test set of every protocol.
        selection: Selecting protocol.
        detection: Label that ``anger_auc`` detects.
    """
    headline = headline_table(leaderboard, predictions, detection.target)
    model = leaderboard.loc[leaderboard["champion"], "model"].iloc[0]
    row = headline[headline["model"] == model].iloc[0]
    names = ["model", "protocol", "evaluation", "n_utterances", "n_speakers", "uar_low", "uar_high"]
    tags: dict[str, Any] = row[names].to_dict() | {
        "synthetic": bool(utterances["synthetic"].any()),
        "corpora": ", ".join(sorted(utterances["corpus"].unique())),
    }
    if champion.encoder is not None:
        card = champion.encoder.card
        tags |= {
            "encoder": card.name,
            "encoder_license": card.license,
            "encoder_source": card.source,
            "encoder_revision": card.revision,
            "encoder_layers": ", ".join(map(str, champion.encoder.layers)),
            "encoder_mb": round(len(champion.encoder.model) / 1e6, 1),
        }
    return Registration(
        predictor=champion,
        metric="uar",
        value=float(row["uar"]),
        split=split_digest(splits, utterances, selection.protocol),
        example=example_sound(),
        tags={name: str(value) for name, value in tags.items()},
        metrics=headline_metrics(headline, model),
        inputs=describe_inputs(utterances, splits, selection.protocol),
        obstacle=obstacle(selection),
    )


def obstacle(selection: SelectionSettings) -> str:
    """Say why a model of the selecting protocol must not become champion."""
    if selection.protocol not in LEAKING or selection.leaking_champion:
        return ""
    return (
        f"under {selection.protocol} speakers of the test are in training, so that it says nothing about "
        "unseen speakers; select by another protocol, or add --params selection.leaking_champion=true"
    )


def example_sound() -> str:
    """Return a synthetic voice, so that no licensed recording enters the registry."""
    return encode_sound(speak(Speaker("example", "female"), "neutral", "example", "", 16000), 16000)
