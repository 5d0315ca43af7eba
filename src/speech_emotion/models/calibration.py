"""Temperature scaling of probabilities, and the decision threshold of a label.

C. Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from speech_emotion.config import Settings

__all__ = ["Threshold", "fit_temperature", "with_temperature"]

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
    value: float
    false_alarms: float
    recall: float
    n_utterances: int
    n_speakers: int
