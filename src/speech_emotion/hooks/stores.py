"""Check stores before any work, and say how results that cannot be loaded are made anew."""

from __future__ import annotations

from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Pipeline

from speech_emotion.runtime import DamagedTable, check_service, check_store

__all__ = ["StoreHooks"]


class StoreHooks:
    """Add to the error of a dataset that cannot be loaded: its file, and the command that writes it."""

    def __init__(self) -> None:
        self._loading: str | None = None

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Check that the stores that the run needs answer: of files, and of the studies."""
        stores: dict[Any, str] = {}
        for name in sorted(pipeline.datasets()):
            if (files := getattr(catalog.get(name), "_fs", None)) is not None:
                stores.setdefault(files, name)
        for files, name in stores.items():
            check_store(files, name)
        if not any(node.name.endswith(".tune") for node in pipeline.nodes):
            return
        selection = catalog.load("params:selection")
        storage = selection["storage"] if isinstance(selection, dict) else selection.storage
        remedy = "start the server, or correct selection.storage"
        check_service(storage, name="The database of the studies", remedy=remedy)

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str) -> None:
        """Note what is loaded."""
        self._loading = dataset_name

    @hook_impl
    def after_dataset_loaded(self) -> None:
        """Note that it was loaded."""
        self._loading = None

    @hook_impl
    def on_pipeline_error(
        self, error: Exception, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Add a note to the error."""
        name, self._loading = self._loading, None
        if isinstance(error, DamagedTable):  # of a table that a node reads block by block
            stored = {_path(catalog[one]): one for one in pipeline.inputs()}
            name = stored.get(error.path)
        elif not isinstance(error, DatasetError) or error.__cause__ is None:
            return
        if name is None:
            return
        dataset = catalog[name]
        path = _path(dataset) or name
        maker = _maker(name)
        if maker is None:
            return
        env = f" --env {run_params['env']}" if run_params.get("env") else ""
        command = f"kedro run{env} --pipelines {maker}"
        if dataset.exists():
            error.add_note(
                f"{path} is damaged, or was written by another version: delete it, and make it anew with "
                f"`{command}`"
            )
        else:
            error.add_note(f"{path} is missing: make it with `{command}`")


def _path(dataset: Any) -> str:
    """Return where a dataset is stored; empty if it is nowhere."""
    return str(getattr(dataset, "_filepath", getattr(dataset, "_path", "")) or "")


def _maker(name: str) -> str | None:
    """Return the pipeline that writes a dataset."""
    from kedro.framework.project import pipelines

    for pipeline in pipelines:
        if pipeline != "__default__" and name in pipelines[pipeline].all_outputs():
            return str(pipeline)
    return None
