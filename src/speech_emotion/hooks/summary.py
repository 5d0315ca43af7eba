"""Log at the end of a run what it made and where to look."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext

__all__ = ["SummaryHooks"]

logger = logging.getLogger(__name__)

ENCODER_HINT: Final = (
    "A pretrained speech encoder raised the UAR of unseen speakers from 62 % to 72 % on three corpora. Add "
    "--params encoder=openai/whisper-base, which downloads 290 MB once; docs/how-to/use-an-encoder.md"
)
"""What a run on real corpora without an encoder says at its end."""


class SummaryHooks:
    """Log the leaderboard, the registered version, the files to open and the address of MLflow.

    A catalog entry is listed if its metadata has a title: ``metadata: {speech_emotion: {open: TITLE}}``.
    """

    def __init__(self) -> None:
        self._context: KedroContext | None = None
        self._start = 0.0

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the context, which has the plugin's configuration."""
        self._context = context

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Log the summary."""
        outputs = list(dict.fromkeys(name for node in pipeline.nodes for name in node.outputs))
        logger.info(
            "Finished %d nodes in %.0f s", len(pipeline.nodes), time.monotonic() - self._start
        )
        if "leaderboard" in outputs:
            logger.info("Leaderboard\n%s", _leaderboard(catalog))
            if "encoder" not in pipeline.datasets() and not _is_synthetic(catalog):
                logger.info(ENCODER_HINT)
        if "call_summary" in outputs:
            flags = catalog["call_summary"].load()["flag"].value_counts()
            flags = flags.rename({"not_flagged": "not flagged"})
            counts = ", ".join(f"{count} {flag}" for flag, count in flags.items())
            rejected = len(catalog["rejected_recordings"].load())
            logger.info("Calls: %s; %d rejected", counts or "none", rejected)
        lines = []
        for name in outputs:
            dataset = catalog.get(name)
            if registered := getattr(dataset, "registered", None):
                uri = f"models:/{registered.name}@{registered.alias}"
                lines.append(("Registered model", f"{uri} (version {registered.version})"))
            title = (getattr(dataset, "metadata", None) or {}).get("speech_emotion", {}).get("open")
            if title:
                path = getattr(dataset, "_filepath", getattr(dataset, "_path", ""))
                lines.append((title, str(path)))
        for title, command in _commands(self._context, run_params):
            lines.append((title, command))
        text = "\n".join(f"  {title}\n    {place}" for title, place in dict.fromkeys(lines))
        logger.info("Where to look\n%s", text)


def _is_synthetic(catalog: DataCatalog) -> bool:
    return bool(catalog["utterances"].load()["synthetic"].any())


def _leaderboard(catalog: DataCatalog) -> str:
    from speech_emotion.reporting.models import format_leaderboard, headline_table

    leaderboard = catalog["leaderboard"].load()
    champion = leaderboard.loc[leaderboard["champion"], "model"].iloc[0]
    return format_leaderboard(headline_table(leaderboard), champion)


def _commands(context: KedroContext | None, run_params: dict[str, Any]) -> list[tuple[str, str]]:
    """Return how to open the pages of MLflow and of kedro-viz."""
    env = f" --env {run_params['env']}" if run_params.get("env") else ""
    in_project = Path(run_params["project_path"], "pyproject.toml").is_file()
    lines = [("Map of the pipelines", f"kedro viz run{env}")] if in_project else []
    configuration = getattr(context, "mlflow", None)
    if configuration is None:
        return lines
    import mlflow

    experiment = mlflow.get_experiment_by_name(configuration.tracking.experiment.name)
    if experiment is None:
        return lines
    server = mlflow.get_tracking_uri()
    if not server.startswith("http"):
        # The plugin's command knows neither runtime parameters nor installed packages.
        moved = "data_dir" in (run_params.get("runtime_params") or {})
        command = f"kedro mlflow ui{env}"
        if moved or not in_project:
            command = f"mlflow ui --backend-store-uri {server}"
        lines.append(("Start the MLflow UI", command))
        server = f"http://{configuration.ui.host}:{configuration.ui.port}"
    page = f"{server}/#/experiments/{experiment.experiment_id}/runs"
    return [*lines, ("Compare the runs", f"{page}?workflowType=machine_learning")]
