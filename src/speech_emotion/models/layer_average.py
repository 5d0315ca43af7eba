"""Combine classifiers that are trained on one layer of a speech encoder each."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_is_fitted,
    has_fit_parameter,
    validate_data,
)

from speech_emotion.features import EMBEDDING
from speech_emotion.models.estimators import ShrinkageLDA, class_means, weighted_rows

__all__ = ["LayerAverage"]

SMALLEST = 1e-9


class LayerAverage(ClassifierMixin, BaseEstimator):
    """Train a copy of a classifier on each layer of an encoder, and average their log-probabilities.

    Averaging beats the best layer and a classifier of all layers together, because the layers make
    different errors. Each layer is scaled on its own.

    Args:
        estimator: Classifier of one layer; a :class:`ShrinkageLDA` by default.
        layers: Layers in use; ``None`` for all.
        statistics: Statistics in use, of :data:`speech_emotion.features.EMBEDDING_STATISTICS`; ``None``
            for all.

    Attributes:
        classes_: Labels, shape ``(n_classes,)``.
        columns_: Positions of the columns of each layer.
        scalers_: Scaler of each layer.
        estimators_: Classifier of each layer.
        class_means_: Mean of each class, shape ``(n_classes, n_features)``, float32.

    Examples:
        >>> X = pd.DataFrame(
        ...     {
        ...         "mine_layer1_mean_0": [0.0, 1.0, 4.0, 5.0],
        ...         "mine_layer2_mean_0": [1.0, 0.0, 5.0, 4.0],
        ...     }
        ... )
        >>> model = LayerAverage().fit(X, ["sad", "sad", "angry", "angry"])
        >>> model.predict(X).tolist()
        ['sad', 'sad', 'angry', 'angry']
    """

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        layers: tuple[int, ...] | None = None,
        statistics: tuple[str, ...] | None = None,
    ):
        self.estimator = estimator
        self.layers = layers
        self.statistics = statistics

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            tags.classifier_tags.multi_class = (
                self.estimator.__sklearn_tags__().classifier_tags.multi_class
            )
        return tags

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sample_weight": True}

    def fit(
        self, X: pd.DataFrame | ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit scaler and classifier of each layer.

        Args:
            X: Embeddings, shape ``(n, n_features)``. Columns are assigned to layers by their names, see
                :func:`speech_emotion.features.embedding_names`; an array counts as one layer.
            y: Labels, shape ``(n,)``.
            sample_weight: Weight of each row, shape ``(n,)``; ``None`` for equal weights.

        Raises:
            ValueError: If no column belongs to the requested layers and statistics.
        """
        values, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
        check_classification_targets(y)
        values, y, weights = weighted_rows(values, y, sample_weight)
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has only one class, {self.classes_[0]!r}; at least two are needed")
        self.class_means_ = class_means(values, codes, weights)
        self.columns_ = self._columns(values.shape[1])
        self.scalers_, self.estimators_ = [], []
        base = ShrinkageLDA() if self.estimator is None else self.estimator
        for columns in self.columns_:
            scaler = StandardScaler()
            scaled = scaler.fit(values[:, columns], sample_weight=weights).transform(
                values[:, columns]
            )
            self.scalers_.append(scaler)
            estimator = clone(base)
            if weights is None or not has_fit_parameter(estimator, "sample_weight"):
                self.estimators_.append(estimator.fit(scaled, y))
            else:
                self.estimators_.append(estimator.fit(scaled, y, sample_weight=weights))
        return self

    def predict_proba(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Return probabilities, shape ``(n, n_classes)``."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        total = np.zeros((len(values), len(self.classes_)))
        for columns, scaler, estimator in zip(
            self.columns_, self.scalers_, self.estimators_, strict=True
        ):
            probabilities = estimator.predict_proba(scaler.transform(values[:, columns]))
            total += np.log(np.maximum(probabilities, SMALLEST))
        return softmax(total / len(self.estimators_), axis=1)

    def predict(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Return the most probable label of each utterance, shape ``(n,)``."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def _columns(self, n_columns: int) -> list[np.ndarray]:
        names = getattr(self, "feature_names_in_", None)
        matches = [EMBEDDING.match(name) for name in names] if names is not None else [None]
        if not any(matches):
            return [np.arange(n_columns)]
        if names is not None and not all(matches):
            other = next(name for name, match in zip(names, matches, strict=True) if not match)
            raise ValueError(
                f"{other} is no embedding, but other columns are: pass the columns of an encoder alone"
            )
        found = pd.DataFrame([match.groupdict() for match in matches if match])
        chosen = pd.Series(True, index=found.index)
        if self.layers is not None:
            chosen &= found["layer"].astype(int).isin(self.layers)
        if self.statistics is not None:
            chosen &= found["statistic"].isin(self.statistics)
        if not chosen.any():
            raise ValueError(
                f"The embeddings have no layers {self.layers} with statistics {self.statistics}; they "
                f"have layers {', '.join(sorted(found['layer'].unique()))}"
            )
        return [
            rows.to_numpy() for rows in found.index[chosen].groupby(found["layer"][chosen]).values()
        ]
