"""A dataset whose file is copied to the MLflow run when it is saved."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from speech_emotion.datasets.stored import save_atomically
from speech_emotion.runtime import is_url

__all__ = ["ArtifactDataset"]


class ArtifactDataset(AbstractDataset[Any, Any]):
    """Save another dataset, and copy its file to the active run of MLflow.

    Plotly figures are copied as HTML, too, because MLflow shows their JSON as text. What is saved in an
    object store is shared already and is not copied.

    Example:
        >>> ArtifactDataset(
        ...     dataset={"type": "plotly.JSONDataset", "filepath": "data/confusion.json"},
        ...     artifact_path="figures",
        ... )  # doctest: +ELLIPSIS
        speech_emotion.datasets.artifact.ArtifactDataset(...)
    """

    def __init__(
        self,
        *,
        dataset: dict[str, Any],
        artifact_path: str,
        metadata: dict[str, Any] | None = None,
    ):
        """Wrap a dataset.

        Args:
            dataset: Its configuration, with a ``filepath``.
            artifact_path: Folder of the run in MLflow.
            metadata: Ignored by Kedro, read by its plugins.
        """
        self._filepath = dataset["filepath"]
        self._artifact_path = artifact_path
        self._dataset = AbstractDataset.from_config("artifact", dataset)
        self.metadata = metadata
        if hasattr(self._dataset, "preview"):  # kedro-viz asks whether there is one
            self.preview = self._dataset.preview

    def load(self) -> Any:
        """Load the dataset."""
        return self._dataset.load()

    def save(self, data: Any) -> None:
        """Save the dataset and copy its file."""
        save_atomically(self._dataset, data)
        import mlflow

        if is_url(self._filepath) or mlflow.active_run() is None:
            return
        mlflow.log_artifact(self._filepath, self._artifact_path)
        if hasattr(data, "to_html") and hasattr(data, "to_plotly_json"):
            with tempfile.TemporaryDirectory() as folder:
                page = Path(folder) / f"{Path(self._filepath).stem}.html"
                # With its scripts, so that it opens without a network.
                page.write_text(data.to_html(include_plotlyjs=True), encoding="utf-8")
                mlflow.log_artifact(str(page), self._artifact_path)

    def _exists(self) -> bool:
        return self._dataset.exists()

    def _release(self) -> None:
        self._dataset.release()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "artifact_path": self._artifact_path}
