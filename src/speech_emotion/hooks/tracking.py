"""Hooks: what kedro-mlflow does not track by itself, and what a run says at its end.

Every command imports this module: what it needs of the project is imported where it is used.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TrackingHooks"]

CANDIDATE_FIGURES = "_figures"
METRICS = ["accuracy", "uar", "uar_low", "uar_high", "macro_f1", "fit_seconds", "predict_ms"]
CURVES = ["loss", "accuracy", "val_loss", "val_accuracy"]

logger = logging.getLogger(__name__)


class TrackingHooks:
    """Track candidates as child runs of the run that kedro-mlflow opens, trials as theirs.

    Everything is written by run id, because the active run differs from thread to thread. Under a
    parallel runner it is written when the pipeline ends: its workers would write at the same time.
    """

    def __init__(self) -> None:
        self._run_id: str | None = None
        self._catalog: DataCatalog | None = None
        self._tracked: set[str] = set()
        self._opened_here = True
        self._process = os.getpid()

    @hook_impl
    def after_context_created(self) -> None:
        """Note whether somebody else opened a run before this session: it is theirs to close."""
        import mlflow

        self._opened_here = mlflow.active_run() is None

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Note the parent run, its commit and its parameters (typed ones as single values)."""
        import mlflow

        active = mlflow.active_run()
        self._run_id = active.info.run_id if active else None
        self._catalog = catalog
        self._process = os.getpid()
        self._tracked = set()
        if self._run_id is None:
            return
        client = mlflow.MlflowClient()
        if commit := _commit(Path(run_params["project_path"])):
            client.set_tag(self._run_id, "git_commit", commit)
        names = sorted(name for name in pipeline.inputs() if name.startswith("params:"))
        values = [_flat(catalog.load(name), name.removeprefix("params:")) for name in names]
        _log_parameters(self._run_id, {key: leaf for flat in values for key, leaf in flat.items()})

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Describe new utterances, each candidate once it is scored, and the leaderboard."""
        if _is_tracked(dataset_name):
            self._track(dataset_name)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str) -> None:
        """Describe the utterances of a run that does not ingest."""
        if dataset_name == "utterances":
            self._track(dataset_name)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Track what a parallel runner left, and close the run."""
        if "ParallelRunner" in str(run_params.get("runner")):
            for name in sorted(pipeline.all_outputs()):
                if _is_tracked(name):
                    self._track(name)
        # kedro-mlflow opens the run once more at every first node of a thread and closes it once:
        # left open, it would swallow the next run of the same process.
        import mlflow

        while self._opened_here and mlflow.active_run():
            mlflow.end_run()

    def _track(self, dataset_name: str) -> None:
        if self._run_id is None or self._catalog is None or dataset_name in self._tracked:
            return
        if os.getpid() != self._process:
            return  # a worker
        self._tracked.add(dataset_name)
        table = self._catalog[dataset_name].load()  # past the hooks: this is no step of the run
        if dataset_name == "utterances":
            _describe_utterances(self._run_id, table)
        elif dataset_name == "leaderboard":
            _log_leaderboard(self._run_id, table)
        elif dataset_name == "calls":
            _describe_calls(self._run_id, table)
        elif dataset_name == "call_kpis_table":
            _log_kpis(self._run_id, table)
        elif len(table):
            family = dataset_name.removesuffix(CANDIDATE_FIGURES)
            _log_candidate(self._run_id, family, self._catalog)


def _is_tracked(dataset_name: str) -> bool:
    named = {"utterances", "leaderboard", "calls", "call_kpis_table"}
    return dataset_name in named or dataset_name.endswith(CANDIDATE_FIGURES)


def _describe_utterances(run_id: str, utterances: pd.DataFrame) -> None:
    import mlflow
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.entities import DatasetInput, InputTag

    client = mlflow.MlflowClient()
    client.set_tag(run_id, "synthetic", str(bool(utterances["synthetic"].any())))
    client.set_tag(run_id, "corpora", ", ".join(sorted(utterances["corpus"].unique())))
    with warnings.catch_warnings():
        # Whole numbers cannot be missing here, which is what MLflow warns of.
        warnings.filterwarnings("ignore", message=".*integer column")
        described = from_pandas(utterances, name="utterances", targets="label")
    context = InputTag("mlflow.data.context", "training")
    client.log_inputs(run_id, [DatasetInput(described._to_mlflow_entity(), [context])])


def _describe_calls(run_id: str, calls: pd.DataFrame) -> None:
    """Say whether calls are generated, and of how many the emotion was heard."""
    import mlflow

    from speech_emotion.contact_center import count_emotions

    client = mlflow.MlflowClient()
    client.set_tag(run_id, "synthetic", str(bool(calls["synthetic"].any())))
    for source, count in count_emotions(calls).items():
        client.set_tag(run_id, f"emotions_{source}", str(count))


