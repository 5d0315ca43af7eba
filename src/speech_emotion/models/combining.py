"""Combine models: a weighted soft vote and a stack, both learnt from cross-validation alone.

The figure of a combination in cross-validation is cross-fitted: what combines the predictions of one
fold was learnt on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression

from speech_emotion.models.evaluation import CLEAN, CROSS_VALIDATION
from speech_emotion.models.metrics import confusion, uar

__all__ = [
    "COMBINATIONS",
    "STACKING",
    "VOTING",
    "Combiner",
    "choose_members",
    "combine",
    "cross_validated_choice",
    "cross_validated_uar",
    "probability_columns",
]

VOTING: Final = "voting"
STACKING: Final = "stacking"
COMBINATIONS: Final = (VOTING, STACKING)
KEYS = ["utterance_id", "protocol", "condition", "evaluation", "fold", "label"]
SMALLEST = 1e-6


@dataclass(frozen=True)
class Combiner:
    """How the probabilities of several models become those of one.

    Attributes:
        name: ``voting``, ``stacking``, or the name of the only member.
        members: Model families, in the order of the weights.
        weights: One weight a member; for a stack ``(n_labels, n_members * n_labels)``.
        offsets: For a stack ``(n_labels,)``, else empty.
    """

    name: str
    members: tuple[str, ...]
    weights: np.ndarray
    offsets: np.ndarray

    def __call__(self, stacked: np.ndarray) -> np.ndarray:
        """Combine probabilities ``(n, n_members, n_labels)`` into ``(n, n_labels)``."""
        logs = _logs(stacked)
        if self.name != STACKING:
            return softmax(np.einsum("nml,m->nl", logs, self.weights), axis=1)
        return softmax(logs.reshape(len(logs), -1) @ self.weights.T + self.offsets, axis=1)

    def trimmed(self) -> Combiner:
        """Leave out the members that a vote gave no weight, which change nothing but take time."""
        heard = self.weights > SMALLEST
        if self.name != VOTING or not heard.any():
            return self
        members = tuple(np.asarray(self.members)[heard].tolist())
        return Combiner(self.name, members, self.weights[heard], self.offsets)

    def facts(self) -> dict[str, Any]:
        """Everything in plain types."""
        return {
            "name": self.name,
            "members": list(self.members),
            "weights": self.weights.tolist(),
            "offsets": self.offsets.tolist(),
        }

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Self:
        """Build a combiner from its :meth:`facts`."""
        return cls(
            facts["name"],
            tuple(facts["members"]),
            np.asarray(facts["weights"]),
            np.asarray(facts["offsets"]),
        )

    @classmethod
    def single(cls, family: str) -> Self:
        """Leave one model as it is."""
        return cls(family, (family,), np.ones(1), np.empty(0))


def _logs(stacked: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(stacked, SMALLEST))


def _fit_vote(members: Sequence[str], stacked: np.ndarray, codes: np.ndarray) -> Combiner:
    """Weighted geometric mean of probabilities, with the weights of highest likelihood.

    C. Genest and J. V. Zidek, *Combining probability distributions: a critique and an annotated
    bibliography*, Statistical Science 1, 1986: the logarithmic opinion pool. Members that are too sure of
    themselves get small weights, which an arithmetic mean cannot do.
    """
    logs = _logs(stacked)
    true_logs = logs[np.arange(len(codes)), :, codes].mean(axis=0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        pooled = np.einsum("nml,m->nl", logs, weights)
        expected = np.einsum("nml,nl->m", logs, softmax(pooled, axis=1)) / len(codes)
        value = logsumexp(pooled, axis=1).mean() - true_logs @ weights
        return value, expected - true_logs

    found = minimize(
        loss, np.full(len(members), 1 / len(members)), jac=True, bounds=[(0, None)] * len(members)
    )
    return Combiner(VOTING, tuple(members), found.x, np.empty(0))


def _fit_stack(members: Sequence[str], stacked: np.ndarray, codes: np.ndarray) -> Combiner:
    """Multinomial logistic regression on log probabilities, strongly regularised.

    D. H. Wolpert, *Stacked generalization*, Neural Networks 5, 1992.
    """
    model = LogisticRegression(C=0.01, class_weight="balanced", solver="newton-cholesky")
    model.fit(_logs(stacked).reshape(len(stacked), -1), codes)
    weights = np.zeros((stacked.shape[2], stacked.shape[1] * stacked.shape[2]))
    offsets = np.full(stacked.shape[2], -50.0)  # a label that is not there is not predicted
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coefficients = np.vstack([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    weights[model.classes_], offsets[model.classes_] = coefficients, intercepts
    return Combiner(STACKING, tuple(members), weights, offsets)


_FITS: Final[dict[str, Callable[[Sequence[str], np.ndarray, np.ndarray], Combiner]]] = {
    VOTING: _fit_vote,
    STACKING: _fit_stack,
}


def probability_columns(predictions: pd.DataFrame) -> list[str]:
    """Names of the probability columns, in the order of the labels."""
    return [column for column in map(str, predictions) if column.startswith("p_")]


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
        name: ``voting`` or ``stacking``.
        members: Models to combine.

    Returns:
        Predictions of one more model, ``name``, and its combiner.
    """
    columns = probability_columns(predictions)
    chosen = predictions[predictions["model"].isin(members)]
    wide = chosen.pivot(index=KEYS, columns="model", values=columns)
    stacked = np.stack([wide.xs(member, axis=1, level=1)[columns] for member in members], axis=1)
    keys = wide.index.to_frame(index=False)
    codes = pd.Index(columns).get_indexer("p_" + keys["label"])
    learnt = (keys["evaluation"] == CROSS_VALIDATION) & (keys["condition"] == CLEAN)
    combiner = _FITS[name](members, stacked[learnt], codes[learnt])
    combined = combiner(stacked)
    for fold in sorted(keys.loc[learnt, "fold"].unique()):
        others, inside = learnt & (keys["fold"] != fold), keys["fold"] == fold
        combined[inside] = _FITS[name](members, stacked[others], codes[others])(stacked[inside])
    table = keys.assign(
        model=name,
        prediction=pd.Index(columns).str.removeprefix("p_").to_numpy()[combined.argmax(axis=1)],
    )
    table = table.join(pd.DataFrame(combined, columns=columns))
    return table[list(predictions.columns)], combiner


def choose_members(predictions: pd.DataFrame, name: str, *, most: int) -> tuple[str, ...]:
    """Choose how many of the best models combine: the number with the highest cross-fitted UAR.

    Args:
        predictions: Predictions of every candidate under one protocol.
        name: ``voting`` or ``stacking``.
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
