"""Model families: each builds an untrained scikit-learn estimator for one kind of input.

A family that reads ``statistics`` takes a table with one named column a feature and brings its own
scaling and PCA, so that every fold fits its own. One that reads ``kernels`` takes the responses of
convolution kernels, which are columns of the same table. A family that reads ``sequences`` takes an
array ``(n_utterances, n_frames, n_channels)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from speech_emotion.features import KERNEL_PREFIX
from speech_emotion.models.bandwidth import BANDWIDTH_FEATURE
from speech_emotion.models.conv1d import Conv1DClassifier
from speech_emotion.models.conv2d import Conv2DClassifier
from speech_emotion.models.estimators import MarginSVC, SexThenEmotion, ShrinkageLDA

__all__ = ["FAMILIES", "Family", "UnknownFamily", "family_named", "preprocessing"]

InputKind = Literal["statistics", "kernels", "sequences"]


class UnknownFamily(ValueError):
    """A model family was named that does not exist."""


@dataclass(frozen=True)
class Family:
    """A kind of model: its name, what it reads and how it is built.

    Attributes:
        name: Name in parameters, tables and runs.
        title: Name for people.
        inputs: ``statistics`` or ``kernels`` (tables) or ``sequences`` (an array of frames).
        build: Makes an untrained estimator from ``seed``, which trains on one thread.
    """

    name: str
    title: str
    inputs: InputKind
    build: Callable[..., BaseEstimator]

    def select(self, features: pd.DataFrame, sequences: np.ndarray) -> pd.DataFrame | np.ndarray:
        """Take what the family reads.

        Args:
            features: Named features, one row an utterance.
            sequences: Frames, shape ``(n, n_frames, n_channels)``.

        Raises:
            ValueError: If there is nothing to read.
        """
        if self.inputs == "sequences":
            return sequences
        is_kernel = features.columns.str.startswith(KERNEL_PREFIX)
        chosen = is_kernel if self.inputs == "kernels" else ~is_kernel
        if not chosen.any():
            raise ValueError(
                f"{self.name} reads {self.inputs}, and the feature set has none: set "
                f"features.feature_set=contours_3490, or leave {self.name} out of selection.families"
            )
        return features.loc[:, chosen | (features.columns == BANDWIDTH_FEATURE)]


def preprocessing() -> ColumnTransformer:
    """Scale every feature and rotate the MFCC block by PCA, all fitted on training rows only.

    MFCC coefficients are strongly correlated over statistics and order; the other features pass
    scaled. Set ``preprocess__mfcc__pca`` to ``passthrough`` to leave the PCA out.
    """
    mfcc = Pipeline([("scale", StandardScaler()), ("pca", PCA(n_components=0.99))])
    return ColumnTransformer(
        [("mfcc", mfcc, make_column_selector(pattern="^mfcc_"))],
        remainder=StandardScaler(),
        verbose_feature_names_out=False,
    )


def _on_statistics(model: BaseEstimator) -> Pipeline:
    return Pipeline([("preprocess", preprocessing()), ("model", model)])


def _logistic_regression(*, seed: int) -> Pipeline:
    return _on_statistics(
        LogisticRegression(max_iter=300, tol=1e-3, class_weight="balanced", random_state=seed)
    )


def _random_forest(*, seed: int) -> Pipeline:
    return _on_statistics(RandomForestClassifier(class_weight="balanced", random_state=seed))


def _mlp(*, seed: int) -> Pipeline:
    return _on_statistics(MLPClassifier(random_state=seed))


def _xgboost(*, seed: int) -> Pipeline:
    from xgboost import XGBClassifier

    return _on_statistics(XGBClassifier(tree_method="hist", random_state=seed, n_jobs=1))


def _shrinkage_lda(*, seed: int) -> Pipeline:
    # Covariances inside a label hold what tells speakers and copies apart: that is divided out.
    return _on_statistics(ShrinkageLDA())


def _rocket_lda(*, seed: int) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("model", ShrinkageLDA(shrinkage=0.4))])


def _svm(*, seed: int) -> Pipeline:
    return _on_statistics(MarginSVC(class_weight="balanced", random_state=seed))


def _two_step(*, seed: int) -> SexThenEmotion:
    return SexThenEmotion(_shrinkage_lda(seed=seed))


def _conv1d(*, seed: int) -> Conv1DClassifier:
    return Conv1DClassifier(random_state=seed)


def _conv2d(*, seed: int) -> Conv2DClassifier:
    # With larger batches most of the time goes to asking the system for memory.
    return Conv2DClassifier(filters=16, kernel_size=3, batch_size=16, random_state=seed)


FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        Family("logistic_regression", "Logistic regression", "statistics", _logistic_regression),
        Family("random_forest", "Random forest", "statistics", _random_forest),
        Family("mlp", "MLP", "statistics", _mlp),
        Family("xgboost", "XGBoost", "statistics", _xgboost),
        Family("shrinkage_lda", "Shrinkage LDA", "statistics", _shrinkage_lda),
        Family("rocket_lda", "ROCKET LDA", "kernels", _rocket_lda),
        Family("svm", "SVM", "statistics", _svm),
        Family("two_step", "Sex, then emotion", "statistics", _two_step),
        Family("conv1d", "Conv1D", "sequences", _conv1d),
        Family("conv1d_table", "Conv1D on statistics", "statistics", _conv1d),
        Family("conv2d", "Conv2D", "sequences", _conv2d),
    )
}


def family_named(name: str) -> Family:
    """Return the family called ``name``.

    Raises:
        UnknownFamily: With the names that exist.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        raise UnknownFamily(
            f"There is no model family {name!r}; write one of: {', '.join(FAMILIES)}"
        ) from None
