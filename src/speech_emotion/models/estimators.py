"""Estimators that scikit-learn has in parts: a fast LDA, an SVM with soft outputs, and two steps."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
import scipy.linalg
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = ["MarginSVC", "SexThenEmotion", "ShrinkageLDA"]

SMALLEST = 1e-6


class ShrinkageLDA(ClassifierMixin, BaseEstimator):
    """Linear discriminant analysis with a shrunk covariance, for thousands of features.

    The covariance inside labels is drawn towards a multiple of the identity, so features should be
    scaled (O. Ledoit and M. Wolf, *Honey, I shrunk the sample covariance matrix*, 2004). Labels count
    as equally frequent. scikit-learn solves the same equations by singular values, which takes twenty
    times as long with 2,000 features.

    Args:
        shrinkage: Share of the identity, above 0, at most 1.

    Attributes:
        classes_: Labels.
        coef_: Weights, shape ``(n_classes, n_features)``.
        intercept_: Offsets, shape ``(n_classes,)``.
    """

    def __init__(self, shrinkage: float = 0.2):
        self.shrinkage = shrinkage

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Estimate the covariance inside labels, and solve for the weights.

        Raises:
            ValueError: If ``shrinkage`` is outside its range, or there is one label only.
        """
        if not 0 < self.shrinkage <= 1:
            raise ValueError(f"shrinkage must be above 0 and at most 1, not {self.shrinkage}")
        values: np.ndarray
        values, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
        check_classification_targets(y)
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class only, {self.classes_[0]}: nothing to tell apart")
        means = np.stack([values[codes == code].mean(axis=0) for code in range(len(self.classes_))])
        centre = means.mean(axis=0)
        deviations = values - means[codes]
        average = np.square(deviations).sum() / deviations.size
        weight = (1 - self.shrinkage) / len(values)
        # Features that never vary leave nothing to divide by.
        ridge = max(self.shrinkage * average, SMALLEST)
        self.coef_ = _solve(deviations, (means - centre).T, weight=weight, ridge=ridge).T
        self.intercept_ = -0.5 * np.einsum("cf,cf->c", self.coef_, means + centre)
        return self

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return probabilities, shape ``(n, n_classes)``."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        return softmax(values @ self.coef_.T + self.intercept_, axis=1)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable label of each row."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


def _solve(rows: np.ndarray, right: np.ndarray, *, weight: float, ridge: float) -> np.ndarray:
    """Solve ``(weight · rowsᵀ rows + ridge · I) x = right`` for ``x`` of shape ``(n_features, k)``."""
    wide = rows.shape[1] > len(rows)
    # With fewer rows than features their products suffice (M. Woodbury, 1950).
    products = rows @ rows.T if wide else rows.T @ rows
    products *= weight
    products.flat[:: len(products) + 1] += ridge
    factor = scipy.linalg.cho_factor(products, lower=True, overwrite_a=True)
    if not wide:
        return scipy.linalg.cho_solve(factor, right)
    return (right - weight * (rows.T @ scipy.linalg.cho_solve(factor, rows @ right))) / ridge


class MarginSVC(SVC):
    """A support vector machine whose probabilities are the softmax of its one-against-rest margins.

    Platt's scaling inside SVC would cross-validate over utterances of the same speakers and cost five
    fits; the margins need only a temperature, which is learnt on other speakers afterwards.
    """

    def __init__(
        self,
        C: float = 1.0,
        gamma: float | str = "scale",
        class_weight: str | None = None,
        random_state: int | None = None,
    ):
        super().__init__(
            C=C,
            gamma=gamma,
            class_weight=class_weight,
            decision_function_shape="ovr",
            break_ties=True,
            cache_size=1000,
            random_state=random_state,
        )

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return probabilities, shape ``(n, n_classes)``."""
        margins = self.decision_function(X)
        if margins.ndim == 1:
            margins = np.column_stack([-margins, margins])
        return softmax(margins, axis=1)


class SexThenEmotion(ClassifierMixin, BaseEstimator):
    """Tell the sex of a voice first, then its emotion by a model of that sex.

    The second step is weighted by the probabilities of the first, so a doubtful voice hears both.

    Args:
        estimator: Classifier that both steps are made from.

    Attributes:
        classes_: Labels.
        sex_: Fitted classifier of the voice, or ``None`` if training had one sex.
        emotions_: A fitted classifier of emotion for each sex, in the order of ``sexes_``.
        sexes_: Sexes.
    """

    def __init__(self, estimator: BaseEstimator):
        self.estimator = estimator

    def fit(self, X: pd.DataFrame, y: np.ndarray, *, sex: np.ndarray) -> Self:
        """Fit both steps.

        Args:
            X: Features, one row an utterance.
            y: Labels.
            sex: Sex of each utterance's speaker.
        """
        sex, y = np.asarray(sex), np.asarray(y)
        self.classes_ = np.unique(y)
        self.sexes_ = np.unique(sex)
        self.sex_ = clone(self.estimator).fit(X, sex) if len(self.sexes_) > 1 else None
        self.emotions_ = [
            clone(self.estimator).fit(X[sex == one], y[sex == one]) for one in self.sexes_
        ]
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities, shape ``(n, n_classes)``."""
        check_is_fitted(self)
        shares = np.ones((len(X), 1)) if self.sex_ is None else self.sex_.predict_proba(X)
        total = np.zeros((len(X), len(self.classes_)))
        for position, model in enumerate(self.emotions_):
            known = np.searchsorted(self.classes_, model.classes_)
            total[:, known] += shares[:, [position]] * model.predict_proba(X)
        return total

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the most probable label of each utterance."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
