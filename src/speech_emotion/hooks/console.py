"""Keep the console readable: one line a node, no messages of third parties that nobody can act on."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack
from typing import Final

from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from speech_emotion.runtime import redact_handlers

__all__ = ["ConsoleHooks", "quiet_libraries"]

VARIABLES: Final = {
    "KEDRO_DISABLE_TELEMETRY": "true",  # an installed package has no file .telemetry that refuses it
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # half a minute; its own seven take four minutes
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""Settings of libraries that report usage, write past Python's logging or wait long for a lost server, unless
the user has set them."""
QUIET_LOGGERS: Final = ("mlflow", "kedro_mlflow", "alembic")
"""Libraries that set their own level when they are imported, after the project's logging."""
RAISED_TOO: Final = ("mlflow.store.db.utils", "distributed.client", "distributed.utils")
"""Loggers whose errors, with tracebacks, are raised as well."""
IGNORED: Final = (
    # The model's input is a column that MLflow cannot express as a type hint.
    "Add type hints to the `predict` method",
    # No column that is described to MLflow can have missing values.
    "Inferred schema contains integer column",
    # MLflow's own use of pandas.
    "Pandas4Warning",
    # joblib stops idle workers between two nodes.
    "A worker stopped while some jobs were given to the executor",
)

logger = logging.getLogger(__name__)


def quiet_libraries() -> None:
    """Silence what libraries write when they are imported, and progress bars outside of a terminal."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # a file would hold every state of every bar
    logging.captureWarnings(True)
    # A filter of the log, because MLflow puts a filter of its own before all filters of warnings.
    logging.getLogger("py.warnings").addFilter(_is_useful)
    redact_handlers("", "kedro")


def _is_useful(record: logging.LogRecord) -> bool:
    return not any(text in record.getMessage() for text in IGNORED)


def _is_no_error(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR


class ConsoleHooks:
    """Log the start of every node, above a progress bar if there is one."""

    def __init__(self) -> None:
        self._count, self._total = 0, 0
        self._open = ExitStack()

    @hook_impl(tryfirst=True)
    def after_context_created(self) -> None:
        """Lower the level of libraries that have raised it."""
        for name in QUIET_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        for name in RAISED_TOO:
            # A filter, because Dask sets the level when it is imported.
            logging.getLogger(name).addFilter(_is_no_error)
        redact_handlers("", "kedro", "optuna", *QUIET_LOGGERS)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Count the nodes; let log lines pass above progress bars."""
        from tqdm.contrib.logging import logging_redirect_tqdm

        self._count, self._total = 0, len(pipeline.nodes)
        if sys.stderr.isatty():
            self._open.enter_context(logging_redirect_tqdm())

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Log which node starts."""
        self._count += 1
        # A worker of a ParallelRunner sees only its node.
        place = f"[{self._count:{len(str(self._total))}d}/{self._total}] " if self._total else ""
        logger.info("%s%s", place, node.name)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Restore the handlers."""
        self._open.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Restore the handlers."""
        self._open.close()
