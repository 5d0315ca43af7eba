"""Damaged stores, and runs that were killed."""

import os
import shutil
import signal
import subprocess
import sys

import click
import mlflow
import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.pipeline import Node, Pipeline

from speech_emotion import cli
from speech_emotion.datasets import BlockwiseDataset, ParquetDataset
from speech_emotion.hooks import StoreHooks
from speech_emotion.hooks.tracking import (
    PROCESS,
    DamagedStore,
    _close_dead_runs,
    check_store,
)
from speech_emotion.runtime import (
    ClusterSettings,
    DamagedTable,
    ServiceUnreachable,
    connect,
    process_name,
)


def configuration(path):
    return {"server": {"mlflow_tracking_uri": f"sqlite:///{path}"}}


@pytest.mark.parametrize("at", [0, 4096, 3 * 4096])
def test_a_damaged_store_of_mlflow_is_named_at_once(empty_store, tmp_path, at):
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_store, path)
    check_store(configuration(path))
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"#" * 4096)
    with pytest.raises(DamagedStore, match=r"mlflow\.db is damaged .*move it away.*\.recover"):
        check_store(configuration(path))


def test_missing_and_remote_stores_are_not_checked(tmp_path):
    check_store(configuration(tmp_path / "missing.db"))
    check_store({})


def test_a_server_that_does_not_answer_is_named_before_any_work(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        ServiceUnreachable, match=r"MLflow server at http://u:\*\*\*@127\.0\.0\.1:1 "
    ):
        check_store({"server": {"mlflow_tracking_uri": "http://u:secret@127.0.0.1:1"}})
    tune = Node(len, "params:selection", "trials", name="tune", namespace="model_selection.svm")
    storage = {"storage": "postgresql://u@127.0.0.1:1/studies"}
    catalog = DataCatalog({"params:selection": MemoryDataset(storage)})
    with pytest.raises(ServiceUnreachable, match=r"studies at .*correct selection\.storage"):
        StoreHooks().before_pipeline_run(Pipeline([tune]), catalog)
    with pytest.raises(ServiceUnreachable, match="start `dask scheduler`"):
        connect(ClusterSettings(engine="dask", scheduler="tcp://127.0.0.1:1"))
    journal = {"storage": "data/studies.journal"}
    catalog = DataCatalog({"params:selection": MemoryDataset(journal)})
    StoreHooks().before_pipeline_run(Pipeline([tune]), catalog)


@pytest.mark.parametrize(("env", "command"), [(None, ""), ("full", " --env full")])
def test_damaged_results_name_their_file_and_the_command(tmp_path, monkeypatch, env, command):
    path = tmp_path / "leaderboard.parquet"
    pd.DataFrame({"uar": [0.5]}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    catalog = DataCatalog({"leaderboard": ParquetDataset(filepath=str(path))})
    hooks = StoreHooks()
    hooks.before_dataset_loaded("leaderboard")
    with pytest.raises(DatasetError) as caught:
        catalog.load("leaderboard")
    pipelines.configure("speech_emotion.pipeline_registry")
    read = Pipeline([Node(len, "leaderboard", "length")])
    hooks.on_pipeline_error(caught.value, {"env": env}, read, catalog)
    text = cli._describe(caught.value)
    assert f"{path} is damaged" in text
    assert f"`kedro run{command} --pipelines model_selection`" in text


def test_damaged_tables_that_a_node_reads_by_blocks_name_the_command(tmp_path):
    dataset = BlockwiseDataset(filepath=str(tmp_path / "emotions.parquet"))
    dataset.save([pd.DataFrame({"score": [0.5]})])
    path = tmp_path / "emotions.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    catalog = DataCatalog({"call_emotions": dataset, "params:x": MemoryDataset(1)})
    with pytest.raises(DamagedTable) as caught:
        list(catalog.load("call_emotions"))
    pipelines.configure("speech_emotion.pipeline_registry")
    read = Pipeline([Node(max, ["call_emotions", "params:x"], "count")])
    StoreHooks().on_pipeline_error(caught.value, {"env": "test"}, read, catalog)
    assert "`kedro run --env test --pipelines call_scoring`" in cli._describe(caught.value)


@pytest.fixture
def experiment(empty_store, tmp_path):
    before = mlflow.get_tracking_uri()
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield mlflow.create_experiment("runs", artifact_location=str(tmp_path / "artifacts"))
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before)


def test_runs_of_killed_processes_are_closed_and_others_go_on(experiment):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    alive = process_name(process.pid)
    process.kill()
    process.communicate()
    own, tags = process_name(), {}
    again = f"{own.rpartition(' ')[0]} 1"  # the number of this process, of another start
    elsewhere = f"elsewhere {process.pid} 5"
    client = mlflow.MlflowClient()
    for name, tag in {"dead": alive, "own": own, "again": again, "elsewhere": elsewhere}.items():
        tags[name] = client.create_run(experiment, tags={PROCESS: tag}).info.run_id
    tags["unknown"] = client.create_run(experiment).info.run_id
    _close_dead_runs(experiment)
    status = {name: client.get_run(run).info.status for name, run in tags.items()}
    running = dict.fromkeys(("own", "elsewhere", "unknown"), "RUNNING")
    assert status == {"dead": "KILLED", "again": "KILLED"} | running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_killed_in_mlflow(experiment, tmp_path, monkeypatch, number):
    monkeypatch.setattr(cli, "_project_folder", lambda: tmp_path)
    runs = []

    @cli._readable_errors()
    def interrupted():
        for nested in (False, True):
            run = mlflow.start_run(experiment_id=experiment, nested=nested)
            runs.append(run.info.run_id)
        os.kill(os.getpid(), number)
        signal.sigtimedwait([], 5)

    # Shells start commands in the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(click.ClickException, match="the same command goes on"):
            interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    client = mlflow.MlflowClient()
    assert [client.get_run(run).info.status for run in runs] == ["KILLED", "KILLED"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
