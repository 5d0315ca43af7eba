"""Check the files of a model: checksums, and values that no model of this project has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.base import BaseEstimator

__all__ = ["DamagedModel", "check_files", "check_trees", "digest_files", "write_checksums"]

CHECKSUMS: Final = "checksums.json"
"""File with the SHA-256 of every other file of the folder."""
REMEDY: Final = "copy the folder again from where it is whole, or train the model again"


class DamagedModel(ValueError):
    """The files of a model are not those that were saved, or contain impossible values."""

    def __init__(self, place: object, problem: str):
        super().__init__(f"{place} {problem}: {REMEDY}")


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files of a folder that is complete."""
    (folder / CHECKSUMS).write_text(json.dumps(dict(digest_files(folder)), indent=0))


def check_files(folder: Path) -> None:
    """Check that a folder has the files that were saved, unchanged; one of an older version has no list.

    Raises:
        DamagedModel: If a file is missing, changed or was added.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        return
    try:
        expected = json.loads(path.read_text())
    except ValueError as error:
        raise DamagedModel(path, f"cannot be read ({error})") from error
    found = dict(digest_files(folder))
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise DamagedModel(folder / name, "is missing")
        if name not in expected:
            raise DamagedModel(folder / name, "does not belong to the model")
        if found[name] != expected[name]:
            raise DamagedModel(
                folder / name, "is not the file that was saved (its SHA-256 differs)"
            )


def digest_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield path below the folder and SHA-256 of each file but the list of checksums itself."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = path.name.startswith(".")  # of file managers
        if path.is_file() and name != CHECKSUMS and not hidden:
            with path.open("rb") as file:
                yield name, hashlib.file_digest(file, "sha256").hexdigest()


def check_trees(estimator: BaseEstimator, path: Path) -> None:
    """Check the decision trees of a loaded estimator: scikit-learn follows their indices unchecked.

    Raises:
        DamagedModel: If a node has a child or a feature that does not exist, or leads back.
    """
    for tree in _trees(estimator, set()):
        nodes = np.arange(tree.node_count)
        for children in (tree.children_left, tree.children_right):
            # scikit-learn adds children after their parent, so that no path leads back.
            if not np.all((children == -1) | ((children > nodes) & (children < len(nodes)))):
                raise DamagedModel(path, "contains a decision tree with nodes that do not exist")
        inner = tree.children_left != -1
        if not np.array_equal(inner, tree.children_right != -1):
            raise DamagedModel(path, "contains a decision tree with nodes that have one child")
        features = tree.feature[inner]
        if not np.all((features >= 0) & (features < tree.n_features)):
            raise DamagedModel(path, "contains a decision tree with features that do not exist")
        if len(tree.value) != len(nodes) or not np.isfinite(tree.value).all():
            raise DamagedModel(path, "contains a decision tree with values that are not finite")


def _trees(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the trees below an estimator: of forests, pipelines and what wraps them."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if type(value).__module__ == "sklearn.tree._tree" and hasattr(value, "children_left"):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _trees(inner, seen)
    elif isinstance(value, list | tuple) or (
        isinstance(value, np.ndarray) and value.dtype == object
    ):
        for inner in value:
            yield from _trees(inner, seen)
    elif isinstance(value, BaseEstimator) or type(value).__module__.startswith("sklearn."):
        yield from _trees(getattr(value, "__dict__", {}), seen)
