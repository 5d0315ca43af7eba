"""Combine the probabilities of several models: weighted soft voting and stacking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression

__all__ = ["COMBINATIONS", "FITS", "SOFT_VOTING", "STACKING", "Combiner"]

SOFT_VOTING: Final = "soft_voting"


STACKING: Final = "stacking"


COMBINATIONS: Final = (SOFT_VOTING, STACKING)


SMALLEST = 1e-6


@dataclass(frozen=True)
class Combiner:
    """How the probabilities of several models become those of one.

    Attributes:
        name: ``soft_voting``, ``stacking``, or the name of the only member.
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
        if self.name != SOFT_VOTING or not heard.any():
            return self
        members = tuple(np.asarray(self.members)[heard].tolist())
        return Combiner(self.name, members, self.weights[heard], self.offsets)

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain types."""
        return {
            "name": self.name,
            "members": list(self.members),
            "weights": self.weights.tolist(),
            "offsets": self.offsets.tolist(),
        }

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Self:
        """Build a combiner from its :meth:`to_dict`."""
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


def _fit_soft_voting(members: Sequence[str], stacked: np.ndarray, codes: np.ndarray) -> Combiner:
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
    return Combiner(SOFT_VOTING, tuple(members), found.x, np.empty(0))


def _fit_stacking(members: Sequence[str], stacked: np.ndarray, codes: np.ndarray) -> Combiner:
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


FITS: Final[dict[str, Callable[[Sequence[str], np.ndarray, np.ndarray], Combiner]]] = {
    SOFT_VOTING: _fit_soft_voting,
    STACKING: _fit_stacking,
}
