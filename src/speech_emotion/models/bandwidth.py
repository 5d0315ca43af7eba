"""Narrowband and wideband audio: one model for each bandwidth."""

from __future__ import annotations

from typing import Final, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from speech_emotion.models.estimators import as_table

__all__ = ["BANDWIDTH_FEATURE", "BandwidthModels"]

BANDWIDTH_FEATURE: Final = "treble_ratio_mean"
"""Column that reveals the bandwidth: level above 5 kHz relative to that below, in dB."""
NARROWBAND_DB: Final = -50.0
"""Upper limit of narrowband audio, which has only rounding noise above 5 kHz; wideband exceeds -41 dB."""


class BandwidthModels(ClassifierMixin, BaseEstimator):
    """A classifier with separate models for narrowband (telephone) and wideband audio.

    :data:`BANDWIDTH_FEATURE` selects the model of each utterance and is not passed on to it. This is a
    mixture of experts (R. Jacobs et al., *Adaptive mixtures of local experts*, Neural Computation 3,
    1991) with a known gate. A single model serves both bandwidths if the training data of either lacks a
    label, or if the input has no such column.

    Metadata that the estimator's ``fit`` requests is routed to it, see scikit-learn's metadata routing.

    Args:
        estimator: Classifier that is cloned for each bandwidth.

    Attributes:
        classes_: Labels, shape ``(n_classes,)``.
        wideband_: The fitted wideband model.
        narrowband_: The fitted narrowband model; the same object if one model serves both.

    Examples:
        >>> import pandas as pd
        >>> from sklearn.linear_model import LogisticRegression
        >>> X = pd.DataFrame({"level": [1, 2, 3, 4], BANDWIDTH_FEATURE: [-20, -20, -90, -90]})
        >>> model = BandwidthModels(LogisticRegression()).fit(X, ["calm", "angry", "angry", "calm"])
        >>> model.predict(X).tolist()
        ['calm', 'angry', 'angry', 'calm']
    """

    def __init__(self, estimator: BaseEstimator):
        self.estimator = estimator

    def get_metadata_routing(self) -> MetadataRouter:
        """Route the metadata of ``fit`` to the estimator."""
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return MetadataRouter(owner=self).add(estimator=self.estimator, method_mapping=mapping)

    def fit(self, X: pd.DataFrame, y: ArrayLike, **metadata: ArrayLike) -> Self:
        """Fit the models.

        Args:
            X: Features, one row per utterance.
            y: Labels, shape ``(n,)``.
            metadata: Arrays of shape ``(n,)`` that the estimator's ``fit`` requests, such as ``sex``.
        """
        routed = process_routing(self, "fit", **metadata).estimator.fit
        X = as_table(self, X)
        labels = column_or_1d(y, warn=True)
        check_consistent_length(X, labels)
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        narrowband = _is_narrowband(X)
        subsets = [narrowband, ~narrowband]
        if any(len(np.unique(labels[rows])) < len(self.classes_) for rows in subsets):
            subsets = [np.ones_like(narrowband)]
        models = [
            clone(self.estimator).fit(
                _inputs(X, rows),
                labels[rows],
                **{name: np.asarray(values)[rows] for name, values in routed.items()},
            )
            for rows in subsets
        ]
        self.narrowband_, self.wideband_ = models[0], models[-1]
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities, shape ``(n, n_classes)``."""
        check_is_fitted(self)
        X = as_table(self, X, reset=False)
        narrowband = _is_narrowband(X)
        probabilities = np.empty((len(narrowband), len(self.classes_)))
        for rows, model in ((narrowband, self.narrowband_), (~narrowband, self.wideband_)):
            if rows.any():
                probabilities[rows] = model.predict_proba(_inputs(X, rows))
        return probabilities

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the most probable label of each utterance, shape ``(n,)``."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


def _is_narrowband(X: pd.DataFrame) -> np.ndarray:
    if isinstance(X, pd.DataFrame) and BANDWIDTH_FEATURE in X:
        return (X[BANDWIDTH_FEATURE] < NARROWBAND_DB).to_numpy()
    return np.zeros(len(X), dtype=bool)


def _inputs(X: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Return the given rows without the bandwidth column."""
    if isinstance(X, pd.DataFrame):
        return X.loc[rows, X.columns != BANDWIDTH_FEATURE]
    return X[rows]
