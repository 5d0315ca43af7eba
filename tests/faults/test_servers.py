"""Servers that die under a run, and secrets in their addresses: ``make faults`` runs this."""

import base64
import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
import soundfile
from fault_commands import PROJECT, check, differences, results_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("SPEECH_EMOTION_FAULTS" not in os.environ, reason="make faults runs it"),
]
SECRET = "hunter2hunter2"
SOON_S = 15


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Process:
    """A server that can be killed and started again."""

    def __init__(self, port, *arguments, **options):
        self.port, self.arguments, self.options = port, [str(one) for one in arguments], options
        self.start()

    def start(self):
        null = subprocess.DEVNULL
        self.process = subprocess.Popen(self.arguments, stdout=null, stderr=null, **self.options)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            assert self.process.poll() is None, self.arguments
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError(self.arguments)

    def kill(self):
        if self.options.get("start_new_session"):  # it has started others
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start():
    """Start servers, which end with the test."""
    started = []

    def run(port, *arguments, **options):
        started.append(Process(port, *arguments, **options))
        return started[-1]

    yield run
    for one in started:
        one.kill()


@pytest.fixture
def proxied(start):
    def run(target):
        port = free_port()
        return start(port, sys.executable, Path(__file__).with_name("proxy.py"), port, target)

    return run


def die(run, server, stage, *, at, seconds=0.3, **options):
    """Run a stage whose server dies some seconds after a node has begun.

    Returns the command, and how long it took to end.
    """
    command = run.start(stage, **options)
    while command.is_running and at not in command.text:
        time.sleep(0.02)
    time.sleep(seconds)
    assert command.is_running, command.text
    server.kill()
    killed = time.monotonic()
    check(run.commands.wait(command))
    return command, time.monotonic() - killed


def said_before_work(run, stage, **options):
    """Run a stage whose server does not answer: the message comes before any node."""
    started = time.monotonic()
    command = check(run.run(stage, **options))
    seconds = time.monotonic() - started
    assert command.code == 1
    assert "does not answer" in command.message
    assert "[1/" not in command.text.replace(" ", "")
    return command.message, seconds


def one_line(text):
    return " ".join(text.split("\nTraceback")[0].split())[:400]


def test_the_database_of_studies_dies(whole, server, proxied):
    whole.restore("model_selection")
    proxy = proxied(int(re.search(r":(\d+)/", server.url)[1]))
    storage = {"selection.storage": f"postgresql://optuna@127.0.0.1:{proxy.port}/postgres"}
    options = {"environment": {"PGPASSWORD": server.password}} | storage
    command, seconds = die(whole, proxy, "model_selection", at="regression.tune", **options)
    assert command.code == 1
    assert str(proxy.port) in command.message
    message, _ = said_before_work(whole, "model_selection", **options)
    proxy.start()
    again = check(whole.run("model_selection", **options))
    assert again.code == 0, again.message
    assert differences(whole.results["model_selection"], results_of(whole.data)) == []
    assert server.password not in command.text + message + again.text
    whole.note(
        "PostgreSQL dies",
        "model_selection",
        f"{one_line(command.message)} ({seconds:.0f} s)",
        "equal",
    )
    whole.note("PostgreSQL is down", "model_selection", one_line(message), "before any work")


PHONE = "+49 170 1234567"
CORPORA = f"http://somebody:{SECRET}@127.0.0.1:1/corpora?sig={SECRET}"
STORAGE = f"postgresql://somebody:{SECRET}@127.0.0.1:1/studies"
WITH_SECRETS = {
    "ingestion": (
        "catalog_secret.yml",
        {"corpora": {"type": "speech_emotion.datasets.CorporaDataset", "filepath": CORPORA}},
        "127.0.0.1:1",
    ),
    "model_selection": ("parameters_secret.yml", {"selection": {"storage": STORAGE}}, "PGPASSWORD"),
}
"""Pipelines, files of configuration that have passwords, and what the message has to name."""


def test_secrets_are_nowhere(whole, tracked):
    """Passwords in corpora_dir, selection.storage and the tracking URI; phone numbers of callers."""
    _, folder, options = tracked
    whole.restore("call_scoring")
    conf, texts = Path(options["options"][1]), []
    named = whole.commands.folder / "named"
    named.mkdir()
    for number, path in enumerate(sorted(whole.calls.glob("*.wav"))):
        shutil.copy(path, named / f"{PHONE} {number}.wav")
    (named / f"{PHONE} empty.wav").write_bytes(b"")
    for pipeline, (name, content, expected) in WITH_SECRETS.items():
        written = conf / "test" / name
        written.write_text(json.dumps(content))
        command = check(whole.run(pipeline, **options))
        assert command.code == 1
        assert expected in command.message
        texts.append(command.text)
        written.unlink()
    refused = check(
        whole.run("model_selection", **{"selection.storage": f"mysql://a:{SECRET}@b/c"})
    )
    assert "contains a password or key" in refused.message
    model = str(next((whole.data / "06_models").glob("champion")))
    scored = check(whole.run("call_scoring", **options, model_uri=model, recordings_dir=named))
    assert scored.code == 0, scored.message
    assert "1 rejected" in scored.text
    texts += [refused.text, scored.text]
    for pipeline in ("call_report", "reporting"):  # they log pages and figures
        command = check(whole.run(pipeline, **options))
        assert command.code == 0, command.message
        texts.append(command.text)
    log = (PROJECT / "data/logs/speech_emotion.log").read_text()
    stored = [one for one in folder.rglob("*") if one.is_file()]
    assert [one for one in stored if one.suffix == ".html"]
    for secret in (SECRET, PHONE, PHONE.replace(" ", "")):
        assert secret not in "".join(texts)
        assert secret not in log
        assert not [one for one in stored if secret.encode() in one.read_bytes()]
    places = "corpora_dir, selection.storage, tracking URI; phone numbers in names of recordings"
    nowhere = f"in no console, log, and none of the {len(stored)} files of the MLflow server"
    whole.note(
        "secrets",
        "ingestion, model_selection, call_scoring, call_report, reporting",
        places,
        nowhere,
    )


