import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

# Workers side by side that each take all cores wait for one another; set before libraries start threads.
# Processes of a worker would each import everything again; tests of several processes ask for two.
if _workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    _share = str(max(1, (os.cpu_count() or 1) // int(_workers)))
    os.environ |= dict.fromkeys(
        ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "LOKY_MAX_CPU_COUNT"), _share
    )
# A Dask worker may start slowly where others start at the same time.
os.environ.setdefault("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "300s")

import numpy as np
import pandas as pd
import pytest
import soundfile
from fsspec import AbstractFileSystem
from hypothesis import HealthCheck, settings

from speech_emotion.corpora import SplitSettings, assign_splits
from speech_emotion.models.keras_training import import_keras

RATE = 22050
PROJECT = Path(__file__).resolve().parents[1]
PATIENCE_MS = 300_000  # what waits for a browser waits on the slowest machine, too


# Examples are the same in every run, and a busy machine fails none of them.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


# Files whose tests use the session's costly `project`: one worker runs them, and first.
WITH_PROJECT = ("test_pipelines_end_to_end", "test_pipelines_notebooks", "test_pipelines_ablation")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in WITH_PROJECT)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Let one worker run all of a file, and all files of the project, unless asked for ``--dist=load``."""
    if config.getoption("dist") == "load":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "project" if Path(file).stem in WITH_PROJECT else file

    return Scheduler(config, log)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A tracking store as MLflow creates it, which takes longer than copying it."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def run_kedro(empty_store):
    """Run a pipeline in a session of its own, with its data under ``data_dir``."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from speech_emotion.settings import on_disk

    bootstrap_project(PROJECT)

    def run(data_dir, *, env="test", params=None, **options):
        store = Path(on_disk(str(data_dir))) / "mlflow.db"
        if not store.exists():
            store.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(empty_store, store)
        runtime_params = {"data_dir": str(data_dir), **(params or {})}
        with KedroSession.create(PROJECT, env=env, runtime_params=runtime_params) as session:
            return session.run(**options)

    return run


class Store(NamedTuple):
    """An object store with an empty bucket."""

    files: AbstractFileSystem
    bucket: str


@pytest.fixture
def store(monkeypatch):
    """An S3-compatible server on this machine."""
    server = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    from joblib.externals.loky import get_reusable_executor

    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # Processes of earlier tests know neither the server nor its keys.
    get_reusable_executor().shutdown(wait=True)
    s3fs.S3FileSystem.clear_instance_cache()
    files, bucket = s3fs.S3FileSystem(), f"speech-emotion-test-{uuid4().hex}"
    files.mkdir(bucket)
    yield Store(files, bucket)
    s3fs.S3FileSystem.clear_instance_cache()
    running.stop()
    shutil.rmtree(PROJECT / "data" / bucket, ignore_errors=True)


class Server(NamedTuple):
    """A running server: URL of an empty database, the password of its user, and its process."""

    url: str
    password: str
    process: subprocess.Popen


def _program(name):
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name) or next(
        (str(folder / name) for folder in folders if (folder / name).exists()), None
    )
    return found or pytest.skip(f"no {name}: install Debian's postgresql")


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server with password authentication, run by another user than root."""
    psycopg = pytest.importorskip("psycopg")
    initdb, postgres = _program("initdb"), _program("postgres")
    user, password = None, "not to be seen"
    if os.geteuid() == 0:
        user = "postgres"
        try:
            pwd.getpwnam(user)
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        folder = Path(name)
        (folder / "password").write_text(password)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        options = ["-A", "scram-sha-256", f"--pwfile={folder}/password", "--no-sync"]
        made = [initdb, "-D", f"{folder}/data", "-U", "optuna", *options]
        subprocess.run(made, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        place = ["-D", f"{folder}/data", "-p", str(port), "-k", str(folder)]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [postgres, *place, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
                user=user,
                cwd=folder,
                stderr=log,
            )
        try:
            connection = {"host": "127.0.0.1", "port": port, "user": "optuna", "password": password}
            while process.poll() is None:
                try:
                    psycopg.connect(**connection, dbname="postgres").close()
                    break
                except psycopg.OperationalError:
                    time.sleep(0.1)
            assert process.poll() is None, (folder / "log").read_text()
            yield Server(f"postgresql://optuna@127.0.0.1:{port}/postgres", password, process)
        finally:
            process.send_signal(
                signal.SIGINT
            )  # other signals wait until all clients have disconnected
            process.wait()


@pytest.fixture(scope="session")
def tone():
    """Make a sine: frequency in Hz, seconds, amplitude, rate."""

    def make(frequency=440.0, seconds=1.0, amplitude=0.5, rate=RATE):
        times = np.arange(round(seconds * rate)) / rate
        return (amplitude * np.sin(2 * np.pi * frequency * times)).astype(np.float32)

    return make


@pytest.fixture
def write_sound(tmp_path):
    """Write samples into a file below the test's folder and return its path."""

    def write(name, samples, rate=RATE, **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, **options)
        return path

    return write


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = [os.environ.get("SPEECH_EMOTION_CHROMIUM"), *map(shutil.which, names)]
    with playwright.sync_playwright() as started:
        path = next((name for name in found if name), None)
        if path is None and os.path.exists(started.chromium.executable_path):
            path = started.chromium.executable_path
        if path is None:
            pytest.skip(
                "no Chromium: install Debian's chromium, run `playwright install chromium`, or name "
                "the program in SPEECH_EMOTION_CHROMIUM"
            )
        flags = [
            "--no-sandbox",
            "--autoplay-policy=no-user-gesture-required",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = started.chromium.launch(
            executable_path=path, headless=True, args=flags, timeout=PATIENCE_MS
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Open a page; whatever it complains of, or asks of a network, fails the test."""
    complaints = []
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:")) or complaints.append(request.url)
        ),
    )

    def open_page(path, expected=None):
        page.goto(path.as_uri())
        page.expected = expected
        return page

    yield open_page
    context.close()
    assert set(complaints) <= {page.expected}


@pytest.fixture(scope="session")
def audit():
    """Audit a page with axe in light, and in dark at the width of a phone; serious findings fail."""
    axe = pytest.importorskip(
        "axe_core_python.sync_playwright", reason="axe is not installed"
    ).Axe()

    def run(page):
        findings = []
        size = page.viewport_size
        for scheme, width in (("light", size["width"]), ("dark", 390)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": size["height"]})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for finding in axe.run(page)["violations"]:
                if finding["impact"] in {"serious", "critical"}:
                    places = [node["html"][:120] for node in finding["nodes"][:3]]
                    findings.append((scheme, width, finding["id"], finding["help"], places))
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(size)
        assert findings == []

    return run


@pytest.fixture
def audit_file(request):
    """Audit a page that a pipeline has written, if there is a browser."""

    def run(path):
        try:
            visit, audit = map(request.getfixturevalue, ("visit", "audit"))
        except pytest.skip.Exception:
            return
        audit(visit(path))

    return run


LABELS = ("angry", "happy", "neutral", "sad")
THRESHOLD = 0.55


def _windows(call, angry, seconds, outside=()):
    """Tell what a model that hears everything would say, every 2 s."""
    rng = np.random.default_rng(len(call))
    rows = []
    for start in np.arange(1.0, seconds - 5, 2.0):
        if int(start) % 12 == 7:
            continue  # a pause
        heat = any(a <= start < b for a, b in angry)
        shares = rng.dirichlet([14, 2, 3, 1] if heat else [1, 2, 12, 2])
        row = {
            "call": call,
            "channel": 0,
            "channel_role": "customer",
            "start_s": start,
            "end_s": start + 4,
        }
        row |= {f"p_{label}": p for label, p in zip(LABELS, shares, strict=True)}
        row |= {"speech_share": 0.8, "emotion": LABELS[shares.argmax()], "confidence": shares.max()}
        row |= {"score": shares[0], "flagged": bool(heat)}
        if any(a <= start < b for a, b in outside):
            row |= {f"p_{label}": np.nan for label in LABELS}
            row |= {"emotion": "unknown", "confidence": 0.0, "score": 0.0, "flagged": False}
        rows.append(row)
    return pd.DataFrame(rows)


class ScoredCalls(NamedTuple):
    """Tables of scored calls, as the catalog names them."""

    call_emotions: pd.DataFrame
    call_summary: pd.DataFrame
    call_passages: pd.DataFrame
    rejected_recordings: pd.DataFrame


@pytest.fixture(scope="session")
def scored_calls(tmp_path_factory):
    """Four calls as they are scored: two with angry passages, one to review, one calm."""
    from speech_emotion.call_scoring import write_dialogue

    folder = tmp_path_factory.mktemp("recordings")
    planned = {
        "monday/call 1.wav": ([(11, 25), (39, 47)], [(53, 57)], "angry"),
        "monday/Anruf <b>Müller</b> & Söhne.wav": ([(29, 41)], [], "angry"),
        "tuesday/noisy.wav": ([], [(1, 40)], "review"),
        "tuesday/quiet.flac": ([], [], "not_flagged"),
    }
    reasons = {
        "angry": "angry passages: 2 windows and more in a row over the threshold",
        "review": "68% of 22 windows were not scored: noise (15); speech is 3 dB over the noise",
        "not_flagged": "nothing angry: score at most 0.31, flagged from 0.55",
    }
    windows, summaries, passages = [], [], []
    for call, (angry, outside, flag) in planned.items():
        path = write_dialogue(folder / call, angry)
        own = _windows(call, angry, 60, outside)
        windows.append(own)
        place = {"call": call, "path": str(path), "channel": 0}
        found = [
            place
            | {
                "start_s": float(a),
                "end_s": b + 2.0,
                "speech_s": (b + 2.0 - a) * 0.8,
                "peak": own.loc[own["flagged"], "score"].max(),
                "peak_s": own.loc[
                    own["score"].where(own["start_s"].between(a, b)).idxmax(), "start_s"
                ],
            }
            for a, b in angry
        ]
        passages += found
        shares = own["emotion"].value_counts(normalize=True)
        summaries.append(
            place
            | {"channel_role": "customer", "minutes": 1.0, "talk_share": 0.45, "silence_share": 0.1}
            | {f"share_{label}": shares.get(label, 0.0) for label in LABELS}
            | {"longest_angry_s": max((row["speech_s"] for row in found), default=0.0)}
            | {"first_angry_s": min((row["start_s"] for row in found), default=np.nan)}
            | {"trend": 0.12 if angry else -0.03, "flag": flag, "score": own["score"].max()}
            | {"reason": reasons[flag], "threshold": THRESHOLD}
        )
    rejected = pd.DataFrame(
        [("tuesday/notes.wav", str(folder / "tuesday/notes.wav"), "unreadable; <replace> it")],
        columns=["call", "path", "reason"],
    )
    columns = ["call", "path", "channel", "start_s", "end_s", "speech_s", "peak", "peak_s"]
    return ScoredCalls(
        pd.concat(windows, ignore_index=True),
        pd.DataFrame(summaries),
        pd.DataFrame(passages, columns=columns),
        rejected,
    )


THREE_LABELS = np.array(["angry", "happy", "sad"])


@pytest.fixture(scope="session")
def utterances() -> pd.DataFrame:
    """Sixty utterances of twelve speakers, three labels."""
    rng = np.random.default_rng(0)
    n = 180
    return pd.DataFrame(
        {
            "utterance_id": [f"c:{i:03d}" for i in range(n)],
            "corpus": "c",
            "speaker": [f"s{i % 12:02d}" for i in range(n)],
            "sex": ["female" if i % 2 else "male" for i in range(n)],
            "label": THREE_LABELS[rng.permutation(np.arange(n) % 3)],
            "content_hash": [f"{i}" for i in range(n)],
        }
    )


@pytest.fixture(scope="session")
def codes(utterances) -> np.ndarray:
    return pd.Index(THREE_LABELS).get_indexer(pd.Index(utterances["label"]))


@pytest.fixture(scope="session")
def splits(utterances) -> pd.DataFrame:
    return assign_splits(utterances, SplitSettings(folds=3))


@pytest.fixture(scope="session")
def index(utterances) -> pd.DataFrame:
    """Every utterance and one augmented copy of it."""
    recordings = utterances[["utterance_id"]].assign(variant=0)
    return pd.concat([recordings, recordings.assign(variant=1)], ignore_index=True)


@pytest.fixture(scope="session")
def statistics(codes) -> pd.DataFrame:
    """Noise, with the label in one MFCC and one other feature."""
    rng = np.random.default_rng(1)
    names = [f"mfcc_{i:02d}_mean" for i in range(12)] + [f"rms_{i}" for i in range(4)]
    table = pd.DataFrame(rng.normal(size=(360, 16)).astype(np.float32), columns=names)
    both = np.tile(codes, 2)
    table["mfcc_00_mean"] += 2 * (both == 0)
    table["rms_0"] += 2 * (both == 1)
    return table


@pytest.fixture(scope="session")
def sequences(codes) -> np.ndarray:
    """Noise of 24 frames, the label in the level of two channels, the last frames padded."""
    rng = np.random.default_rng(2)
    array = rng.normal(size=(360, 24, 4)).astype(np.float32)
    both = np.tile(codes, 2)
    array[both == 0, :, 0] += 1.5
    array[both == 1, :, 1] += 1.5
    array[:, 18:] = 0
    return array


@pytest.fixture(scope="session")
def uncompiled():
    """Compile nothing: for a tiny network that takes four times as long as its training."""

    @contextmanager
    def run():
        import_keras()
        import tensorflow

        tensorflow.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tensorflow.config.run_functions_eagerly(False)

    return run


@pytest.fixture
def eagerly(uncompiled):
    """Compile nothing during a test."""
    with uncompiled():
        yield


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory):
    """Folder of a Whisper checkpoint with two layers of 16 random coefficients."""
    import json

    from safetensors.numpy import save_file

    width, inner, layers = 16, 32, 2
    config = {
        "model_type": "whisper",
        "d_model": width,
        "num_mel_bins": 80,
        "encoder_layers": layers,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": inner,
        "max_source_positions": 1500,
    }
    shapes = {
        "conv1.weight": (width, 80, 3),
        "conv1.bias": (width,),
        "conv2.weight": (width, width, 3),
        "conv2.bias": (width,),
        "embed_positions.weight": (1500, width),
        "layer_norm.weight": (width,),
        "layer_norm.bias": (width,),
    }
    for layer in (f"layers.{number}" for number in range(layers)):
        for part in "qkv":
            shapes[f"{layer}.self_attn.{part}_proj.weight"] = (width, width)
        for part in ("self_attn.q_proj", "self_attn.v_proj", "self_attn.out_proj"):
            shapes[f"{layer}.{part}.bias"] = (width,)
        shapes[f"{layer}.self_attn.out_proj.weight"] = (width, width)
        for part in ("self_attn_layer_norm", "final_layer_norm"):
            shapes[f"{layer}.{part}.weight"] = shapes[f"{layer}.{part}.bias"] = (width,)
        shapes |= {f"{layer}.fc1.weight": (inner, width), f"{layer}.fc1.bias": (inner,)}
        shapes |= {f"{layer}.fc2.weight": (width, inner), f"{layer}.fc2.bias": (width,)}
    generator = np.random.default_rng(0)
    weights = {
        f"model.encoder.{name}": (generator.normal(size=shape) / np.sqrt(shape[-1])).astype("f2")
        for name, shape in shapes.items()
    }
    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder
