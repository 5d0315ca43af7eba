"""Ensembles of candidates: weighted soft voting and stacking, fitted on out-of-fold predictions.

The cross-validated metrics of an ensemble are cross-fitted: the weights for one fold are fitted on the
other folds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from speech_emotion.evaluation.metrics import confusion, uar
from speech_emotion.evaluation.protocol_data import (
    CLEAN,
    CROSS_VALIDATION,
    label_names,
    probability_columns,
)
from speech_emotion.models import FITS, Combiner

__all__ = [
    "choose_members",
    "combine",
    "cross_validated_choice",
    "cross_validated_uar",
]


def cross_validated_uar(predictions: pd.DataFrame, protocol: str) -> pd.Series:
    """Compute the UAR of each model over all out-of-fold predictions of ``protocol``, best first.

    Models with equal UAR are sorted by name, so that their order is always the same.
    """
    rows = predictions[
        (predictions["protocol"] == protocol)
        & (predictions["evaluation"] == CROSS_VALIDATION)
        & (predictions["condition"] == CLEAN)
    ]
    labels = label_names(predictions)
    scores = {
        model: float(uar(confusion(labels, subset["label"], subset["prediction"])))
        for model, subset in rows.groupby("model", sort=True)
    }
    return pd.Series(scores, dtype=float).sort_values(ascending=False, kind="stable")


def cross_validated_choice(leaderboard: pd.DataFrame, protocol: str) -> str:
    """Return the model with the highest UAR under ``protocol``, ``""`` if it has no rows.

    Args:
        leaderboard: Rows of the leaderboard with evaluation ``cross-validation`` and one condition.
        protocol: Protocol to choose by.
    """
    rows = leaderboard[leaderboard["protocol"] == protocol]
    return str(rows.loc[rows["uar"].idxmax(), "model"]) if len(rows) else ""


def combine(
    predictions: pd.DataFrame, name: str, members: Sequence[str]
) -> tuple[pd.DataFrame, Combiner]:
    """Combine ``members`` under one protocol.

    Args:
        predictions: Predictions of every candidate under the protocol. Columns other than ``model``,
            ``prediction`` and the probabilities describe the utterance and are kept.
        name: ``soft_voting`` or ``stacking``.
        members: Models to combine.

    Returns:
        Predictions of one more model, ``name``, and its combiner, fitted on all folds.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame(
        ...     {
        ...         "utterance_id": ["a", "b", "c", "d"],
        ...         "speaker": ["anna", "anna", "ben", "ben"],
        ...         "protocol": "speaker_independent",
        ...         "condition": "clean",
        ...         "evaluation": "cross-validation",
        ...         "fold": [0, 0, 1, 1],
        ...         "label": ["angry", "sad", "angry", "sad"],
        ...         "prediction": ["angry", "sad", "angry", "sad"],
        ...         "p_angry": [0.8, 0.3, 0.7, 0.4],
        ...         "p_sad": [0.2, 0.7, 0.3, 0.6],
        ...     }
        ... )
        >>> candidates = pd.concat([table.assign(model="svm"), table.assign(model="mlp")])
        >>> combined, combiner = combine(candidates, "soft_voting", ["svm", "mlp"])
        >>> combined["prediction"].tolist(), combiner.members
        (['angry', 'sad', 'angry', 'sad'], ('svm', 'mlp'))
    """
    columns = probability_columns(predictions)
    described_by = [
        column for column in predictions if column not in {"model", "prediction", *columns}
    ]
    chosen = predictions[predictions["model"].isin(members)]
    wide = chosen.pivot(index=described_by, columns="model", values=columns)
    stacked = np.stack([wide.xs(member, axis=1, level=1)[columns] for member in members], axis=1)
    rows = wide.index.to_frame(index=False)
    codes = pd.Index(columns).get_indexer("p_" + rows["label"])
    fitted_on = (rows["evaluation"] == CROSS_VALIDATION) & (rows["condition"] == CLEAN)
    combiner = FITS[name](members, stacked[fitted_on], codes[fitted_on])
    combined = combiner(stacked)
    for fold in sorted(rows.loc[fitted_on, "fold"].unique()):
        others, inside = fitted_on & (rows["fold"] != fold), rows["fold"] == fold
        combined[inside] = FITS[name](members, stacked[others], codes[others])(stacked[inside])
    predicted = np.asarray(label_names(predictions))[combined.argmax(axis=1)]
    table = rows.assign(model=name, prediction=predicted)
    table = table.join(pd.DataFrame(combined, columns=columns))
    return table[list(predictions.columns)], combiner


def choose_members(predictions: pd.DataFrame, name: str, *, most: int) -> tuple[str, ...]:
    """Choose how many of the best models to combine: the number with the highest cross-fitted UAR.

    Args:
        predictions: Predictions of every candidate under one protocol.
        name: ``soft_voting`` or ``stacking``.
        most: Largest number of members.

    Returns:
        Model names, best first; empty if ``most`` or the number of candidates is below two.
    """
    (protocol,) = predictions["protocol"].unique()
    folds = predictions[predictions["evaluation"] == CROSS_VALIDATION]
    ranked = tuple(map(str, cross_validated_uar(folds, protocol).index))
    scores = {
        size: cross_validated_uar(combine(folds, name, ranked[:size])[0], protocol)[name]
        for size in range(2, min(most, len(ranked)) + 1)
    }
    return ranked[: max(scores, key=lambda size: scores[size])] if scores else ()
