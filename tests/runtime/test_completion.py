"""Results of calls as they finish, on processes and on Dask."""

import os
import signal
import time

import pytest

from speech_emotion.runtime import DaskEngine, WorkerLost, as_completed, running_on
from speech_emotion.runtime import dask as module


def wait(number, marker):
    """Return the number; the call 0 waits until the others are done, that is, until the marker exists."""
    deadline = time.monotonic() + 60
    while number == 0 and not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return number


def completed(marker, **options):
    """Return the keys of calls in the order of their results."""
    keys = []
    for key, _ in as_completed(wait, ((n, (n,)) for n in range(6)), shared=(marker,), **options):
        keys.append(key)
        if len(keys) == 5:
            marker.touch()
    return keys


def end_worker(number, victim):
    if number == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def allocate(megabytes, _):
    block = bytearray(megabytes << 20)
    for start in range(0, len(block), 4096):
        block[start] = 1
    time.sleep(1)
    return len(block)


def hang(number, attempts, tried, end):
    """Return the number; the call 0 hangs at its first attempts, until the end and at most for a minute."""
    deadline = time.monotonic() + 60
    for attempt in range(attempts if number == 0 else 0):
        try:
            os.mkdir(f"{tried} {attempt}")
        except FileExistsError:
            continue
        while not end.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        break
    return number


def test_a_long_call_holds_up_no_other_and_a_fatal_one_spares_the_others(tmp_path):
    assert completed(tmp_path / "marker", n_jobs=2)[-1] == 0
    calls = ((f"call {number}", (number,)) for number in range(8))
    found = dict(as_completed(end_worker, calls, shared=(3,), n_jobs=2))
    lost = found.pop("call 3")
    assert isinstance(lost, WorkerLost)
    assert "memory" in str(lost)
    assert found == {f"call {number}": number for number in range(8) if number != 3}


@pytest.fixture(scope="module")
def cluster():
    """Two workers that may use 700 MB each; a call that ends a worker twice is given up."""
    distributed = pytest.importorskip("distributed")
    import dask

    options = {"threads_per_worker": 1, "dashboard_address": None, "memory_limit": "700MB"}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, **options) as cluster,
        distributed.Client(cluster) as client,
        running_on(DaskEngine(client)),
    ):
        yield client


@pytest.mark.slow
def test_a_cluster_with_memory_limits(cluster, tmp_path):
    assert completed(tmp_path / "marker")[-1] == 0
    sizes = {"small": 1, "large": 2000, "medium": 20}
    calls = ((name, (size,)) for name, size in sizes.items())
    found = dict(as_completed(allocate, calls, shared=(0,)))
    assert isinstance(found.pop("large"), WorkerLost)
    assert found == {"small": 1 << 20, "medium": 20 << 20}


@pytest.mark.slow
@pytest.mark.parametrize("attempts", [1, 2])
def test_a_call_that_hangs_runs_on_a_second_worker_and_is_given_up_if_it_hangs_there_too(
    cluster, tmp_path, monkeypatch, attempts
):
    # Workers that are still starting, or import this module, would seem to hang.
    cluster.wait_for_workers(2, timeout=60)
    cluster.run(wait, 1, tmp_path)
    monkeypatch.setattr(module, "STALLED_S", 2.0)
    monkeypatch.setattr(module, "HOPELESS_S", 10.0 if attempts == 2 else 60.0)
    end = tmp_path / "end"
    calls = ((number, (number,)) for number in range(6))
    started = time.monotonic()
    found = dict(as_completed(hang, calls, shared=(attempts, str(tmp_path / "tried"), end)))
    end.touch()
    assert time.monotonic() - started < 45  # the call hangs for a minute
    if attempts == 2:
        lost = found.pop(0)
        assert isinstance(lost, WorkerLost)
        assert "tries it again" in str(lost)
    assert found == {number: number for number in range(6) if number or attempts == 1}