def _log_kpis(run_id: str, breakdown: pd.DataFrame) -> None:
    """Write the key figures of the center, the teams and the agents, with their intervals."""
    import mlflow
    import pandas as pd
    from mlflow.entities import Metric

    from speech_emotion.contact_center import SHARES

    now = int(time.time() * 1000)
    names = ["n_calls"]
    names += [f"{name}{end}" for name in ("aht_s", *SHARES) for end in ("", "_low", "_high")]
    metrics = [
        # MLflow refuses names with other characters.
        Metric(re.sub(r"[^\w\-. /]", "_", f"{row['scope']}.{name}"), float(row[name]), now, 0)
        for _, row in breakdown[breakdown["by"] == "all"].iterrows()
        for name in names
        if pd.notna(row[name])
    ]
    mlflow.MlflowClient().log_batch(run_id, metrics)


def _log_candidate(parent: str, family: str, catalog: DataCatalog) -> None:
    """Write one child run: chosen parameters, figures, learning curves, and a run a trial."""
    import mlflow
    import pandas as pd
    from mlflow.entities import Metric

    client = mlflow.MlflowClient()
    child = _start_run(family, parent)
    _log_parameters(child, catalog[f"{family}.hyperparameters"].load())
    now = int(time.time() * 1000)
    metrics = _metrics(catalog[f"{family}_figures"].load())
    curves = catalog[f"{family}_learning_curves"].load()
    for (protocol, epoch), row in curves.groupby(["protocol", "epoch"])[CURVES].mean().iterrows():
        metrics += [
            Metric(f"{protocol}.{name}", float(row[name]), now, int(epoch))
            for name in CURVES
            if pd.notna(row[name])
        ]
    trials = catalog[f"{family}_trials"].load()
    metrics += [
        Metric("trial_uar", float(trial.uar), now, int(trial.trial))
        for trial in trials.itertuples()
        if pd.notna(trial.uar)
    ]
    for start in range(0, len(metrics), 500):  # more are refused at once
        client.log_batch(child, metrics[start : start + 500])
    if len(trials):
        client.log_table(child, trials, "trials.json")
    for trial in trials.itertuples():
        _log_trial(child, family, trial, now)
    client.set_terminated(child)


def _log_leaderboard(parent: str, leaderboard: pd.DataFrame) -> None:
    """Write the champion's figures to the parent run, and those of combinations to children."""
    import mlflow

    from speech_emotion.models import COMBINATIONS

    client = mlflow.MlflowClient()
    client.log_table(parent, leaderboard, "leaderboard.json")
    champion = leaderboard.loc[leaderboard["champion"], "model"].iloc[0]
    client.set_tag(parent, "champion", champion)
    client.log_batch(parent, _metrics(leaderboard[leaderboard["model"] == champion]))
    for name in COMBINATIONS:
        combined = leaderboard[leaderboard["model"] == name]
        if len(combined):
            child = _start_run(name, parent)
            client.log_batch(child, _metrics(combined))
            client.set_terminated(child)


def _log_parameters(run_id: str, values: dict[str, Any]) -> None:
    import mlflow
    from mlflow.entities import Param

    params = [Param(key, str(value)[:500]) for key, value in values.items()]
    for start in range(0, len(params), 100):  # more are refused at once
        mlflow.MlflowClient().log_batch(run_id, params=params[start : start + 100])


def _metrics(figures: pd.DataFrame) -> list[Any]:
    import pandas as pd
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [
        Metric(f"{_condition(row)}.{row['evaluation']}.{name}", float(row[name]), now, 0)
        for _, row in figures.iterrows()
        for name in METRICS
        if pd.notna(row[name])
    ]


def _condition(row: pd.Series) -> str:
    from speech_emotion.evaluation import CLEAN

    clean = row["condition"] == CLEAN
    return row["protocol"] if clean else f"{row['protocol']}.{row['condition']}"


def _log_trial(parent: str, family: str, trial: Any, now: int) -> None:
    import mlflow
    from mlflow.entities import Metric, Param, RunTag

    run = _start_run(f"{family} trial {trial.trial}", parent)
    metrics = [
        Metric("fold_uar", uar, now, fold) for fold, uar in enumerate(json.loads(trial.fold_uar))
    ]
    if metrics:
        metrics.append(Metric("mean_fold_uar", float(trial.uar), now, 0))
    params = [Param(key, str(value)) for key, value in json.loads(trial.params).items()]
    client = mlflow.MlflowClient()
    client.log_batch(run, metrics, params, [RunTag("state", trial.state)])
    client.set_terminated(run, "FAILED" if trial.state == "failed" else "FINISHED")


def _start_run(name: str, parent: str) -> str:
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_run(parent).info.experiment_id
    tags = {"mlflow.parentRunId": parent}
    return client.create_run(experiment, run_name=name, tags=tags).info.run_id


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
