"""Temperature and Platt scaling of probabilities, and the decision threshold of a label.

C. Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017; J. Platt, *Probabilistic outputs for
support vector machines*, 1999.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, softmax

from speech_emotion.config import Settings

__all__ = ["PlattScaling", "Threshold", "fit_platt", "fit_temperature", "with_temperature"]

SMALLEST = 1e-9


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Soften or sharpen probabilities by temperature scaling; their order does not change.

    Args:
        probabilities: Shape ``(n, n_labels)``.
        temperature: Above 1 softens, below 1 sharpens.

    Examples:
        >>> with_temperature(np.array([[0.9, 0.1]]), 2.0).round(2).tolist()
        [[0.75, 0.25]]
    """
    return softmax(np.log(np.maximum(probabilities, SMALLEST)) / temperature, axis=1)


def fit_temperature(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Return the temperature that maximizes the likelihood.

    Args:
        probabilities: Shape ``(n, n_labels)``.
        codes: Column of the true label of each row, shape ``(n,)``.
    """

    def loss(log_temperature: float) -> float:
        scaled = with_temperature(probabilities, float(np.exp(log_temperature)))
        return -float(np.log(np.maximum(scaled[np.arange(len(codes)), codes], SMALLEST)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


class Threshold(Settings):
    """Decision threshold of a target label, and the data it was chosen on.

    Attributes:
        target: Label to detect.
        value: Smallest probability of the target that flags an utterance.
        false_alarms: Largest accepted false-alarm rate.
        recall: Share of the target's utterances that are flagged.
        n_utterances: Number of utterances.
        n_speakers: Number of their speakers, all unseen by the models that scored them.
    """

    target: str
    value: float = Field(ge=0, le=1)
    false_alarms: float = Field(ge=0, le=1)
    recall: float = Field(ge=0, le=1)
    n_utterances: int = Field(ge=0)
    n_speakers: int = Field(ge=0)


class PlattScaling(Settings):
    """Recalibration of the probability of one label: ``sigmoid(slope * logit(p) + intercept)``.

    Attributes:
        target: The label.
        slope: Positive, so that the order of scores stays.
        intercept: Below 0 if the label is rarer than in training.
        n: Number of items that it was fitted to.

    Example:
        >>> scaling = PlattScaling(target="angry", slope=1.0, intercept=-2.0)
        >>> scaling(np.array([0.5, 0.9])).round(2).tolist()
        [0.12, 0.55]
    """

    target: str = "angry"
    slope: float = Field(allow_inf_nan=False)
    intercept: float = Field(allow_inf_nan=False)
    n: int = 0

    def __call__(self, probability: np.ndarray) -> np.ndarray:
        """Return the recalibrated probability of the label; NaN stays NaN."""
        clipped = np.clip(probability, SMALLEST, 1 - SMALLEST)
        return expit(self.slope * logit(clipped) + self.intercept)

    def scale(self, probabilities: np.ndarray, column: int) -> np.ndarray:
        """Recalibrate one column; the others keep their proportions.

        Args:
            probabilities: Shape ``(n, n_labels)``, at least two labels; rows add up to 1.
            column: Column of the label.
        """
        scaled = np.asarray(probabilities, dtype=float).copy()
        target = self(scaled[:, column])
        rest = np.delete(np.maximum(scaled, SMALLEST), column, axis=1).sum(axis=1)
        scaled = np.maximum(scaled, SMALLEST) * ((1 - target) / rest)[:, None]
        scaled[:, column] = target
        return scaled


def fit_platt(
    scores: np.ndarray, shares: np.ndarray, weights: np.ndarray, *, target: str = "angry"
) -> PlattScaling:
    """Fit Platt scaling by weighted logistic regression, almost without a penalty.

    Args:
        scores: Probability of the label, shape ``(n,)``.
        shares: Share of reviewers who gave the label, shape ``(n,)``, between 0 and 1.
        weights: Weight of each item, shape ``(n,)``.
        target: The label.

    Raises:
        ValueError: If no item, or every item, has the label.
    """
    from sklearn.linear_model import LogisticRegression

    inputs = logit(np.clip(scores, SMALLEST, 1 - SMALLEST))[:, None]
    # A share of verdicts is two examples with its weights.
    both = np.concatenate([weights * shares, weights * (1 - shares)])
    codes = np.repeat([1, 0], len(scores))
    used = both > 0
    if len(np.unique(codes[used])) < 2:
        raise ValueError(f"All items have the same verdict on {target!r}: no scaling can be fitted")
    model = LogisticRegression(C=1e3).fit(
        np.concatenate([inputs, inputs])[used],
        codes[used],
        sample_weight=both[used] * len(scores) / both.sum(),
    )
    return PlattScaling(
        target=target,
        slope=float(model.coef_[0, 0]),
        intercept=float(model.intercept_[0]),
        n=len(scores),
    )
