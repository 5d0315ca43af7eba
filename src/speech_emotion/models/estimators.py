"""Estimators that scikit-learn lacks: a fast LDA, an SVM with probabilities, a two-step classifier."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import pandas as pd
import scipy.linalg
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

__all__ = [
    "MarginSVC",
    "SexThenEmotion",
    "ShrinkageLDA",
    "as_table",
    "class_means",
    "weighted_rows",
]

SMALLEST = 1e-6


class ShrinkageLDA(ClassifierMixin, BaseEstimator):
    """Linear discriminant analysis with a shrunk covariance, fast with thousands of features.

    The within-class covariance is shrunk towards a multiple of the identity (O. Ledoit and M. Wolf,
    *Honey, I shrunk the sample covariance matrix*, 2004), so features should be scaled. All classes
    have equal priors. The equations are those of scikit-learn's ``LinearDiscriminantAnalysis``, whose
    solver takes twenty times as long with 2,000 features.

    Args:
        shrinkage: Weight of the identity, in (0, 1].

    Attributes:
        classes_: Labels, shape ``(n_classes,)``.
        coef_: Weights, shape ``(n_classes, n_features)``.
        intercept_: Intercepts, shape ``(n_classes,)``.

    Examples:
        >>> model = ShrinkageLDA(shrinkage=0.1)
        >>> model.fit(
        ...     [[0.0, 1.0], [1.0, 0.0], [4.0, 5.0], [5.0, 4.0]], ["sad", "sad", "angry", "angry"]
        ... )
        ShrinkageLDA(shrinkage=0.1)
        >>> model.predict([[1.0, 1.0], [4.0, 4.0]]).tolist()
        ['sad', 'angry']
    """

    def __init__(self, shrinkage: float = 0.2):
        self.shrinkage = shrinkage

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate the within-class covariance and solve for the weights.

        Args:
            X: Features, shape ``(n, n_features)``.
            y: Labels, shape ``(n,)``.
            sample_weight: Weight of each row, shape ``(n,)``; ``None`` for equal weights.

        Raises:
            ValueError: If ``shrinkage`` is outside its range or there is only one class.
        """
        if not 0 < self.shrinkage <= 1:
            raise ValueError(f"shrinkage must be above 0 and at most 1, got {self.shrinkage}")
        values: np.ndarray
        values, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
        check_classification_targets(y)
        values, y, weights = weighted_rows(values, y, sample_weight)
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has only one class, {self.classes_[0]!r}; at least two are needed")
        means = class_means(values, codes, weights)
        center = means.mean(axis=0)
        deviations = values - means[codes]
        total = float(len(values))
        if weights is not None:
            deviations *= np.sqrt(weights)[:, None]
            total = float(weights.sum())
        average = np.square(deviations).sum() / (total * deviations.shape[1])
        weight = (1 - self.shrinkage) / total
        # Keeps the matrix regular if no feature varies.
        ridge = max(self.shrinkage * average, SMALLEST)
        self.coef_ = _solve(deviations, (means - center).T, weight=weight, ridge=ridge).T
        self.intercept_ = -0.5 * np.einsum("cf,cf->c", self.coef_, means + center)
        return self

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return probabilities, shape ``(n, n_classes)``."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        return softmax(values @ self.coef_.T + self.intercept_, axis=1)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable label of each utterance, shape ``(n,)``."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


