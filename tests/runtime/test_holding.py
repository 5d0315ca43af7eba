"""A folder of results is used by one run at a time, and released by the ones that died."""

import json
import os
import signal
import subprocess
import sys
import time

import fsspec
import pytest

from speech_emotion.runtime import StoreHeld, holding
from speech_emotion.runtime.holding import NAME

HOLD = """
import sys, time
from speech_emotion.runtime import holding
with holding(sys.argv[1], "scoring calls"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_names_the_first_and_a_killed_one_is_forgotten(tmp_path):
    folder = str(tmp_path / "results")
    other = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        words = rf"results is in use by process {other.pid} on .* \(scoring calls\): wait"
        with pytest.raises(StoreHeld, match=words), holding(folder, "purging"):
            pass
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    with holding(folder, "purging"):
        assert str(os.getpid()) in (tmp_path / "results" / NAME).read_text()
    assert (tmp_path / "results" / NAME).read_text() == ""


def test_a_folder_in_an_object_store_is_released_or_taken_from_the_dead():
    folder, files = "memory://held/results", fsspec.filesystem("memory")
    with holding(folder, "scoring calls"):
        with pytest.raises(StoreHeld, match="scoring calls"), holding(folder, "purging"):
            pass
        sign = json.loads(files.cat_file(f"/held/results/{NAME}"))
    assert not files.exists(f"/held/results/{NAME}")
    elsewhere = sign | {"host": "elsewhere"}
    files.pipe_file(f"/held/results/{NAME}", json.dumps(elsewhere).encode())
    with pytest.raises(StoreHeld, match="on elsewhere"), holding(folder, "purging"):
        pass
    silent = elsewhere | {"renewed": time.time() - 400}
    files.pipe_file(f"/held/results/{NAME}", json.dumps(silent).encode())
    with holding(folder, "purging"):
        pass
