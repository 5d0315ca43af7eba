"""A predictor from the model registry, a run, or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

import mlflow
from kedro.io import AbstractDataset, DatasetError
from mlflow.exceptions import MlflowException

if TYPE_CHECKING:
    from speech_emotion.models import EmotionPredictor

__all__ = ["ModelDataset"]


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
        return EmotionPredictor.load(cards[0].parent)

    def save(self, data: Never) -> Never:
        """Raise an error: the registration pipeline registers models."""
        raise DatasetError("Register models with `kedro run --pipelines registration`")

    def _describe(self) -> dict[str, Any]:
        return {"uri": self._uri}
