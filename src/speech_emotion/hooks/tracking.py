"""Track in MLflow what kedro-mlflow does not: data, typed parameters, models as child runs, KPIs.

Every command imports this module, so the project's packages are imported where they are used.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from speech_emotion.runtime import check_service, has_ended, process_name, safe_name

if TYPE_CHECKING:
    import pandas as pd
    from kedro.framework.context import KedroContext
    from mlflow.entities import Metric

__all__ = ["DamagedStore", "TrackingHooks", "check_store", "locate_artifacts"]

LEADERBOARD: Final = "leaderboard"
SELECTION_TABLES: Final = frozenset(
    {LEADERBOARD, "predictions", "trials", "learning_curves", "candidates"}
)
"""Tables of model selection. When all that a run makes are saved, its models are tracked."""
EXTERNAL_TABLE: Final = "external_evaluation.metrics_table"
DRIFT_TABLE: Final = "monitoring.drift_table"
WEEKS_TABLE: Final = "monitoring.weeks_table"
CURVES: Final = ("loss", "accuracy", "val_loss", "val_accuracy")
TARGET: Final = "angry"
PROCESS: Final = "process"
"""Tag with the process of a run: machine, number and start."""
COPIED_TAGS: Final = ("mlflow.user", "mlflow.source.name", "mlflow.source.type", PROCESS)
SQLITE: Final = "sqlite:///"

logger = logging.getLogger(__name__)


class DamagedStore(RuntimeError):
    """The store of MLflow is damaged."""


class TrackingHooks:
    """Track a run of model selection with one child run a model, and describe the data of any run.

    Everything is written by run id, because the active run differs between threads. Under a parallel
    runner it is written when the pipeline ends, because its workers would write at the same time.
    """

    def __init__(self) -> None:
        self._run_id: str | None = None
        self._catalog: DataCatalog | None = None
        self._env: str | None = None
        self._tracked: set[str] = set()
        self._saved: set[str] = set()
        self._tables: frozenset[str] = frozenset()
        self._opened_here = True
        self._process = os.getpid()

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Set where artifacts of a local store go, before the plugin reads its configuration.

        Note whether a run was open before this session: its owner closes it.
        """
        import mlflow

        context.config_loader["mlflow"] = locate_artifacts(context.config_loader["mlflow"])
        check_store(context.config_loader["mlflow"])
        self._opened_here = mlflow.active_run() is None

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Note the parent run; log its commit and its typed parameters one by one."""
        import mlflow

        active = mlflow.active_run()
        self._run_id = active.info.run_id if active else None
        self._catalog, self._env = catalog, run_params.get("env")
        self._process = os.getpid()
        self._tracked, self._saved = set(), set()
        self._tables = SELECTION_TABLES & pipeline.all_outputs()
        if active is None or self._run_id is None:
            return
        mlflow.MlflowClient().set_tag(self._run_id, PROCESS, process_name())
        _close_dead_runs(active.info.experiment_id)
        if commit := _commit(Path(run_params["project_path"])):
            mlflow.MlflowClient().set_tag(self._run_id, "git_commit", commit)
        names = sorted(name for name in pipeline.inputs() if name.startswith("params:"))
        values = [_flat(catalog.load(name), name.removeprefix("params:")) for name in names]
        _log_parameters(self._run_id, {key: leaf for flat in values for key, leaf in flat.items()})

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Track the data, the models when their tables are complete, and KPIs."""
        self._saved.add(dataset_name)
        self._track(dataset_name, data)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str) -> None:
        """Track the data of a run that starts after ingestion."""
        if dataset_name == "splits":
            self._track(dataset_name)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Track what a parallel runner left, and close the run."""
        if "ParallelRunner" in str(run_params.get("runner")):
            self._saved |= pipeline.all_outputs()
            for name in sorted(pipeline.all_outputs()):
                self._track(name)
        # kedro-mlflow opens the run again at the first node of every thread and closes it once. Left
        # open, the next run of the process would be logged into it.
        import mlflow

        while self._opened_here and mlflow.active_run():
            mlflow.end_run()

    def _track(self, dataset_name: str, data: Any = None) -> None:
        if self._run_id is None or self._catalog is None or os.getpid() != self._process:
            return  # not tracked, or a worker
        if dataset_name == "splits" and "splits" not in self._tracked:
            self._tracked.add("splits")
            _log_inputs(self._run_id, self._catalog)
        elif dataset_name == "calls":
            # Loading a million calls again would take seconds.
            calls = self._catalog["calls"].load() if data is None else data
            _describe_calls(self._run_id, calls)
        elif dataset_name == "call_kpis_table":
            _log_kpis(self._run_id, self._catalog["call_kpis_table"].load())
        elif dataset_name == EXTERNAL_TABLE:
            _log_external(self._run_id, self._catalog)
        elif dataset_name == DRIFT_TABLE:
            _log_drift(self._run_id, self._catalog[DRIFT_TABLE].load())
        elif dataset_name == WEEKS_TABLE:
            _log_weeks(self._run_id, self._catalog[WEEKS_TABLE].load())
        elif dataset_name in self._tables and self._is_complete():
            self._tracked.add(LEADERBOARD)
            _ModelTracker(self._run_id, self._catalog, self._env).log()

    def _is_complete(self) -> bool:
        """Whether the models can be tracked: all tables that the run makes are saved."""
        if LEADERBOARD not in self._tables or LEADERBOARD in self._tracked:
            return False
        return self._tables <= self._saved


def locate_artifacts(configuration: dict[str, Any]) -> dict[str, Any]:
    """Put the artifacts of an SQLite store beside its file, in the folder ``mlflow``.

    A tracking server stores artifacts itself: its experiment gets no location, so that no path of
    this machine is written into it. A location in the configuration is kept.

    Args:
        configuration: Content of ``mlflow.yml``.

    Returns:
        A copy with the location.
    """
    uri = (configuration.get("server") or {}).get("mlflow_tracking_uri") or ""
    if not uri.startswith(SQLITE):
        return configuration
    tracking = dict(configuration.get("tracking") or {})
    experiment = dict(tracking.get("experiment") or {})
    options = dict(experiment.get("create_experiment_kwargs") or {})
    folder = Path(uri.removeprefix(SQLITE)).absolute().with_name("mlflow")
    options.setdefault("artifact_location", folder.as_posix())
    experiment["create_experiment_kwargs"] = options
    return configuration | {"tracking": tracking | {"experiment": experiment}}


def check_store(configuration: dict[str, Any]) -> None:
    """Check that the SQLite store of MLflow is whole, or its server answers: MLflow retries for minutes.

    Args:
        configuration: Content of ``mlflow.yml``.

    Raises:
        DamagedStore: If it is not.
        ServiceUnreachable: If the server does not answer.
    """
    uri = (configuration.get("server") or {}).get("mlflow_tracking_uri") or ""
    if uri.startswith(("http://", "https://")):
        remedy = "start it, or correct server.mlflow_tracking_uri in mlflow.yml"
        check_service(uri, name="The MLflow server", remedy=remedy)
        return
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or not path.is_file() or not path.stat().st_size:
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
            problem = store.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        return  # another process has locked it; MLflow waits
    except sqlite3.DatabaseError as error:
        problem = str(error)
    if problem != "ok":
        raise DamagedStore(
            f"{path} is damaged ({problem.splitlines()[0]}): move it away, and the next run starts a new "
            f"one; `sqlite3 {path} .recover` saves what can be read of its runs and models"
        )


def _close_dead_runs(experiment: str) -> None:
    """Close the runs of an experiment whose processes were killed on this machine."""
    import mlflow

    client = mlflow.MlflowClient()
    found = client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=1000)
    dead = [run.info.run_id for run in found if has_ended(run.data.tags.get(PROCESS, ""))]
    for run_id in dead:
        client.set_terminated(run_id, "KILLED")
    if dead:
        logger.warning("%d runs of MLflow whose processes were killed are closed", len(dead))


class _ModelTracker:
    """Write the results of model selection: the parent run, one child run a model, its trials."""

    def __init__(self, run_id: str, catalog: DataCatalog, env: str | None):
        import mlflow

        from speech_emotion.reporting.models import headline_table, name_data

        self._client = mlflow.MlflowClient()
        self._parent = self._client.get_run(run_id)
        self._run_id = run_id
        self._tables = {name: catalog[name].load() for name in SELECTION_TABLES}
        self._leaderboard = self._tables[LEADERBOARD]
        self._utterances = catalog["utterances"].load()
        self._data = name_data(self._utterances, env)
        self._headline = headline_table(self._leaderboard, self._tables["predictions"], TARGET)
        champions = self._leaderboard.loc[self._leaderboard["champion"], ["model", "protocol"]]
        self._champion, self._protocol = champions.iloc[0]
        self._inputs = _inputs(catalog, self._protocol)

    def log(self) -> None:
        """Write the parent run, and a child run for every model of the leaderboard."""
        from speech_emotion.corpora import LEAKING
        from speech_emotion.reporting.models import describe_run, headline_metrics, name_run

        tags = {
            "mlflow.runName": name_run(self._data, self._headline, self._champion),
            "mlflow.note.content": describe_run(self._headline, self._utterances, self._champion),
            "champion": self._champion,
            "protocol": self._protocol,
            "leaking": str(self._protocol in LEAKING),
        }
        for key, value in tags.items():
            self._client.set_tag(self._run_id, key, value)
        now = int(time.time() * 1000)
        headline = headline_metrics(self._headline, self._champion)
        self._client.log_batch(self._run_id, self._metrics(headline, now))
        self._client.log_table(self._run_id, self._leaderboard, "leaderboard.json")
        for model in self._leaderboard["model"].unique():
            self._log_model(str(model))

    def _log_model(self, model: str) -> None:
        from speech_emotion.corpora import LEAKING
        from speech_emotion.reporting.models import run_metrics

        candidates = self._tables["candidates"]
        candidate = candidates[candidates["model"] == model]
        # An ensemble is trained with its members.
        times = candidates if candidate.empty else candidate
        started, ended = _milliseconds(times["started"].min()), _milliseconds(times["ended"].max())
        metrics = run_metrics(self._leaderboard, self._headline, model)
        rows = self._leaderboard[self._leaderboard["model"] == model]
        tags = {
            "family": model,
            "kind": "ensemble" if candidate.empty else "family",
            "champion": str(model == self._champion),
            "protocol": self._protocol,
            "leaking": str(self._protocol in LEAKING),
            "synthetic": str(bool(self._utterances["synthetic"].any())),
            "corpora": ", ".join(sorted(self._utterances["corpus"].unique())),
            "mlflow.note.content": _describe_model(model, rows),
        }
        name = model.replace("_", " ")
        child = self._start_run(name, self._run_id, started, tags)
        if len(candidate):
            _log_parameters(child, json.loads(candidate["hyperparameters"].iloc[0]))
        _log_datasets(child, self._inputs)
        entries = self._metrics(metrics, ended) + self._curves(model, ended)
        trials = self._tables["trials"]
        trials = trials[trials["model"] == model]
        entries += [
            _metric("tuning/uar", trial.uar, ended, int(trial.trial))
            for trial in trials.itertuples()
            if not math.isnan(trial.uar)
        ]
        for start in range(0, len(entries), 500):  # MLflow refuses more at once
            self._client.log_batch(child, entries[start : start + 500])
        self._client.log_table(child, rows, "metrics.json")
        if len(trials):
            self._client.log_table(child, trials, "trials.json")
        for trial in trials.itertuples():
            self._log_trial(child, model, trial, started)
        self._client.set_terminated(child, end_time=ended)

    def _log_trial(self, parent: str, model: str, trial: Any, started: int) -> None:
        from mlflow.entities import Param

        name = f"{model.replace('_', ' ')} · trial {trial.trial}"
        tags = {"family": model, "kind": "trial", "state": trial.state}
        run = self._start_run(name, parent, started, tags)
        ended = started if math.isnan(trial.seconds) else started + int(1000 * trial.seconds)
        scores = json.loads(trial.fold_uar)
        metrics = [_metric("fold_uar", uar, ended, fold) for fold, uar in enumerate(scores)]
        if metrics:
            metrics.append(_metric("mean_fold_uar", trial.uar, ended))
        params = [Param(key, str(value)) for key, value in json.loads(trial.params).items()]
        self._client.log_batch(run, metrics, params)
        status = "FAILED" if trial.state == "failed" else "FINISHED"
        self._client.set_terminated(run, status, end_time=ended)

    def _metrics(self, metrics: dict[str, float], timestamp: int) -> list[Metric]:
        """Make entries that are linked with the data that they were computed on."""
        from speech_emotion.datasets import TEST_SET, TRAINING_SET

        data = self._inputs.get(TEST_SET) or self._inputs[TRAINING_SET]
        return [_metric(name, value, timestamp, data=data) for name, value in metrics.items()]

    def _curves(self, model: str, timestamp: int) -> list[Metric]:
        """Make entries of the learning curves under the selecting protocol, averaged over folds."""
        curves = self._tables["learning_curves"]
        curves = curves[(curves["model"] == model) & (curves["protocol"] == self._protocol)]
        if curves.empty:
            return []
        means = curves.groupby("epoch")[list(CURVES)].mean()
        return [
            _metric(f"training/{name}", row[name], timestamp, int(epoch))
            for epoch, row in means.iterrows()
            for name in CURVES
            if not math.isnan(row[name])
        ]

    def _start_run(self, name: str, parent: str, started: int, tags: dict[str, str]) -> str:
        parent_tags = self._parent.data.tags
        copied = {key: parent_tags[key] for key in COPIED_TAGS if key in parent_tags}
        tags = copied | {"mlflow.parentRunId": parent} | tags
        experiment = self._parent.info.experiment_id
        run = self._client.create_run(experiment, start_time=started, tags=tags, run_name=name)
        return run.info.run_id


def _describe_model(model: str, rows: pd.DataFrame) -> str:
    """List all metrics of a model in a Markdown table."""
    lines = [
        f"**{model.replace('_', ' ')}** under every protocol and condition.",
        "",
        "| protocol | condition | evaluation | UAR | 95 % interval | accuracy |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.protocol} | {row.condition} | {row.evaluation} | {100 * row.uar:.1f} % "
        f"| {100 * row.uar_low:.1f} to {100 * row.uar_high:.1f} % | {100 * row.accuracy:.1f} % |"
        for row in rows.itertuples()
    ]
    return "\n".join(lines)


def _metric(name: str, value: float, timestamp: int, step: int = 0, data: Any = None) -> Metric:
    from mlflow.entities import Metric

    linked = {"dataset_name": data.name, "dataset_digest": data.digest} if data is not None else {}
    return Metric(name, float(value), timestamp, step, **linked)


def _milliseconds(moment: pd.Timestamp) -> int:
    import pandas as pd

    moment = pd.Timestamp(moment)
    moment = moment.tz_localize("UTC") if moment.tzinfo is None else moment
    return int(moment.timestamp() * 1000)


def _inputs(catalog: DataCatalog, protocol: str) -> dict[str, Any]:
    from speech_emotion.datasets import describe_inputs

    return describe_inputs(catalog["utterances"].load(), catalog["splits"].load(), protocol)


def _log_inputs(run_id: str, catalog: DataCatalog) -> None:
    """Describe the data of a run: its training set and its test set."""
    import mlflow

    utterances = catalog["utterances"].load()
    client = mlflow.MlflowClient()
    client.set_tag(run_id, "synthetic", str(bool(utterances["synthetic"].any())))
    client.set_tag(run_id, "corpora", ", ".join(sorted(utterances["corpus"].unique())))
    selection = catalog.load("params:selection")  # typed if a node of the run reads it
    protocol = selection["protocol"] if isinstance(selection, dict) else selection.protocol
    _log_datasets(run_id, _inputs(catalog, protocol))


def _log_datasets(run_id: str, inputs: dict[str, Any]) -> None:
    import mlflow
    from mlflow.entities import DatasetInput, InputTag

    entries = [
        DatasetInput(data._to_mlflow_entity(), [InputTag("mlflow.data.context", context)])
        for context, data in inputs.items()
    ]
    mlflow.MlflowClient().log_inputs(run_id, entries)


def _describe_calls(run_id: str, calls: pd.DataFrame) -> None:
    """Tag whether calls are generated, and how many of them have scored emotions."""
    import mlflow

    from speech_emotion.contact_center import count_emotions

    client = mlflow.MlflowClient()
    client.set_tag(run_id, "synthetic", str(bool(calls["synthetic"].any())))
    for source, count in count_emotions(calls).items():
        client.set_tag(run_id, f"emotions_{source}", str(count))


def _log_kpis(run_id: str, breakdown: pd.DataFrame) -> None:
    """Log the KPIs of the contact center, the teams and the agents, with their intervals."""
    import mlflow
    import pandas as pd

    from speech_emotion.contact_center import SHARES

    now = int(time.time() * 1000)
    names = ["n_calls"]
    names += [f"{name}{end}" for name in ("aht_s", *SHARES) for end in ("", "_low", "_high")]
    metrics = [
        _metric(f"{safe_name(row['scope'], spaces=True)}.{name}", row[name], now)
        for _, row in breakdown[breakdown["by"] == "all"].iterrows()
        for name in names
        if pd.notna(row[name])
    ]
    mlflow.MlflowClient().log_batch(run_id, metrics)


def _log_drift(run_id: str, drift: pd.DataFrame) -> None:
    """Log the effect on each measure, and the number of alarms."""
    import mlflow

    now = int(time.time() * 1000)
    metrics = [_metric(f"drift.{row.measure}", row.effect, now) for row in drift.itertuples()]
    metrics.append(_metric("alarms", int(drift["alarm"].sum()), now))
    client = mlflow.MlflowClient()
    client.log_batch(run_id, metrics)
    named = ", ".join(drift.loc[drift["alarm"], "measure"]) or "none"
    client.set_tag(run_id, "drift_alarms", named)


def _log_weeks(run_id: str, weeks: pd.DataFrame) -> None:
    """Log weekly means over time; the step is the number of the week since 1970."""
    import mlflow
    import pandas as pd
    from mlflow.entities import Metric

    metrics = []
    for row in weeks.to_dict("records"):
        monday = pd.Timestamp(row.pop("week_from"))
        step = (monday - pd.Timestamp("1970-01-05")).days // 7
        stamp = int(monday.timestamp() * 1000)
        metrics += [
            Metric(f"week.{name}", float(value), stamp, step)
            for name, value in row.items()
            if pd.notna(value)
        ]
    client = mlflow.MlflowClient()
    for start in range(0, len(metrics), 1000):  # MLflow accepts no more at once
        client.log_batch(run_id, metrics[start : start + 1000])


def _log_external(run_id: str, catalog: DataCatalog) -> None:
    """Log an external evaluation, and link it with the model version that was evaluated."""
    import mlflow
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.entities import DatasetInput, InputTag, LoggedModelInput

    from speech_emotion.evaluation import summarize_exposure
    from speech_emotion.reporting.external import describe_external, external_metrics

    client = mlflow.MlflowClient()
    table = catalog[EXTERNAL_TABLE].load()
    version = catalog["scoring_model_version"].load()
    tested = catalog["external_evaluation.tested"].load()
    corpora = ", ".join(sorted(tested["corpus"].unique()))
    exposure = summarize_exposure(tested)
    metrics = external_metrics(table)
    tags = {
        "mlflow.runName": f"external · {corpora} · UAR {100 * metrics['uar']:.1f} %",
        "mlflow.note.content": describe_external(table, corpora, version["title"], exposure),
        "evaluated_model": version["title"],
        "corpora": corpora,
        "synthetic": str(bool(tested["synthetic"].any())),
        "unseen": str(exposure.unseen) if exposure.known else "unknown",
    }
    for key, value in tags.items():
        client.set_tag(run_id, key, value)
    data = from_pandas(tested, name=f"external: {corpora}", targets="label")
    entry = DatasetInput(data._to_mlflow_entity(), [InputTag("mlflow.data.context", "evaluation")])
    model_id = version.get("model_id")
    client.log_inputs(run_id, [entry], [LoggedModelInput(model_id)] if model_id else None)
    mlflow.log_metrics(metrics, run_id=run_id, model_id=model_id or None, dataset=data)
    if "version" in version:
        key = re.sub(r"[^\w\-. /]", "_", f"external/{corpora}")[:200]
        summary = f"UAR {100 * metrics['uar']:.1f} %, unseen: {tags['unseen']}, run {run_id}"
        client.set_model_version_tag(version["name"], version["version"], key, summary)


def _log_parameters(run_id: str, values: dict[str, Any]) -> None:
    import mlflow
    from mlflow.entities import Param

    params = [Param(key, str(value)[:500]) for key, value in values.items()]
    for start in range(0, len(params), 100):  # MLflow refuses more at once
        mlflow.MlflowClient().log_batch(run_id, params=params[start : start + 100])


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
    """Return the commit of the project, marked if files differ; ``None`` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