def weighted_rows(
    values: np.ndarray, y: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Check the weights, and leave out rows whose weight is 0; without weights, return all rows."""
    labels = np.asarray(y)
    if sample_weight is None:
        return values, labels, None
    weights = _check_sample_weight(sample_weight, values, dtype=values.dtype)
    used = weights > 0
    return values[used], labels[used], weights[used]


def class_means(values: np.ndarray, codes: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the mean of each class, shape ``(n_classes, n_features)``.

    Args:
        values: Shape ``(n, n_features)``.
        codes: Class of each row, 0, 1, …, shape ``(n,)``.
        weights: Weight of each row; ``None`` for equal weights.
    """
    inside = [codes == code for code in range(codes.max() + 1)]
    if weights is None:
        return np.stack([values[rows].mean(axis=0) for rows in inside])
    return np.stack([np.average(values[rows], axis=0, weights=weights[rows]) for rows in inside])


def _solve(rows: np.ndarray, right: np.ndarray, *, weight: float, ridge: float) -> np.ndarray:
    """Solve ``(weight · rowsᵀ rows + ridge · I) x = right`` for ``x`` of shape ``(n_features, k)``."""
    wide = rows.shape[1] > len(rows)
    # With fewer rows than features, the smaller Gram matrix suffices (M. Woodbury, 1950).
    products = rows @ rows.T if wide else rows.T @ rows
    products *= weight
    products.flat[:: len(products) + 1] += ridge
    factor = scipy.linalg.cho_factor(products, lower=True, overwrite_a=True)
    if not wide:
        return scipy.linalg.cho_solve(factor, right)
    return (right - weight * (rows.T @ scipy.linalg.cho_solve(factor, rows @ right))) / ridge


class MarginSVC(SVC):
    """A support vector machine whose probabilities are the softmax of its one-vs-rest margins.

    The Platt scaling of ``SVC(probability=True)`` costs five more fits and cross-validates over
    utterances of the same speakers. Margins only need a temperature, which
    :func:`fit_temperature` estimates on other speakers.

    Args:
        C: Inverse of the regularization strength.
        gamma: Coefficient of the RBF kernel.
        class_weight: ``"balanced"``, weights by label, or ``None``.
        max_iter: Limit of the solver's iterations; -1 for none.
        random_state: Accepted for consistency; the result does not depend on it.
    """

    def __init__(
        self,
        C: float = 1.0,
        gamma: float | str = "scale",
        class_weight: str | dict | None = None,
        max_iter: int = -1,
        random_state: int | None = None,
    ):
        super().__init__(
            C=C,
            gamma=gamma,
            class_weight=class_weight,
            decision_function_shape="ovr",
            break_ties=True,
            cache_size=1000,
            max_iter=max_iter,
            random_state=random_state,
        )

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return probabilities, shape ``(n, n_classes)``."""
        margins = self.decision_function(X)
        if margins.ndim == 1:
            margins = np.column_stack([-margins, margins])
        return softmax(margins, axis=1)


def as_table(
    estimator: BaseEstimator, X: pd.DataFrame | ArrayLike, *, reset: bool = True
) -> pd.DataFrame | np.ndarray:
    """Validate the input of a meta-estimator; a table stays one, for steps that select columns.

    Args:
        estimator: Estimator whose ``n_features_in_`` and ``feature_names_in_`` are set or checked.
        X: Features, shape ``(n, n_features)``.
        reset: Whether they are set, in ``fit``, or checked.
    """
    if not isinstance(X, pd.DataFrame):
        return validate_data(estimator, X, reset=reset)
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    return X


class SexThenEmotion(ClassifierMixin, BaseEstimator):
    """Predict the sex of the speaker first, then the emotion with a model of that sex.

    The emotion models are weighted by the probabilities of the sex classifier. ``fit`` requests ``sex``
    by scikit-learn's metadata routing.

    Args:
        estimator: Classifier that is cloned for both steps.

    Attributes:
        classes_: Labels, shape ``(n_classes,)``.
        sexes_: Sexes in training.
        sex_: Fitted classifier of the sex, or ``None`` if training had only one.
        emotions_: A fitted classifier of emotion for each of ``sexes_``.

    Examples:
        >>> from sklearn.linear_model import LogisticRegression
        >>> X = [[100.0, 0.0], [120.0, 1.0], [200.0, 1.0], [220.0, 0.0]]
        >>> model = SexThenEmotion(LogisticRegression())
        >>> model = model.fit(
        ...     X, ["sad", "angry", "sad", "angry"], sex=["male"] * 2 + ["female"] * 2
        ... )
        >>> model.predict([[110.0, 1.0], [210.0, 1.0]]).tolist()
        ['angry', 'sad']
    """

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sex": True}

    def __init__(self, estimator: BaseEstimator):
        self.estimator = estimator

    def fit(self, X: pd.DataFrame, y: ArrayLike, *, sex: ArrayLike | None = None) -> Self:
        """Fit both steps.

        Args:
            X: Features, one row per utterance.
            y: Labels, shape ``(n,)``.
            sex: Sex of the speaker of each utterance, shape ``(n,)``; without it all are treated alike.
        """
        X = as_table(self, X)
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        sexes = np.full(len(labels), "") if sex is None else np.asarray(sex)
        check_consistent_length(X, labels, sexes)
        self.classes_ = np.unique(labels)
        self.sexes_ = np.unique(sexes)
        self.sex_ = clone(self.estimator).fit(X, sexes) if len(self.sexes_) > 1 else None
        self.emotions_ = [
            clone(self.estimator).fit(X[sexes == one], labels[sexes == one]) for one in self.sexes_
        ]
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities, shape ``(n, n_classes)``."""
        check_is_fitted(self)
        X = as_table(self, X, reset=False)
        weights = np.ones((len(X), 1)) if self.sex_ is None else self.sex_.predict_proba(X)
        probabilities = np.zeros((len(X), len(self.classes_)))
        for position, model in enumerate(self.emotions_):
            columns = np.searchsorted(self.classes_, model.classes_)
            probabilities[:, columns] += weights[:, [position]] * model.predict_proba(X)
        return probabilities

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the most probable label of each utterance, shape ``(n,)``."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]
