import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import numpy as np
import pandas as pd
import pytest

from speech_emotion.features import store
from speech_emotion.runtime import (
    ClusterSettings,
    DaskEngine,
    ServiceUnreachable,
    connect,
    fan_out,
    running_on,
    workers,
)

STAGES = ["ingestion", "augmentation", "feature_engineering", "model_selection"]
SMALL = {
    "features": {"feature_set": "means_184"},
    "augmentation": {"variants": 1, "telephone": False},
    "selection": {"families": ["random_forest"], "compared": ["speaker_independent"]},
}


class Cluster:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self, folder, stack):
        self._file = folder / "scheduler.json"
        self._stack = stack
        self._start("scheduler", "--port", "0", "--scheduler-file", self._file)
        self.workers = {name: self._worker(name) for name in ("one", "two")}
        from distributed import Client

        self.client = stack.enter_context(Client(scheduler_file=str(self._file), timeout=60))
        self.client.wait_for_workers(2, timeout=120)
        self.address = self.client.scheduler.address

    def _worker(self, name):
        options = ["--nthreads", "1", "--no-nanny", "--name", name]
        return self._start("worker", "--scheduler-file", self._file, *options)

    def _start(self, *command):
        command = [sys.executable, "-m", "distributed.cli.dask_" + command[0], *command[1:]]
        process = subprocess.Popen(
            [*map(str, command), "--no-dashboard"], stderr=subprocess.DEVNULL
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def kill_a_busy_worker(self):
        """Kill a worker that is in the middle of a call; return its name."""
        names = {
            address: facts["name"]
            for address, facts in self.client.scheduler_info(n_workers=-1)["workers"].items()
        }
        while not (busy := [worker for worker, calls in self.client.processing().items() if calls]):
            time.sleep(0.01)
        name = names[busy[0]]
        os.kill(self.workers[name].pid, signal.SIGKILL)
        self.workers[name].wait()
        return name


@pytest.fixture
def cluster(tmp_path):
    pytest.importorskip("distributed")
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack)


def metrics(data_dir):
    board = pd.read_parquet(data_dir / "07_model_output/leaderboard.parquet")
    return board.drop(columns=["fit_seconds", "predict_ms"])


@pytest.mark.slow
def test_a_run_that_loses_a_worker_has_the_metrics_of_one_without_cluster(
    cluster, run_kedro, tmp_path, monkeypatch
):
    monkeypatch.setattr(store, "SHARD_SIZE", 8)
    alone, lost = tmp_path / "alone", tmp_path / "lost"
    one_process = SMALL | {"selection": SMALL["selection"] | {"n_jobs": 1}}
    run_kedro(alone, params=one_process, pipeline_names=STAGES)
    killed = []

    def kill_in_the_middle():
        while len(list((lost / "04_feature/cache").glob("*.parquet"))) < 2:
            time.sleep(0.01)
        killed.append(cluster.kill_a_busy_worker())

    killer = threading.Thread(target=kill_in_the_middle, daemon=True)
    killer.start()
    engine = {"cluster": {"engine": "dask", "scheduler": cluster.address}}
    corpora = {"corpora_dir": str(alone / "01_raw/sample")}
    run_kedro(lost, params=SMALL | engine | corpora, pipeline_names=STAGES)
    killer.join(timeout=5)
    assert killed
    assert len(cluster.client.nthreads()) == 1
    shards = [sorted(p.name for p in (d / "04_feature/cache").iterdir()) for d in (alone, lost)]
    assert shards[0] == shards[1]
    assert len(shards[0]) > 10
    features = [pd.read_parquet(d / "04_feature/features.parquet") for d in (alone, lost)]
    pd.testing.assert_frame_equal(*features)
    pd.testing.assert_frame_equal(metrics(alone), metrics(lost))
    assert workers(1) == 1  # the cluster is left at the end


@pytest.mark.slow
def test_what_calls_share_outlives_a_worker(cluster):
    def slow_sum(start, values):
        time.sleep(0.2)
        return float(values[start:].sum())

    values = np.arange(200_000.0)
    with running_on(DaskEngine(cluster.client)):
        assert workers(1) == 2
        results = fan_out(slow_sum, ((start,) for start in range(12)), shared=(values,))
        found = [next(results)]
        cluster.kill_a_busy_worker()
        found += results
    assert found == [values[start:].sum() for start in range(12)]


@pytest.mark.slow
def test_an_error_is_raised_and_calls_that_wait_are_given_up(cluster):
    def divide(number):
        time.sleep(0.05)
        return 1 / number

    with running_on(DaskEngine(cluster.client)):
        with pytest.raises(ZeroDivisionError):
            list(fan_out(divide, ((number,) for number in (1, 0, *range(1, 500)))))
        while any(cluster.client.processing().values()):
            time.sleep(0.01)
        assert list(fan_out(divide, ((number,) for number in (2, 4)))) == [0.5, 0.25]


def test_no_scheduler_is_an_error_with_what_to_do():
    pytest.importorskip("distributed")
    settings = ClusterSettings(engine="dask", scheduler="tcp://127.0.0.1:1", wait_s=0.5)
    with pytest.raises(ServiceUnreachable, match=r"does not answer .*dask worker tcp://127"):
        connect(settings)


@pytest.mark.slow
def test_workers_that_are_started_here_have_no_profiler():
    pytest.importorskip("distributed")
    with connect(ClusterSettings(engine="dask", workers=1)) as client:
        (enabled,) = client.run(dask_setting, "distributed.worker.profile.enabled").values()
    assert enabled is False


def dask_setting(name):
    import dask

    return dask.config.get(name)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_calls_are_in_order_and_on_one_thread(n_jobs):
    def threads(number):
        import threadpoolctl

        return number, {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}

    found = list(fan_out(threads, ((number,) for number in range(5)), n_jobs=n_jobs))
    assert [number for number, _ in found] == list(range(5))
    assert all(counts <= {1} for _, counts in found)
