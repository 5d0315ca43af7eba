"""Connect a run with the Dask cluster that its parameters name."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog

from speech_emotion.runtime import (
    ClusterSettings,
    DaskEngine,
    connect,
    running_on,
)

__all__ = ["ClusterHooks"]

PARAMETERS: Final = "params:cluster"


class ClusterHooks:
    """Connect a run with the cluster that its parameters name, and leave it at the end."""

    def __init__(self) -> None:
        self._open = ExitStack()

    @hook_impl
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Connect, or start workers here."""
        settings = ClusterSettings.model_validate(catalog.load(PARAMETERS))
        if settings.engine == "dask":
            client = self._open.enter_context(connect(settings))
            self._open.enter_context(running_on(DaskEngine(client)))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Leave."""
        self._open.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Leave."""
        self._open.close()
