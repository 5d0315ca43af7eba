"""Estimators that scikit-learn has in parts: an SVM with soft outputs, and two steps."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

__all__ = ["MarginSVC", "SexThenEmotion"]


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
