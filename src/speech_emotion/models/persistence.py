"""Save fitted estimators without pickle: skops for scikit-learn, ``.keras`` for networks.

Loading either format runs no code of the file's author. skops lists the types of a file; it builds the
estimators of this package and the types that :data:`FAMILIES` declare as trusted, nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.base import BaseEstimator

from speech_emotion.models.attention import AttentionClassifier
from speech_emotion.models.conv1d import Conv1DClassifier
from speech_emotion.models.families import FAMILIES
from speech_emotion.models.integrity import check_files, check_trees, write_checksums

__all__ = ["UntrustedModel", "load_estimator", "save_estimator"]

TRUSTED: Final = frozenset(
    {
        "sklearn.compose._column_transformer.make_column_selector",
        *(name for family in FAMILIES.values() for name in family.trusted),
    }
)
SKOPS = "estimator.skops"
NETWORK = "network.keras"
ARGUMENTS = "estimator.json"


class UntrustedModel(ValueError):
    """Raised for a model file with types that no model of this project has."""


def save_estimator(estimator: BaseEstimator, folder: Path) -> None:
    """Save a fitted estimator in ``folder``, which is created if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(estimator, (Conv1DClassifier, AttentionClassifier)):
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
        import skops.io

        skops.io.dump(estimator, folder / SKOPS)
    write_checksums(folder)


def load_estimator(folder: Path) -> BaseEstimator:
    """Load an estimator that :func:`save_estimator` saved.

    Raises:
        UntrustedModel: If the file contains other types than the models of this project.
        FileNotFoundError: If ``folder`` contains no estimator.
        DamagedModel: If the files are not those that were saved.
    """
    check_files(folder)
    if (folder / NETWORK).exists():
        import keras

        card = json.loads((folder / ARGUMENTS).read_text())
        kinds = {kind.__name__: kind for kind in _estimators().values()}
        estimator = kinds[card["kind"]](**card["arguments"])
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
    import skops.io

    types = set(skops.io.get_untrusted_types(file=path))
    unknown = types - TRUSTED - set(_estimators())
    if unknown:
        raise UntrustedModel(
            f"{path} contains types that no model of this project has: {', '.join(sorted(unknown))}; "
            "load it with skops only if you trust its author"
        )
    estimator = skops.io.load(path, trusted=sorted(types))
    check_trees(estimator, path)
    return estimator


def _estimators() -> dict[str, type[BaseEstimator]]:
    """Return the estimators of this package by their full names."""
    kinds: list[type[BaseEstimator]] = [BaseEstimator]
    for kind in kinds:
        kinds += [found for found in kind.__subclasses__() if found not in kinds]
    package = __name__.rpartition(".")[0] + "."
    return {
        f"{kind.__module__}.{kind.__qualname__}": kind
        for kind in kinds
        if kind.__module__.startswith(package)
    }
