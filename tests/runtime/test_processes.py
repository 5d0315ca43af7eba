import os
import signal
import subprocess
import sys
import time

import pytest

from speech_emotion.runtime import WorkerLost, fan_out

PARENT = """
import os, sys, time
from speech_emotion.runtime import fan_out
from tests_of_processes import report
for _ in fan_out(report, [(1,), (2,)], n_jobs=2):
    pass
"""
MODULE = """
import os, time
def report(number):
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_workers_end_with_their_parent(tmp_path):
    (tmp_path / "tests_of_processes.py").write_text(MODULE)
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    # Under xdist the tests limit the number of processes.
    environment = os.environ | {"PYTHONPATH": paths, "LOKY_MAX_CPU_COUNT": "2"}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], env=environment, stdout=subprocess.PIPE, text=True
    )
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(map(is_alive, workers))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 30
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(map(is_alive, workers))
    parent.stdout.close()


def die(number):
    if number:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_lost_worker_is_an_error_with_a_remedy():
    with pytest.raises(WorkerLost, match="What was finished is kept: run the command again"):
        list(fan_out(die, [(0,), (1,), (0,), (1,)], n_jobs=2))
