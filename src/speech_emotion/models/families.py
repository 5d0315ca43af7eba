"""Model families: each builds an untrained scikit-learn estimator for one kind of input.

To add a family, add an entry to :data:`FAMILIES`. Its estimator gets a table with one named column per
feature (``statistics``), the columns of random convolution kernels (``kernels``), or an array of shape
``(n, n_frames, n_channels)`` (``sequences``). From a pretrained speech encoder it gets a table of
statistics (``embeddings``) or an array of frames (``encoder_frames``). Scaling and PCA are steps of the
estimator, so that they are fitted on training data only. If ``fit`` requests ``sex``, ``groups`` (the
speakers) or ``validation`` by scikit-learn's metadata routing, it gets them.
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
from speech_emotion.models.attention import AttentionClassifier
from speech_emotion.models.bandwidth import BANDWIDTH_FEATURE
from speech_emotion.models.conv1d import Conv1DClassifier
from speech_emotion.models.conv2d import Conv2DClassifier
from speech_emotion.models.estimators import MarginSVC, SexThenEmotion, ShrinkageLDA
from speech_emotion.models.layer_average import LayerAverage

__all__ = ["FAMILIES", "Family", "UnknownFamily", "family_named", "preprocessing"]

InputKind = Literal["statistics", "kernels", "sequences", "embeddings", "encoder_frames"]


class UnknownFamily(ValueError):
    """Raised for a model family that does not exist."""


@dataclass(frozen=True)
class Family:
    """A kind of model: its name, its inputs and its estimator.

    Attributes:
        name: Name in parameters, tables and runs.
        title: Name in reports.
        inputs: ``statistics``, ``kernels`` or ``embeddings`` (tables), or ``sequences`` or
            ``encoder_frames`` (arrays of frames).
        build: Function that makes an untrained estimator from ``seed``; it should train on one thread.
        per_bandwidth: Whether narrowband and wideband audio may get separate models
            (:class:`BandwidthModels`).
        trusted: Types of the fitted estimator that skops does not know, apart from those of this
            package; see :func:`load_estimator`.
    """

    name: str
    title: str
    inputs: InputKind
    build: Callable[..., BaseEstimator]
    per_bandwidth: bool = True
    trusted: tuple[str, ...] = ()

    @property
    def needs_encoder(self) -> bool:
        """Whether the inputs come from a pretrained speech encoder."""
        return self.inputs in {"embeddings", "encoder_frames"}

    def select(
        self,
        features: pd.DataFrame | None = None,
        sequences: np.ndarray | None = None,
        embeddings: pd.DataFrame | None = None,
        encoder_frames: np.ndarray | None = None,
    ) -> pd.DataFrame | np.ndarray:
        """Return the inputs of the family.

        Args:
            features: Named features, one row per utterance.
            sequences: Frame sequences, shape ``(n, n_frames, n_channels)``.
            embeddings: Named statistics of an encoder, one row per utterance.
            encoder_frames: Frames of an encoder, shape ``(n, n_frames, n_channels)``.

        Raises:
            ValueError: If they are missing, or the feature set has none of them.
        """
        given = {
            "sequences": sequences,
            "embeddings": embeddings,
            "encoder_frames": encoder_frames,
        }
        inputs = given.get(self.inputs, features)
        if inputs is None:
            raise ValueError(f"{self.name} needs {self.inputs}, which were not given")
        if features is None or self.inputs in given:
            return inputs
        is_kernel = features.columns.str.startswith(KERNEL_PREFIX)
        chosen = is_kernel if self.inputs == "kernels" else ~is_kernel
        if not chosen.any():
            raise ValueError(
                f"{self.name} needs {self.inputs}, which the feature set does not have: set "
                f"features.feature_set=contours_3490, or remove {self.name} from selection.families"
            )
        return features.loc[:, chosen | (features.columns == BANDWIDTH_FEATURE)]


def preprocessing(*, seed: int = 0) -> ColumnTransformer:
    """Scale every feature and apply PCA to the MFCC features, which are strongly correlated.

    Set ``preprocess__mfcc__pca`` to ``passthrough`` to disable the PCA.

    Args:
        seed: Seed of the randomized solver, which scikit-learn uses for a fixed number of components.
    """
    mfcc = Pipeline(
        [("scale", StandardScaler()), ("pca", PCA(n_components=0.99, random_state=seed))]
    )
    return ColumnTransformer(
        [("mfcc", mfcc, make_column_selector(pattern="^mfcc_"))],
        remainder=StandardScaler(),
        verbose_feature_names_out=False,
    )


def _on_statistics(model: BaseEstimator, *, seed: int) -> Pipeline:
    return Pipeline([("preprocess", preprocessing(seed=seed)), ("model", model)])


def _logistic_regression(*, seed: int) -> Pipeline:
    return _on_statistics(
        LogisticRegression(max_iter=300, tol=1e-3, class_weight="balanced", random_state=seed),
        seed=seed,
    )


def _random_forest(*, seed: int) -> Pipeline:
    return _on_statistics(
        RandomForestClassifier(class_weight="balanced", random_state=seed), seed=seed
    )


def _mlp(*, seed: int) -> Pipeline:
    return _on_statistics(MLPClassifier(random_state=seed), seed=seed)


def _xgboost(*, seed: int) -> Pipeline:
    from xgboost import XGBClassifier

    return _on_statistics(XGBClassifier(tree_method="hist", random_state=seed, n_jobs=1), seed=seed)


def _shrinkage_lda(*, seed: int) -> Pipeline:
    # Within-class covariance captures speaker and augmentation variance; LDA whitens it.
    return _on_statistics(ShrinkageLDA(), seed=seed)


def _rocket_lda(*, seed: int) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("model", ShrinkageLDA(shrinkage=0.4))])


def _svm(*, seed: int) -> Pipeline:
    return _on_statistics(MarginSVC(class_weight="balanced", random_state=seed), seed=seed)


def _two_step(*, seed: int) -> SexThenEmotion:
    return SexThenEmotion(_shrinkage_lda(seed=seed))


def _conv1d(*, seed: int) -> Conv1DClassifier:
    return Conv1DClassifier(random_state=seed)


def _conv2d(*, seed: int) -> Conv2DClassifier:
    # With larger batches, memory allocation takes most of the time.
    return Conv2DClassifier(filters=16, kernel_size=3, batch_size=16, random_state=seed)


def _encoder_lda(*, seed: int) -> LayerAverage:
    return LayerAverage(ShrinkageLDA())


def _encoder_logistic_regression(*, seed: int) -> LayerAverage:
    return LayerAverage(
        LogisticRegression(
            C=0.003, max_iter=200, tol=1e-3, class_weight="balanced", random_state=seed
        )
    )


def _encoder_svm(*, seed: int) -> LayerAverage:
    return LayerAverage(MarginSVC(C=5.0, class_weight="balanced", random_state=seed))


def _encoder_mlp(*, seed: int) -> LayerAverage:
    return LayerAverage(
        MLPClassifier((128,), alpha=3.0, learning_rate_init=5e-4, max_iter=20, random_state=seed)
    )


def _encoder_attention(*, seed: int) -> AttentionClassifier:
    return AttentionClassifier(random_state=seed)


FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        Family("logistic_regression", "Logistic regression", "statistics", _logistic_regression),
        Family(
            "random_forest",
            "Random forest",
            "statistics",
            _random_forest,
            trusted=("sklearn.tree._tree.Tree",),
        ),
        Family(
            "mlp",
            "MLP",
            "statistics",
            _mlp,
            trusted=("sklearn.neural_network._stochastic_optimizers.AdamOptimizer",),
        ),
        Family(
            "xgboost",
            "XGBoost",
            "statistics",
            _xgboost,
            trusted=("xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"),
        ),
        Family("shrinkage_lda", "Shrinkage LDA", "statistics", _shrinkage_lda),
        Family("rocket_lda", "ROCKET LDA", "kernels", _rocket_lda),
        Family("svm", "SVM", "statistics", _svm),
        Family("two_step", "Sex, then emotion", "statistics", _two_step),
        Family("conv1d", "Conv1D", "sequences", _conv1d, per_bandwidth=False),
        Family("conv1d_table", "Conv1D on statistics", "statistics", _conv1d, per_bandwidth=False),
        Family("conv2d", "Conv2D", "sequences", _conv2d, per_bandwidth=False),
        Family("encoder_lda", "Encoder, LDA", "embeddings", _encoder_lda, per_bandwidth=False),
        Family(
            "encoder_logistic_regression",
            "Encoder, logistic regression",
            "embeddings",
            _encoder_logistic_regression,
            per_bandwidth=False,
        ),
        Family("encoder_svm", "Encoder, SVM", "embeddings", _encoder_svm, per_bandwidth=False),
        Family(
            "encoder_mlp",
            "Encoder, MLP",
            "embeddings",
            _encoder_mlp,
            per_bandwidth=False,
            trusted=("sklearn.neural_network._stochastic_optimizers.AdamOptimizer",),
        ),
        Family(
            "encoder_attention",
            "Encoder, attention",
            "encoder_frames",
            _encoder_attention,
            per_bandwidth=False,
        ),
    )
}


def family_named(name: str) -> Family:
    """Return the family called ``name``.

    Raises:
        UnknownFamily: If there is none; the message lists the known names.
    """
    if name not in FAMILIES:
        raise UnknownFamily(
            f"There is no model family {name!r}, expected one of: {', '.join(FAMILIES)}"
        )
    return FAMILIES[name]
