"""Date, commit, MLflow run and model version of the present run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kedro.io import AbstractDataset, DatasetError

__all__ = ["RunInfoDataset"]


class RunInfoDataset(AbstractDataset[None, dict[str, str]]):
    """Describe the present run for reports; the dataset is read-only.

    ``load`` returns ``date`` (UTC), and, if a MLflow run is active, ``run_id``, ``commit`` (the tag
    ``git_commit`` of the run) and ``model``: the version that this run registered, if it did.
    """

    def __init__(self, *, name: str, metadata: dict[str, Any] | None = None):
        """Look for versions of the registered model ``name``.

        Args:
            name: Name in the MLflow model registry.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._name = name
        self.metadata = metadata

    def load(self) -> dict[str, str]:
        """Return the metadata of the present run."""
        import mlflow

        info = {"date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
        active = mlflow.active_run()
        if active is None:
            return info
        client = mlflow.MlflowClient()
        run = client.get_run(active.info.run_id)  # with the tags set since the run started
        info["run_id"] = run.info.run_id
        info["commit"] = run.data.tags.get("git_commit", "")
        from speech_emotion.datasets.registry import versions_of_run

        for version in versions_of_run(self._name, run.info.run_id):
            aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
            info["model"] = f"{self._name} version {version.version}{aliases}"
        return info

    def save(self, data: None) -> None:
        """Refuse to save."""
        raise DatasetError("The run information is read-only")

    def _describe(self) -> dict[str, Any]:
        return {"name": self._name}
