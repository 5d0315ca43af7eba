"""Connect a run with the Dask cluster that its parameters name."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog

from speech_emotion.runtime import ClusterSettings, DaskEngine, connect, running_on

__all__ = ["ClusterHooks"]

PARAMETERS: Final = "params:cluster"


class ClusterHooks:
    """Connect to the cluster when a pipeline starts, and disconnect when it ends."""

    def __init__(self) -> None:
        self._open = ExitStack()

    @hook_impl
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Connect to a running cluster, or start workers on this machine."""
        settings = ClusterSettings.model_validate(catalog.load(PARAMETERS))
        if settings.engine == "dask":
            client = self._open.enter_context(connect(settings))
            self._open.enter_context(running_on(DaskEngine(client)))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Disconnect."""
        self._open.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Disconnect."""
        self._open.close()
