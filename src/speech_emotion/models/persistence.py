"""Save fitted estimators without pickle: skops for scikit-learn, ``.keras`` for networks.

Loading either format runs no code of the file's author. skops lists the types of a file, and only those
in :data:`TRUSTED` are accepted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np
import skops.io
from sklearn.base import BaseEstimator

from speech_emotion.models.conv1d import Conv1DClassifier
from speech_emotion.models.conv2d import Conv2DClassifier

__all__ = ["UntrustedModel", "load_estimator", "save_estimator"]

TRUSTED: Final = (
    "speech_emotion.models.bandwidth.BandwidthModels",
    "speech_emotion.models.estimators.MarginSVC",
    "speech_emotion.models.estimators.SexThenEmotion",
    "speech_emotion.models.estimators.ShrinkageLDA",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
)
NETWORKS: Final = {kind.__name__: kind for kind in (Conv1DClassifier, Conv2DClassifier)}
SKOPS = "estimator.skops"
NETWORK = "network.keras"
ARGUMENTS = "estimator.json"


class UntrustedModel(ValueError):
    """Raised for a model file with types that no model of this project has."""


def save_estimator(estimator: BaseEstimator, folder: Path) -> None:
    """Save a fitted estimator in ``folder``, which is created if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(estimator, Conv1DClassifier):
        estimator.network_.save(folder / NETWORK)
        names = getattr(estimator, "feature_names_in_", None)
        card = {
            "kind": type(estimator).__name__,
            "feature_names": None if names is None else names.tolist(),
            "arguments": estimator.get_params(),
            "classes": estimator.classes_.tolist(),
            "n_features_in": estimator.n_features_in_,
            "history": estimator.history_,
        }
        (folder / ARGUMENTS).write_text(json.dumps(card, indent=1))
    else:
        skops.io.dump(estimator, folder / SKOPS)


def load_estimator(folder: Path) -> BaseEstimator:
    """Load an estimator that :func:`save_estimator` saved.

    Raises:
        UntrustedModel: If the file contains other types than the models of this project.
        FileNotFoundError: If ``folder`` contains no estimator.
    """
    if (folder / NETWORK).exists():
        import keras

        card = json.loads((folder / ARGUMENTS).read_text())
        estimator = NETWORKS[card["kind"]](**card["arguments"])
        estimator.network_ = keras.saving.load_model(folder / NETWORK, safe_mode=True)
        estimator.classes_ = np.asarray(card["classes"])
        estimator.n_features_in_ = card["n_features_in"]
        estimator.history_ = card["history"]
        if card["feature_names"] is not None:
            estimator.feature_names_in_ = np.asarray(card["feature_names"], dtype=object)
        return estimator
    path = folder / SKOPS
    if not path.exists():
        raise FileNotFoundError(f"{folder} contains no estimator ({SKOPS} or {NETWORK})")
    unknown = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED)
    if unknown:
        raise UntrustedModel(
            f"{path} contains types that no model of this project has: {', '.join(sorted(unknown))}; "
            "load it with skops only if you trust its author"
        )
    return skops.io.load(path, trusted=list(TRUSTED))
