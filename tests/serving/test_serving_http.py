import base64
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import soundfile

from speech_emotion.serving import RECORDINGS

LABELS = ("angry", "neutral", "sad")

pytestmark = [pytest.mark.slow, pytest.mark.serve]


def free_port():
    """Find a port below those that outgoing connections take while the server starts."""
    for port in random.sample(range(20000, 30000), 100):
        with socket.socket() as taken, contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port
    raise AssertionError("100 ports were tried, and all were taken")


@contextlib.contextmanager
def server(store, log, **environment):
    """Start ``mlflow models serve`` as an operator does; yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["-m", "models:/speech-emotion@champion", "-p", str(port), "-w", "1"]
    variables = {key: value for key, value in os.environ.items() if key != RECORDINGS}
    variables |= {"MLFLOW_TRACKING_URI": store} | environment
    variables["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    # MLflow starts `uvicorn` by its name, which is found only where the environment is active.
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables["PATH"]])
    with log.open("w") as out:
        # In a session of its own: the command starts the server as a child, and both must end.
        process = subprocess.Popen(
            command, env=variables, stdout=out, stderr=out, start_new_session=True
        )
        try:
            for _ in range(3000):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5)
                    break
                assert process.poll() is None, log.read_text()
                time.sleep(0.2)
            else:
                raise AssertionError(log.read_text())
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def ask(address, body):
    """Post a request; return the status and the rows or the error."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/invocations", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=300) as response:
            answer = json.load(response, parse_constant=pytest.fail)  # NaN is no JSON
            return response.status, answer["predictions"]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def table(*entries):
    return {"dataframe_split": {"columns": ["audio"], "data": [[entry] for entry in entries]}}


def check_row(row, emotion=None):
    assert list(row) == ["emotion", *LABELS, "error", "warning", "model", "notice"]
    assert row["error"] is None
    assert sum(row[label] for label in LABELS) == pytest.approx(1)
    assert row["emotion"] == max(LABELS, key=row.get)
    if emotion:
        assert row["emotion"] == emotion


