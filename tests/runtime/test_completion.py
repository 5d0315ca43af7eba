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


def hang_once(number, folder):
    """Stop the process at the first attempt of the call 0, as a machine that no longer answers."""
    if number == 0:
        try:
            os.mkdir(folder)
        except FileExistsError:
            return number
        os.kill(os.getpid(), signal.SIGSTOP)
    return number


def test_a_long_call_holds_up_no_other_and_a_fatal_one_spares_the_others(tmp_path):
    assert completed(tmp_path / "marker", n_jobs=2)[-1] == 0
    calls = ((f"call {number}", (number,)) for number in range(8))
    found = dict(as_completed(end_worker, calls, shared=(3,), n_jobs=2))
    lost = found.pop("call 3")
    assert isinstance(lost, WorkerLost)
    assert "memory" in str(lost)
    assert found == {f"call {number}": number for number in range(8) if number != 3}


@pytest.mark.slow
def test_a_cluster_with_memory_limits_and_a_worker_that_hangs(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    import dask

    options = {"threads_per_worker": 1, "dashboard_address": None, "memory_limit": "700MB"}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, **options) as cluster,
        distributed.Client(cluster) as client,
        running_on(DaskEngine(client)),
    ):
        assert completed(tmp_path / "marker")[-1] == 0
        sizes = {"small": 1, "large": 2000, "medium": 20}
        found = dict(
            as_completed(allocate, ((name, (size,)) for name, size in sizes.items()), shared=(0,))
        )
        assert isinstance(found.pop("large"), WorkerLost)
        assert found == {"small": 1 << 20, "medium": 20 << 20}
        monkeypatch.setattr(module, "STALLED_S", 3.0)
        calls = ((number, (number,)) for number in range(6))
        found = dict(as_completed(hang_once, calls, shared=(str(tmp_path / "tried"),)))
        assert found == {number: number for number in range(6)}
        (stopped,) = [
            pid for pid in (nanny.pid for nanny in cluster.workers.values()) if is_stopped(pid)
        ]
        os.kill(stopped, signal.SIGCONT)


def is_stopped(process):
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"
