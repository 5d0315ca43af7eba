"""Calibrate probabilities by one temperature, and the threshold from which speech is flagged.

C. Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017: temperature scaling.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from speech_emotion.config import Settings

__all__ = ["Threshold", "fit_temperature", "with_temperature"]

SMALLEST = 1e-9


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Soften (above 1) or sharpen (below 1) probabilities ``(n, n_labels)``; their order stays."""
    return softmax(np.log(np.maximum(probabilities, SMALLEST)) / temperature, axis=1)


def fit_temperature(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Return the temperature of the highest likelihood.

    Args:
        probabilities: Shape ``(n, n_labels)``.
        codes: Position of the true label of each row, shape ``(n,)``.
    """

    def loss(log_temperature: float) -> float:
        scaled = with_temperature(probabilities, float(np.exp(log_temperature)))
        return -float(np.log(np.maximum(scaled[np.arange(len(codes)), codes], SMALLEST)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


class Threshold(Settings):
    """From which probability on an utterance is flagged, and what that rests on.

    Attributes:
        target: Label that is looked for.
        value: Probability of the target.
        false_alarms: Share of other utterances that may reach it.
        recall: Share of the target's utterances that reach it.
        n_utterances: Utterances it was chosen on.
        n_speakers: Their speakers, none of whom the judging model had learnt from.
    """

    target: str
    value: float
    false_alarms: float
    recall: float
    n_utterances: int
    n_speakers: int
