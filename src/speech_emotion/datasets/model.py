"""A predictor from the model registry, a run, or a folder."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Never

import mlflow
import yaml
from kedro.io import AbstractDataset, DatasetError
from mlflow.exceptions import MlflowException

if TYPE_CHECKING:
    from speech_emotion.models import EmotionPredictor

__all__ = ["ModelDataset", "ModelVersionDataset"]

REGISTERED: Final = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<version>\d+)|@(?P<alias>[^/@]+))")

REGISTRY_FILE: Final = "registered_model_meta"
"""File that MLflow adds to a model from its registry."""


class ModelDataset(AbstractDataset[Never, "EmotionPredictor"]):
    """Load the predictor of a registered model, or of a folder.

    The predictor is read by the installed version of this package, not by the one stored with the model.
    """

    def __init__(self, *, uri: str, metadata: dict[str, Any] | None = None):
        """Use the model at ``uri``.

        Args:
            uri: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, ``runs:/…``, or the folder of a
                predictor.
            metadata: Ignored by Kedro, read by its plugins.
        """
        self._uri = uri
        self.metadata = metadata

    def load(self) -> EmotionPredictor:
        """Read the predictor."""
        from speech_emotion.models import CARD, EmotionPredictor

        folder = Path(self._uri)
        if not folder.is_dir():
            try:
                folder = Path(mlflow.artifacts.download_artifacts(self._uri))
            except (MlflowException, OSError) as error:
                raise DatasetError(
                    f"There is no model at {self._uri} ({error}): train one with `kedro run` in this "
                    "environment, or add --params model_uri=URI or the folder of a predictor"
                ) from error
        cards = sorted(folder.rglob(CARD), key=lambda path: len(path.parts))
        if not cards:
            raise DatasetError(f"{self._uri} holds no predictor: {CARD} is missing in {folder}")
        return replace(EmotionPredictor.load(cards[0].parent), version=_version(folder))

    def save(self, data: Never) -> Never:
        """Raise an error: the registration pipeline registers models."""
        raise DatasetError("Register models with `kedro run --pipelines registration`")

    def _describe(self) -> dict[str, Any]:
        return {"uri": self._uri}


class ModelVersionDataset(AbstractDataset[Never, dict[str, str]]):
    """Name, version and tags of a model, for reports and for links between runs and model versions.

    ``load`` returns ``uri``, ``title`` and, for a registered model, ``name``, ``version``, ``model_id``,
    ``run_id`` and the version's tags as ``tag.NAME``.
    """

    def __init__(self, *, uri: str, metadata: dict[str, Any] | None = None):
        """Describe the model at ``uri``.

        Args:
            uri: As in :class:`ModelDataset`.
            metadata: Ignored by Kedro, read by its plugins.
        """
        self._uri = uri
        self.metadata = metadata

    def load(self) -> dict[str, str]:
        """Describe the model; of a folder or a run only the URI is known."""
        found = {"uri": self._uri, "title": self._uri}
        registered = REGISTERED.fullmatch(self._uri)
        if registered is None or Path(self._uri).is_dir():
            return found
        name, version, alias = registered.group("name", "version", "alias")
        client = mlflow.MlflowClient()
        try:
            entry = (
                client.get_model_version_by_alias(name, alias)
                if alias
                else client.get_model_version(name, version)
            )
        except MlflowException as error:
            raise DatasetError(
                f"There is no model at {self._uri} ({error}): train one with `kedro run` in this "
                "environment, or add --params model_uri=URI or the folder of a predictor"
            ) from error
        found |= {
            "title": f"{name} version {entry.version}{f' ({alias})' if alias else ''}",
            "name": name,
            "version": str(entry.version),
            # The version's own field is not filled by a registry in a database.
            "model_id": str(entry.source).removeprefix("models:/"),
            "run_id": entry.run_id or "",
        }
        return found | {f"tag.{key}": value for key, value in entry.tags.items()}

    def save(self, data: Never) -> Never:
        """Raise an error: the registration pipeline registers models."""
        raise DatasetError("Register models with `kedro run --pipelines registration`")

    def _describe(self) -> dict[str, Any]:
        return {"uri": self._uri}


def _version(folder: Path) -> str:
    """Return name and version of a model that was downloaded from the registry."""
    path = folder / REGISTRY_FILE
    if not path.is_file():
        return ""
    registered = yaml.safe_load(path.read_text(encoding="utf-8"))
    if registered["model_name"]:  # a model that was loaded by its id has none
        return f"{registered['model_name']} version {registered['model_version']}"
    return ""
