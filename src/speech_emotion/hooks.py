"""Hooks: what kedro-mlflow does not track by itself, and what a run says at its end."""

from __future__ import annotations

import json
import logging
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

__all__ = ["SummaryHooks", "TrackingHooks"]

logger = logging.getLogger(__name__)


class TrackingHooks:
    """Track candidates as child runs of the run that kedro-mlflow opens, trials as theirs.

    The client writes to runs by their id, because the active run differs from thread to thread.
    """

    def __init__(self) -> None:
        self._run_id: str | None = None
        self._children: dict[str, str] = {}

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Note the parent run, its commit and its parameters (typed ones as single values)."""
        import mlflow

        active = mlflow.active_run()
        self._run_id = active.info.run_id if active else None
        self._children = {}
        if self._run_id is None:
            return
        client = mlflow.MlflowClient()
        if commit := _commit(Path(run_params["project_path"])):
            client.set_tag(self._run_id, "git_commit", commit)
        for name in sorted(pipeline.inputs()):
            if name.startswith("params:"):
                values = _flat(catalog.load(name), name.removeprefix("params:"))
                for key, value in values.items():
                    client.log_param(self._run_id, key, str(value)[:500])

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Describe the utterances of the run."""
        self._describe_utterances(dataset_name, data)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any, node: Node) -> None:
        """Describe the utterances of a run that does not ingest."""
        self._describe_utterances(dataset_name, data)

    def _describe_utterances(self, dataset_name: str, data: Any) -> None:
        if dataset_name != "utterances" or self._run_id is None or "utterances" in self._children:
            return
        import mlflow
        from mlflow.entities import DatasetInput, InputTag

        self._children["utterances"] = self._run_id
        client = mlflow.MlflowClient()
        synthetic = bool(data["synthetic"].any())
        client.set_tag(self._run_id, "synthetic", str(synthetic))
        client.set_tag(self._run_id, "corpora", ", ".join(sorted(data["corpus"].unique())))
        described = mlflow.data.from_pandas(data, name="utterances", targets="label")
        client.log_inputs(
            self._run_id,
            [
                DatasetInput(
                    described._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")]
                )
            ],
        )

    @hook_impl
    def after_node_run(self, node: Node, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Write trials, curves and figures of a candidate to its child run."""
        if self._run_id is None or "candidate" not in node.tags:
            return
        results = {name.rsplit(".", 1)[-1]: value for name, value in outputs.items()}
        family = str(node.namespace)
        if "trials" in results and len(results["trials"]):
            self._log_trials(family, results["trials"], results["parameters"])
        if "learning_curves" in results:
            self._log_curves(family, results["learning_curves"])
        if "figures" in results:
            self._log_figures(family, results["figures"])

    def _child(self, family: str) -> str:
        if family not in self._children:
            self._children[family] = self._start(family, str(self._run_id))
        return self._children[family]

    def _start(self, name: str, parent: str) -> str:
        import mlflow

        client = mlflow.MlflowClient()
        run = client.create_run(
            client.get_run(parent).info.experiment_id,
            run_name=name,
            tags={"mlflow.parentRunId": parent, "model": name},
        )
        return run.info.run_id

    def _log_trials(
        self, family: str, trials: pd.DataFrame, parameters: dict[str, Any]
    ) -> None:
        import mlflow
        from mlflow.entities import Metric, Param, RunTag

        client = mlflow.MlflowClient()
        child = self._child(family)
        for key, value in parameters.items():
            client.log_param(child, key, value)
        client.log_table(child, trials, "trials.json")
        now = int(time.time() * 1000)
        for trial in trials.itertuples():
            run = self._start(f"{family} trial {trial.trial}", child)
            folds = json.loads(trial.fold_uar)
            metrics = [Metric("fold_uar", uar, now, fold) for fold, uar in enumerate(folds)]
            if folds:
                metrics.append(Metric("mean_fold_uar", trial.uar, now, 0))
                client.log_metric(child, "trial_uar", trial.uar, now, step=trial.trial)
            params = [Param(key, str(value)) for key, value in json.loads(trial.params).items()]
            client.log_batch(run, metrics, params, [RunTag("state", trial.state)])
            ended = "FAILED" if trial.state == "failed" else "FINISHED"
            client.set_terminated(run, ended)

    def _log_curves(self, family: str, curves: pd.DataFrame) -> None:
        import mlflow
        from mlflow.entities import Metric

        values = ["loss", "accuracy", "val_loss", "val_accuracy"]
        means = curves.groupby(["protocol", "epoch"])[values].mean()
        now = int(time.time() * 1000)
        metrics = [
            Metric(f"{protocol}.{name}", float(row[name]), now, int(epoch))
            for (protocol, epoch), row in means.iterrows()
            for name in values
            if pd.notna(row[name])
        ]
        client = mlflow.MlflowClient()
        for start in range(0, len(metrics), 500):
            client.log_batch(self._child(family), metrics[start : start + 500])

    def _log_figures(self, family: str, figures: pd.DataFrame) -> None:
        if figures.empty:
            return
        import mlflow
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        names = ["accuracy", "uar", "uar_low", "uar_high", "macro_f1", "fit_seconds", "predict_ms"]
        metrics = [
            Metric(f"{row['protocol']}.{row['evaluation']}.{name}", float(row[name]), now, 0)
            for _, row in figures.iterrows()
            for name in names
        ]
        client = mlflow.MlflowClient()
        client.log_batch(self._child(family), metrics)
        client.set_terminated(self._child(family))

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Close child runs that were left open."""
        self._close("FAILED")

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Close child runs that were left open by a partial run."""
        self._close("FINISHED")

    def _close(self, status: str) -> None:
        import mlflow

        for child in set(self._children.values()) - {self._run_id}:
            client = mlflow.MlflowClient()
            if client.get_run(child).info.status == "RUNNING":
                client.set_terminated(child, status)


class SummaryHooks:
    """Say at the end what a run made and where to look."""

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Log the leaderboard's first lines and the places of what people look at."""
        made = pipeline.outputs() | pipeline.all_outputs()
        if "leaderboard" in made:
            leaderboard = catalog.load("leaderboard")
            shown = leaderboard[leaderboard["evaluation"] == "held-out"].head(20)
            columns = ["model", "protocol", "n_utterances", "n_speakers"]
            figures = ["accuracy", "uar", "uar_low", "uar_high"]
            table = shown[columns + figures].round(3).to_string(index=False)
            logger.info("Held-out utterances:\n%s", table)
        for name in ("rejected_audio", "leaderboard", "report", "model_card"):
            if name in made:
                place = getattr(catalog.get(name), "_filepath", None)
                logger.info("%s: %s", name.replace("_", " ").capitalize(), place)
        env = f" --env {run_params['env']}" if run_params.get("env") else ""
        logger.info("Compare runs: kedro mlflow ui%s · See the map: kedro viz run%s", env, env)


def _flat(value: Any, prefix: str) -> dict[str, Any]:
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: leaf
        for name, inner in value.items()
        for key, leaf in _flat(inner, f"{prefix}.{name}").items()
    }


def _commit(project: Path) -> str | None:
    """Commit of the project, marked if files differ from it; ``None`` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
