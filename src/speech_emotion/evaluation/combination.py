"""Combine models: a weighted soft vote and a stack, both learnt from cross-validation alone.

The figure of a combination in cross-validation is cross-fitted: what combines the predictions of one
fold was learnt on the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from speech_emotion.evaluation.metrics import confusion, uar
from speech_emotion.evaluation.protocol_data import CLEAN, CROSS_VALIDATION, probability_columns
from speech_emotion.models import FITS, Combiner

__all__ = [
    "choose_members",
    "combine",
    "cross_validated_choice",
    "cross_validated_uar",
]


def cross_validated_uar(predictions: pd.DataFrame, protocol: str) -> pd.Series:
    """UAR of each model over all out-of-fold predictions of ``protocol``, best first.

    Ties keep the order of the names, so that equal models are always ranked alike.
    """
    rows = predictions[
        (predictions["protocol"] == protocol)
        & (predictions["evaluation"] == CROSS_VALIDATION)
        & (predictions["condition"] == CLEAN)
    ]
    labels = sorted(rows["label"].unique())
    scores = {
        model: float(uar(confusion(labels, part["label"], part["prediction"])))
        for model, part in rows.groupby("model", sort=True)
    }
    return pd.Series(scores, dtype=float).sort_values(ascending=False, kind="stable")


def cross_validated_choice(folds: pd.DataFrame, protocol: str) -> str:
    """Name the model with the highest UAR in lines of a leaderboard, ``""`` if there are none.

    Args:
        folds: Lines of a leaderboard in cross-validation, of one condition.
        protocol: Protocol to choose by.
    """
    rows = folds[folds["protocol"] == protocol]
    return str(rows.loc[rows["uar"].idxmax(), "model"]) if len(rows) else ""


def combine(
    predictions: pd.DataFrame, name: str, members: Sequence[str]
) -> tuple[pd.DataFrame, Combiner]:
    """Combine ``members`` under one protocol.

    Args:
        predictions: Predictions of every candidate under the protocol.
        name: ``soft_voting`` or ``stacking``.
        members: Models to combine.

    Returns:
        Predictions of one more model, ``name``, and its combiner.
    """
    columns = probability_columns(predictions)
    chosen = predictions[predictions["model"].isin(members)]
    keys = [name for name in predictions if name not in {"model", "prediction", *columns}]
    wide = chosen.pivot(index=keys, columns="model", values=columns)
    stacked = np.stack([wide.xs(member, axis=1, level=1)[columns] for member in members], axis=1)
    rows = wide.index.to_frame(index=False)
    codes = pd.Index(columns).get_indexer("p_" + rows["label"])
    learnt = (rows["evaluation"] == CROSS_VALIDATION) & (rows["condition"] == CLEAN)
    combiner = FITS[name](members, stacked[learnt], codes[learnt])
    combined = combiner(stacked)
    for fold in sorted(rows.loc[learnt, "fold"].unique()):
        others, inside = learnt & (rows["fold"] != fold), rows["fold"] == fold
        combined[inside] = FITS[name](members, stacked[others], codes[others])(stacked[inside])
    table = rows.assign(
        model=name,
        prediction=pd.Index(columns).str.removeprefix("p_").to_numpy()[combined.argmax(axis=1)],
    )
    table = table.join(pd.DataFrame(combined, columns=columns))
    return table[list(predictions.columns)], combiner


def choose_members(predictions: pd.DataFrame, name: str, *, most: int) -> tuple[str, ...]:
    """Choose how many of the best models combine: the number with the highest cross-fitted UAR.

    Args:
        predictions: Predictions of every candidate under one protocol.
        name: ``soft_voting`` or ``stacking``.
        most: Largest number of members.

    Returns:
        Model names, best first; empty where fewer than two may combine.
    """
    (protocol,) = predictions["protocol"].unique()
    folds = predictions[predictions["evaluation"] == CROSS_VALIDATION]
    ranked = tuple(map(str, cross_validated_uar(folds, protocol).index))
    scores = {
        size: cross_validated_uar(combine(folds, name, ranked[:size])[0], protocol)[name]
        for size in range(2, min(most, len(ranked)) + 1)
    }
    return ranked[: max(scores, key=lambda size: scores[size])] if scores else ()
