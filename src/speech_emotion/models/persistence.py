"""Store fitted estimators without pickle: skops for scikit-learn, ``.keras`` for networks.

Both formats are read without running code of the file's author; skops additionally names every
type it builds, and only the types below are accepted.
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
    """A model file holds types that no model of this project has."""


def save_estimator(estimator: BaseEstimator, folder: Path) -> None:
    """Write a fitted estimator into ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(estimator, Conv1DClassifier):
        estimator.network_.save(folder / NETWORK)
        names = getattr(estimator, "feature_names_in_", None)
        facts = {
            "kind": type(estimator).__name__,
            "feature_names": None if names is None else names.tolist(),
            "arguments": estimator.get_params(),
            "classes": estimator.classes_.tolist(),
            "n_features_in": estimator.n_features_in_,
            "history": estimator.history_,
        }
        (folder / ARGUMENTS).write_text(json.dumps(facts, indent=1))
    else:
        skops.io.dump(estimator, folder / SKOPS)


def load_estimator(folder: Path) -> BaseEstimator:
    """Read an estimator that :func:`save_estimator` wrote.

    Raises:
        UntrustedModel: If the file would build types beyond those of this project's models.
        FileNotFoundError: If there is no estimator in ``folder``.
    """
    if (folder / NETWORK).exists():
        import keras

        facts = json.loads((folder / ARGUMENTS).read_text())
        estimator = NETWORKS[facts["kind"]](**facts["arguments"])
        estimator.network_ = keras.saving.load_model(folder / NETWORK, safe_mode=True)
        estimator.classes_ = np.asarray(facts["classes"])
        estimator.n_features_in_ = facts["n_features_in"]
        estimator.history_ = facts["history"]
        if facts["feature_names"] is not None:
            estimator.feature_names_in_ = np.asarray(facts["feature_names"], dtype=object)
        return estimator
    path = folder / SKOPS
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no estimator ({SKOPS} or {NETWORK})")
    unknown = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED)
    if unknown:
        raise UntrustedModel(
            f"{path} holds types that no model of this project has: {', '.join(sorted(unknown))}; "
            "do not load it unless you wrote it"
        )
    return skops.io.load(path, trusted=list(TRUSTED))
