"""Ensembles: soft voting and stacking of the probabilities of several models."""

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
    """Combination of the probabilities of several models.

    Attributes:
        name: ``soft_voting``, ``stacking``, or the name of the only member.
        members: Model families, in the order of the weights.
        weights: One weight per member; for stacking ``(n_labels, n_members * n_labels)``.
        offsets: Shape ``(n_labels,)`` for stacking, else empty.

    Examples:
        >>> combiner = Combiner("soft_voting", ("svm", "mlp"), np.array([0.5, 0.5]), np.empty(0))
        >>> combiner(np.array([[[0.8, 0.2], [0.6, 0.4]]])).round(2).tolist()
        [[0.71, 0.29]]
    """

    name: str
    members: tuple[str, ...]
    weights: np.ndarray
    offsets: np.ndarray

    def __call__(self, stacked: np.ndarray) -> np.ndarray:
        """Combine probabilities of shape ``(n, n_members, n_labels)`` into ``(n, n_labels)``."""
        logs = _logs(stacked)
        if self.name != STACKING:
            return softmax(np.einsum("nml,m->nl", logs, self.weights), axis=1)
        return softmax(logs.reshape(len(logs), -1) @ self.weights.T + self.offsets, axis=1)

    def trimmed(self) -> Combiner:
        """Return the combiner without members of zero weight, which only cost time."""
        kept = self.weights > SMALLEST
        if self.name != SOFT_VOTING or not kept.any():
            return self
        members = tuple(np.asarray(self.members)[kept].tolist())
        return Combiner(self.name, members, self.weights[kept], self.offsets)

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as JSON types."""
        return {
            "name": self.name,
            "members": list(self.members),
            "weights": self.weights.tolist(),
            "offsets": self.offsets.tolist(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build a combiner from the result of :meth:`to_dict`."""
        return cls(
            values["name"],
            tuple(values["members"]),
            np.asarray(values["weights"]),
            np.asarray(values["offsets"]),
        )

    @classmethod
    def single(cls, family: str) -> Self:
        """Return a combiner that passes the probabilities of one model through."""
        return cls(family, (family,), np.ones(1), np.empty(0))


def _logs(stacked: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(stacked, SMALLEST))


def _fit_soft_voting(members: Sequence[str], stacked: np.ndarray, codes: np.ndarray) -> Combiner:
    """Fit the weights of a geometric mean of probabilities by maximum likelihood.

    This is the logarithmic opinion pool (C. Genest and J. V. Zidek, *Combining probability distributions:
    a critique and an annotated bibliography*, Statistical Science 1, 1986). Weights may sum to less than
    1, so overconfident members are softened, too.
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
    """Fit a strongly regularized multinomial logistic regression on log probabilities.

    D. H. Wolpert, *Stacked generalization*, Neural Networks 5, 1992.
    """
    model = LogisticRegression(C=0.01, class_weight="balanced", solver="newton-cholesky")
    model.fit(_logs(stacked).reshape(len(stacked), -1), codes)
    weights = np.zeros((stacked.shape[2], stacked.shape[1] * stacked.shape[2]))
    offsets = np.full(
        stacked.shape[2], -50.0
    )  # labels that are not in training are never predicted
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
