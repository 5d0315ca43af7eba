"""Wide-band and narrow-band sound: which of them an utterance is, and a model for each."""

from __future__ import annotations

from typing import Final, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

__all__ = ["BANDWIDTH_FEATURE", "BandwidthModels"]

BANDWIDTH_FEATURE: Final = "treble_ratio_mean"
"""Column that tells the band: level above 5 kHz against that below, in dB, mean over the frames."""
NARROW_DB: Final = -50.0
"""Below it nothing but rounding is left above 5 kHz; speech at 16 kHz and more lies above -41 dB."""


class BandwidthModels(ClassifierMixin, BaseEstimator):
    """A model of wide-band sound and one of narrow-band sound, such as a telephone's.

    Each utterance is judged by the model of its band, which :data:`BANDWIDTH_FEATURE` tells; that column is
    not learnt from. It is a mixture of experts (R. Jacobs et al., *Adaptive mixtures of local experts*,
    Neural Computation 3, 1991) whose gate is known. Where training lacks a label in one of the bands,
    one model is for both.

    Args:
        estimator: Classifier that both models are made from.

    Attributes:
        classes_: Labels.
        wideband_: The fitted model of wide-band sound.
        narrowband_: The fitted model of narrow-band sound; the same object where there is one for both.
    """

    def __init__(self, estimator: BaseEstimator):
        self.estimator = estimator

    def fit(self, X: pd.DataFrame, y: ArrayLike, **options: ArrayLike) -> Self:
        """Fit the models.

        Args:
            X: Features, one row an utterance, :data:`BANDWIDTH_FEATURE` among them.
            y: Labels.
            options: One value a row of what the estimator's ``fit`` takes besides.
        """
        labels = np.asarray(y)
        self.classes_ = np.unique(labels)
        narrow = _is_narrow(X)
        bands = [narrow, ~narrow]
        if any(len(np.unique(labels[rows])) < len(self.classes_) for rows in bands):
            bands = [np.ones_like(narrow)]
        models = []
        for rows in bands:
            own = {name: np.asarray(values)[rows] for name, values in options.items()}
            models.append(clone(self.estimator).fit(_learnt(X, rows), labels[rows], **own))
        self.narrowband_, self.wideband_ = models[0], models[-1]
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities, shape ``(n, n_classes)``."""
        check_is_fitted(self)
        narrow = _is_narrow(X)
        predicted = np.empty((len(X), len(self.classes_)))
        for rows, model in ((narrow, self.narrowband_), (~narrow, self.wideband_)):
            if rows.any():
                predicted[rows] = model.predict_proba(_learnt(X, rows))
        return predicted

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the most probable label of each utterance."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _is_narrow(X: pd.DataFrame) -> np.ndarray:
    return (X[BANDWIDTH_FEATURE] < NARROW_DB).to_numpy()


def _learnt(X: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    return X.loc[rows, X.columns != BANDWIDTH_FEATURE]
