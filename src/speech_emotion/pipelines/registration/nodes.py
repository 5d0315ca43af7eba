"""Nodes of the registration."""

from typing import Any

import pandas as pd

from speech_emotion.audio import encode_sound
from speech_emotion.corpora import TEST, Speaker, speak, split_digest
from speech_emotion.datasets.registry import Registration
from speech_emotion.evaluation import CLEAN, SelectionSettings
from speech_emotion.models import EmotionPredictor


def propose_champion(
    champion: EmotionPredictor,
    leaderboard: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    selection: SelectionSettings,
) -> Registration:
    """Propose the champion of this run, with the figure and the split that it is judged by."""
    champions = leaderboard[leaderboard["champion"] & (leaderboard["condition"] == CLEAN)]
    judged = champions.sort_values("evaluation", key=lambda names: names != TEST, kind="stable")
    row = judged.iloc[0]
    facts: dict[str, Any] = {
        "model": row["model"],
        "protocol": row["protocol"],
        "evaluation": row["evaluation"],
        "n_utterances": row["n_utterances"],
        "n_speakers": row["n_speakers"],
        "uar_low": row["uar_low"],
        "uar_high": row["uar_high"],
        "synthetic": bool(utterances["synthetic"].any()),
        "corpora": ", ".join(sorted(utterances["corpus"].unique())),
    }
    return Registration(
        predictor=champion,
        metric="uar",
        value=float(row["uar"]),
        split=split_digest(splits, utterances, selection.protocol),
        example=_example(),
        tags={name: str(value) for name, value in facts.items()},
    )


def _example() -> str:
    """A synthetic voice: no recording, with its licence or its speaker, enters the registry."""
    return encode_sound(speak(Speaker("example", "female"), "neutral", "example", "", 16000), 16000)
