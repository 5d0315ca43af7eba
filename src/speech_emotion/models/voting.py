"""Soft voting: the mean of several models' probabilities, chosen on cross-validation alone."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from speech_emotion.models.evaluation import CROSS_VALIDATION
from speech_emotion.models.metrics import confusion, uar

__all__ = ["VOTING", "choose_voters", "cross_validated_uar", "vote"]

VOTING = "voting"
KEYS = ["utterance_id", "protocol", "evaluation", "fold", "label"]


def cross_validated_uar(predictions: pd.DataFrame, protocol: str) -> pd.Series:
    """UAR of each model over all out-of-fold predictions of ``protocol``, best first.

    Ties keep the order of the names, so that equal models are always ranked alike.
    """
    rows = predictions[
        (predictions["protocol"] == protocol) & (predictions["evaluation"] == CROSS_VALIDATION)
    ]
    labels = sorted(rows["label"].unique())
    scores = {
        model: float(uar(confusion(labels, part["label"], part["prediction"])))
        for model, part in rows.groupby("model", sort=True)
    }
    return pd.Series(scores, dtype=float).sort_values(ascending=False, kind="stable")


def vote(predictions: pd.DataFrame, voters: Sequence[str]) -> pd.DataFrame:
    """Average the probabilities of ``voters``; the result is one more model, ``voting``."""
    columns = [column for column in map(str, predictions) if column.startswith("p_")]
    chosen = predictions[predictions["model"].isin(voters)]
    mean = chosen.groupby(KEYS, sort=True, as_index=False)[columns].mean()
    mean["model"] = VOTING
    mean["prediction"] = (
        mean[columns].rename(columns=lambda name: name.removeprefix("p_")).idxmax(axis=1)
    )
    return mean[list(predictions.columns)]


def choose_voters(predictions: pd.DataFrame, *, protocol: str, most: int) -> list[str]:
    """Choose how many of the best models vote: the number with the highest out-of-fold UAR.

    Args:
        predictions: Predictions of every candidate.
        protocol: Protocol to choose by.
        most: Largest number of voters.

    Returns:
        Model names, best first; empty where fewer than two may vote.
    """
    ranked = list(cross_validated_uar(predictions, protocol).index)
    sizes = range(2, min(most, len(ranked)) + 1)
    scores = {
        size: cross_validated_uar(vote(predictions, ranked[:size]), protocol)[VOTING]
        for size in sizes
    }
    return ranked[: max(scores, key=lambda size: scores[size])] if scores else []
