"""What is copied to MLflow when it is saved."""

from __future__ import annotations

from typing import Any

from kedro.io import AbstractDataset
from kedro_mlflow.io.artifacts import MlflowArtifactDataset

from speech_emotion.runtime import is_url

__all__ = ["ArtifactDataset"]


class ArtifactDataset(AbstractDataset[Any, Any]):
    """Another dataset, whose file is copied to the run in MLflow.

    kedro-mlflow copies files from disk. What lies in an object store is shared already, and stays there.
    """

    def __new__(  # type: ignore[misc]
        cls,
        *,
        dataset: dict[str, Any],
        artifact_path: str,
        metadata: dict[str, Any] | None = None,
    ) -> AbstractDataset[Any, Any]:
        """Make the dataset.

        Args:
            dataset: Its configuration.
            artifact_path: Folder of the run in MLflow.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        if is_url(dataset["filepath"]):
            return AbstractDataset.from_config("artifact", dataset | {"metadata": metadata})
        return MlflowArtifactDataset(
            dataset=dataset, artifact_path=artifact_path, metadata=metadata
        )