@pytest.fixture
def tracked(whole, start, tmp_path):
    """A tracking server with a password in its address, and options of commands that use it."""
    port, folder = free_port(), tmp_path / "tracking"
    folder.mkdir()
    shutil.copy(whole.snapshots / "augmentation/mlflow.db", tmp_path / "empty.db")
    server = start(
        port,
        *(sys.executable, "-m", "mlflow", "server", "--port", port, "--workers", 1),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", folder / "artifacts"),
        cwd=folder,
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
    )
    conf = tmp_path / "conf"
    shutil.copytree(PROJECT / "conf", conf)
    uri = f"http://somebody:{SECRET}@127.0.0.1:{port}"
    (conf / "test/mlflow.yml").write_text(f"server: {{mlflow_tracking_uri: '{uri}'}}\n")
    return server, folder, {"options": ["--conf-source", str(conf)]}


def test_the_tracking_server_dies(whole, tracked):
    server, folder, options = tracked
    whole.restore("registration")
    command, seconds = die(whole, server, "registration", at="register_champion", **options)
    assert command.code == 1
    message, before = said_before_work(whole, "registration", **options)
    assert before < SOON_S * 3  # the start of a command on a busy machine is part of it
    server.start()
    again = check(whole.run("registration", **options))
    assert again.code == 0, again.message
    assert differences(whole.results["registration"], results_of(whole.data)) == []
    texts = command.text + message + again.text
    assert SECRET not in texts
    stored = [one for one in folder.rglob("*") if one.is_file()]
    assert stored
    assert not [one for one in stored if SECRET.encode() in one.read_bytes()]
    log = PROJECT / "data/logs/speech_emotion.log"
    assert SECRET not in log.read_text()
    said = f"{one_line(command.message)} ({seconds:.0f} s)"
    whole.note("MLflow server dies", "registration", said, "equal; one champion")
    whole.note("MLflow server is down", "registration", one_line(message), "before any work")


def test_the_object_store_dies(whole, start, proxied, tmp_path):
    s3fs = pytest.importorskip("s3fs")
    target = free_port()
    start(target, sys.executable, "-m", "moto.server", "-p", target)
    proxy = proxied(target)
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    keys = {"key": "test", "secret": SECRET}
    files = s3fs.S3FileSystem(**keys, endpoint_url=f"http://127.0.0.1:{target}")
    bucket = f"faults-{target}"
    files.mkdir(bucket)
    for name in ("02_intermediate", "03_primary"):
        files.put(
            f"{whole.snapshots}/feature_engineering/{name}/", f"{bucket}/run/{name}", recursive=True
        )
    options = {"environment": environment, "data_dir": f"s3://{bucket}/run"}
    try:
        command, seconds = die(whole, proxy, "feature_engineering", at="extract", **options)
        assert command.code == 1
        proxy.start()
        again = check(whole.run("feature_engineering", **options))
        assert again.code == 0, again.message
    finally:
        shutil.rmtree(PROJECT / "data" / bucket, ignore_errors=True)
    files.invalidate_cache()
    files.get(f"{bucket}/run/", f"{tmp_path}/run/", recursive=True)
    expected = {
        name: table
        for name, table in whole.results["feature_engineering"].items()
        if name.startswith("04_feature")
    }
    found = {
        name: table
        for name, table in results_of(tmp_path / "run").items()
        if name.startswith("04_feature")
    }
    assert differences(expected, found) == []
    assert not [name for name in files.find(bucket) if "partial" in name]
    assert SECRET not in command.text + again.text
    said = f"{one_line(command.message)} ({seconds:.0f} s)"
    whole.note("object store dies", "feature_engineering", said, "equal")


def dask(start, port, *, workers):
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}"]
    few = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
    environment = {"env": os.environ | {"PYTHONPATH": f"{PROJECT}/src"}}
    started = [start(port, *scheduler, "--host", "127.0.0.1", "--port", port, **environment)]
    for _ in range(workers):
        listening = free_port()
        started.append(start(listening, *worker, *few, "--worker-port", listening, **environment))
    return started