@pytest.fixture(scope="module")
def address(served, tmp_path_factory):
    with server(served.store, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


@pytest.fixture(scope="module")
def encoded(served):
    path = next(served.recordings.rglob("angry.WAV"))
    return base64.b64encode(path.read_bytes()).decode()


def test_sound_is_answered(address, served, predictor, encoded):
    path = next(served.recordings.rglob("angry.WAV"))
    assert soundfile.info(path).format == "WAV"
    status, rows = ask(address, table(encoded, f"data:audio/wav;base64,{encoded}"))
    assert status == 200
    assert rows[0] == rows[1]
    check_row(rows[0], "angry")
    here = predictor.predict_files([path]).iloc[0]
    for label in LABELS:
        assert rows[0][label] == pytest.approx(here[label], abs=1e-6)


def test_other_forms_of_request_carry_sound(address, encoded):
    for body in (
        {"inputs": {"audio": [encoded]}},
        {"dataframe_records": [{"audio": encoded}]},
    ):
        status, rows = ask(address, body)
        assert status == 200
        check_row(rows[0], "angry")


def test_bad_entries_have_a_row_each_and_spare_the_others(address, encoded):
    whole = base64.b64decode(encoded)
    cut = base64.b64encode(whole[:30]).decode()
    silent = base64.b64encode(whole[:44] + bytes(len(whole) - 44)).decode()
    bad = [
        ("data:audio/wav;base64,????", "not base64"),
        ("data:audio/wav;base64,AAAA", "unreadable"),
        (cut, "unreadable"),
        (silent, "silent"),
        ("", "neither a path nor a sound"),
        ("x" * 10000, "not a path, and not the base64"),
        (3, "neither a path nor a sound"),
    ]
    status, rows = ask(address, table(*(entry for entry, _ in bad), encoded))
    assert status == 200
    for row, (_, reason) in zip(rows, bad, strict=False):
        assert reason in row["error"]
        assert row["emotion"] is None
        assert row["angry"] is None
    check_row(rows[-1], "angry")


def test_no_file_is_read_unless_the_operator_names_a_folder(address, served):
    path = next(served.recordings.rglob("angry.WAV"))
    _, rows = ask(address, table(str(path), "/etc/passwd", "/no/such/file.wav"))
    assert all("paths are not read here" in row["error"] for row in rows)


def test_paths_are_closed_in_process_too(served, monkeypatch):
    mlflow.set_tracking_uri(served.store)
    model = mlflow.pyfunc.load_model("models:/speech-emotion@champion")
    path = next(served.recordings.rglob("angry.WAV"))
    table = pd.DataFrame({"audio": [str(path), "day 0/angry.WAV", "/etc/passwd"]})
    monkeypatch.delenv(RECORDINGS, raising=False)
    rows = model.predict(table)
    assert rows["error"].str.contains("paths are not read here").all()
    assert json.loads(json.dumps(rows.to_dict("records"), allow_nan=False))[0]["angry"] is None
    monkeypatch.setenv(RECORDINGS, str(served.recordings))
    rows = model.predict(table)
    assert rows["error"].isna().tolist() == [True, True, False]
    assert rows["emotion"].tolist() == ["angry", "angry", None]
    assert model.predict(table.head(2))["angry"].dtype == float


def test_a_request_has_limits(served, monkeypatch, encoded):
    """Rows above a limit say so, and the others are answered."""
    mlflow.set_tracking_uri(served.store)
    model = mlflow.pyfunc.load_model("models:/speech-emotion@champion")
    table = pd.DataFrame({"audio": [encoded] * 4})

    def answered(**limits):
        for name, value in limits.items():
            monkeypatch.setenv(f"SPEECH_EMOTION_{name}", value)
        rows = model.predict(table)
        for name in limits:
            monkeypatch.delenv(f"SPEECH_EMOTION_{name}")
        assert rows["emotion"].isna().tolist() == rows["error"].notna().tolist()
        return rows["emotion"].notna().tolist(), rows["error"].iloc[-1]

    assert answered() == ([True] * 4, None)
    assert answered(MAX_SOUNDS="3")[0] == [True] * 3 + [False]
    done, said = answered(MAX_MB=f"{len(encoded) * 2.5 / 1e6}")
    assert done == [True, True, False, False]
    assert "a request may have 100 sounds and 0." in said
    done, said = answered(MAX_WORK_S="1e-9")
    assert done == [False] * 4
    assert "time of the request is over" in said
    assert answered(MAX_SECONDS="0.1")[1].endswith(
        "the limit max_seconds: cut it, or raise the limit"
    )
    slots = model.unwrap_python_model().slots
    taken = [slots.acquire() for _ in range(2)]
    assert answered(MAX_WORK_S="0.2")[0] == [False] * 4
    for _ in taken:
        slots.release()
    with pytest.raises(Exception, match="MAX_SOUNDS has to be a number above 0, not 'many'"):
        answered(MAX_SOUNDS="many")


@pytest.mark.parametrize(
    "body", [b"{", {"dataframe_split": {"columns": ["sound"], "data": [["a"]]}}]
)
def test_malformed_requests_are_the_clients_fault(address, body):
    status, said = ask(address, body)
    assert status == 400, said


def test_paths_below_the_named_folder_are_read(served, tmp_path, encoded):
    environment = {RECORDINGS: str(served.recordings)}
    whole = next(served.recordings.rglob("sad.flac"))
    outside = tmp_path / "outside.wav"
    outside.write_bytes(base64.b64decode(encoded))
    entries = ["day 0/angry.WAV", str(whole), encoded, "broken.wav", str(outside), "../mlflow.db"]
    with server(served.store, tmp_path / "server.log", **environment) as address:
        status, rows = ask(address, table(*entries))
    assert status == 200
    check_row(rows[0], "angry")
    check_row(rows[1])
    assert rows[2] == rows[0]
    assert "unreadable" in rows[3]["error"]
    assert "is outside the folder" in rows[4]["error"]
    assert "is outside the folder" in rows[5]["error"]