def test_a_worker_and_the_scheduler_of_a_cluster_die(whole, start):
    whole.restore("feature_engineering")
    port = free_port()
    options = {"cluster.engine": "dask", "cluster.scheduler": f"tcp://127.0.0.1:{port}"}
    _, first, _ = dask(start, port, workers=2)
    command, _ = die(whole, first, "feature_engineering", at="extract", **options)
    assert command.code == 0, command.message
    assert differences(whole.results["feature_engineering"], results_of(whole.data)) == []
    whole.note("Dask worker dies", "feature_engineering", "", "equal, in the same run")


def test_the_scheduler_of_a_cluster_dies(whole, start):
    whole.restore("feature_engineering")
    port = free_port()
    options = {"cluster.engine": "dask", "cluster.scheduler": f"tcp://127.0.0.1:{port}"}
    scheduler, worker = dask(start, port, workers=1)
    command, seconds = die(whole, scheduler, "feature_engineering", at="extract", **options)
    assert command.code == 1
    message, _ = said_before_work(whole, "feature_engineering", **options)
    worker.kill()
    dask(start, port, workers=1)
    again = check(whole.run("feature_engineering", **options))
    assert again.code == 0, again.message
    assert differences(whole.results["feature_engineering"], results_of(whole.data)) == []
    said = f"{one_line(command.message)} ({seconds:.0f} s)"
    whole.note("Dask scheduler dies", "feature_engineering", said, "equal")
    whole.note(
        "Dask scheduler is down", "feature_engineering", one_line(message), "before any work"
    )


def hostile_sounds():
    """Small requests that ask for much: rate, length or size by a header, silence, and no sound."""
    silence, wav = io.BytesIO(), io.BytesIO()
    soundfile.write(silence, np.zeros(20 * 60 * 8000, "int16"), 8000, format="FLAC")
    soundfile.write(wav, np.random.default_rng(0).normal(0, 0.1, 2000), 8000, format="WAV")
    flac, slow = bytearray(silence.getvalue()[:4096]), bytearray(wav.getvalue())
    flac[21:26] = bytes([(flac[21] & 0xF0) | 0xF]) + b"\xff" * 4  # 2^36 - 1 samples
    slow[24:28] = (1).to_bytes(4, "little")  # 1 Hz
    sounds = [silence.getvalue(), bytes(flac), bytes(slow), wav.getvalue()[:100], b"no sound"]
    texts = [base64.b64encode(sound).decode() for sound in sounds]
    return [*texts, "ü.wav", "x" * 3_000_000, "/etc/passwd"]


def memory_mb(group):
    """Resident memory of all processes of a group."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(path.name)) == group:
                total += int((path / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):
            continue
    return total / 1e6


def test_the_served_model_under_load(whole, start):
    """200 requests at once, hostile and good: every good one is answered, and memory stays bounded."""
    whole.restore("end")
    port = free_port()
    server = start(
        port,
        *(sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-w", "1"),
        *("-m", "models:/speech-emotion@champion", "-p", port),
        env=os.environ
        | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{whole.data}/mlflow.db",
            # The last of 100 good sounds waits for the others, on a busy machine longer than a minute.
            "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "300",
            "SPEECH_EMOTION_MAX_WORK_S": "300",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        start_new_session=True,
    )
    good = base64.b64encode(next(whole.corpora.rglob("*.wav")).read_bytes()).decode()

    def ask(entry):
        table = {"dataframe_split": {"columns": ["audio"], "data": [[entry]]}}
        request = Request(f"http://127.0.0.1:{port}/invocations", json.dumps(table).encode())
        request.add_header("Content-Type", "application/json")
        started = time.monotonic()
        try:
            with urlopen(request, timeout=300) as response:
                row = json.load(response)["predictions"][0]
        except HTTPError as error:
            row = {"emotion": None, "error": f"{error.code} {error.read()[:200]}"}
        return row, time.monotonic() - started

    ask(good)
    before, peak, running = memory_mb(server.process.pid), [0.0], [True]

    def watch():
        while running[0]:
            peak[0] = max(peak[0], memory_mb(server.process.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    bad = hostile_sounds()
    entries = [good if number % 2 else bad[number // 2 % len(bad)] for number in range(200)]
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, entries))
    running[0] = False
    watcher.join()
    right = [row for (row, _), entry in zip(answers, entries, strict=True) if entry == good]
    wrong = [row for (row, _), entry in zip(answers, entries, strict=True) if entry != good]
    assert len(right) == 100
    assert {row["error"] for row in right} == {None}
    assert all(row["emotion"] for row in right)
    assert all(row["error"] and not row["emotion"] for row in wrong)
    longest = max(seconds for _, seconds in answers)
    assert longest < 300
    assert peak[0] - before < 500
    said = f"100 of 100 good answered, 100 of 100 hostile refused; {longest:.0f} s for the last"
    grown = f"memory {before:.0f} MB before, {peak[0]:.0f} MB at most"
    whole.note("200 requests at once", "served model, one worker", said, grown)
