"""Download from a server on this machine that speaks the protocol of the Hugging Face hub."""

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants, file_download

from speech_emotion.encoders import EncoderMissing, find_encoder

NAME = "acme/tiny-whisper"
COMMIT, OTHER_COMMIT = "1" * 40, "2" * 40
PATIENCE_S = 600  # a busy machine fails no test


class Hub(ThreadingHTTPServer):
    """Models on a hub.

    Attributes:
        files: Content of each file of the only model.
        revisions: Commit of each branch.
        requests: Method and path of all requests so far.
        at_most: Bytes after which a response breaks off.
        sent: Content in place of the one whose digest is announced.
        status: Status of all responses, if not None.
    """

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.revisions = files, {"main": COMMIT, "v2": OTHER_COMMIT}
        self.requests, self.at_most, self.sent, self.status = [], None, {}, None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.respond(body=True)

    def do_HEAD(self):
        self.respond(body=False)

    def refuse(self, status, code=""):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def respond(self, *, body):
        hub = self.server
        hub.requests.append((self.command, self.path))
        owner_and_name, _, rest = self.path[1:].partition("/resolve/")
        revision, _, file = rest.partition("/")
        commit = hub.revisions.get(revision, revision)
        if hub.status is not None:
            self.refuse(hub.status)
        elif owner_and_name == "acme/gated":
            self.refuse(403, "GatedRepo")
        elif owner_and_name != NAME:
            self.refuse(401, "RepoNotFound")
        elif commit not in hub.revisions.values():
            self.refuse(404, "RevisionNotFound")
        elif file not in hub.files:
            self.refuse(404, "EntryNotFound")
        else:
            self.send_file(file, commit, body=body)

    def send_file(self, file, commit, *, body):
        hub, content = self.server, self.server.files[file]
        large = file.endswith(".safetensors")
        etag = (hashlib.sha256 if large else hashlib.sha1)(content).hexdigest()
        sent = hub.sent.get(file, content)
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if first else 200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{etag}"')
        if large:
            self.send_header("X-Linked-Etag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(len(content)))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(sent) - 1}/{len(sent)}")
        self.send_header("Content-Length", str(len(sent) - first))
        self.end_headers()
        if body:
            self.wfile.write(sent[first:][: hub.at_most])
            self.wfile.flush()


@pytest.fixture
def checkpoint(write_checkpoint):
    return write_checkpoint("published")


@pytest.fixture
def hub(checkpoint, tmp_path, monkeypatch):
    """A running hub, and the library's settings for it."""
    server = Hub({path.name: path.read_bytes() for path in checkpoint.iterdir()})
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    url = "{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{server.url}/{url}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)
    huggingface_hub.close_session()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
    huggingface_hub.close_session()


def stop(hub):
    hub.shutdown()
    hub.server_close()


def weights_in_cache(tmp_path):
    (path,) = (tmp_path / "cache").glob("models--*/snapshots/*/model.safetensors")
    return path


def test_download(hub, checkpoint, noise):
    encoder = find_encoder(NAME)
    expected = find_encoder(str(checkpoint))
    np.testing.assert_array_equal(encoder.encode(noise(0.5)), expected.encode(noise(0.5)))
    assert encoder.card.name == NAME
    assert encoder.card.source == f"https://huggingface.co/{NAME}"
    assert encoder.card.revision == COMMIT
    assert encoder.card.license == "unknown"
    # Nothing but the two files is requested: no usage is reported.
    files = {path.rsplit("/", 1)[-1] for _, path in hub.requests}
    assert files == {"config.json", "model.safetensors"}
    assert all(path.startswith(f"/{NAME}/resolve/") for _, path in hub.requests)


def test_revision(hub):
    assert find_encoder(NAME, revision="v2").card.revision == OTHER_COMMIT
    assert find_encoder(NAME, revision=COMMIT).card.revision == COMMIT
    # Both files are of one commit, even if a branch moves between the downloads.
    paths = [path for _, path in hub.requests if path.endswith("model.safetensors")]
    assert {path.split("/")[-2] for path in paths} == {COMMIT, OTHER_COMMIT}


def test_known_encoders_are_pinned(hub):
    with pytest.raises(EncoderMissing, match="the hub has no such model"):
        find_encoder("openai/whisper-base")
    assert hub.requests[0][1] == (
        "/openai/whisper-base/resolve/e37978b90ca9030d5170a5c07aadb050351a65bb/config.json"
    )


def test_second_load_needs_no_server(hub, monkeypatch, noise):
    first = find_encoder(NAME, revision=COMMIT)
    stop(hub)
    again = find_encoder(NAME, revision=COMMIT)
    assert again.digest == first.digest
    # A branch is looked up first, and read from the cache if the hub does not answer.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    with pytest.raises(EncoderMissing, match="not in the cache"):
        find_encoder(NAME)


def test_branch_without_server(hub):
    first = find_encoder(NAME)
    stop(hub)
    assert find_encoder(NAME).digest == first.digest


def test_offline_without_cache(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    message = (
        f"The encoder {NAME} cannot be loaded: config.json is not in the cache, and the hub cannot be "
        "reached. Connect to the network, unset HF_HUB_OFFLINE, or give a folder"
    )
    with pytest.raises(EncoderMissing, match=message):
        find_encoder(NAME)
    assert not hub.requests


def test_server_cannot_be_reached(hub):
    stop(hub)
    with pytest.raises(EncoderMissing, match="the hub cannot be reached"):
        find_encoder(NAME)


def test_hub_is_down(hub):
    hub.status = 503
    with pytest.raises(EncoderMissing, match="the hub cannot be reached"):
        find_encoder(NAME)


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("acme/unknown", None, "the hub has no such model; check the name"),
        ("acme/gated", None, "its owner grants access on request: ask there, and set HF_TOKEN"),
        (NAME, "v3", "it has no revision 'v3'"),
        ("acme/x..y", None, "HFValidationError"),
    ],
)
def test_names_that_the_hub_does_not_have(hub, name, revision, message):
    with pytest.raises(EncoderMissing, match=f"The encoder {name} cannot be loaded: .*{message}"):
        find_encoder(name, revision=revision)


def test_checkpoints_in_another_format(hub):
    del hub.files["model.safetensors"]
    with pytest.raises(EncoderMissing, match=r"has no file model\.safetensors; only .*safetensors"):
        find_encoder(NAME)


def test_other_architectures_are_refused_before_their_weights_are_downloaded(hub):
    hub.files["config.json"] = json.dumps({"model_type": "hubert"}).encode()
    with pytest.raises(ValueError, match="model_type is 'hubert'"):
        find_encoder(NAME)
    assert not any(path.endswith("model.safetensors") for _, path in hub.requests)


def test_half_a_download(hub, tmp_path, checkpoint, caplog):
    caplog.set_level(logging.CRITICAL, logger="huggingface_hub")
    hub.at_most = 100
    with pytest.raises(EncoderMissing, match=r"downloading config\.json failed .*run again"):
        find_encoder(NAME)
    hub.at_most = 1000
    with pytest.raises(EncoderMissing, match=r"downloading model\.safetensors failed .*run again"):
        find_encoder(NAME)
    assert not list((tmp_path / "cache").glob("**/model.safetensors"))
    hub.at_most = None
    assert find_encoder(NAME).model == find_encoder(str(checkpoint)).model


def test_wrong_content(hub, tmp_path, checkpoint):
    content = bytearray(hub.files["model.safetensors"])
    content[-1] ^= 1
    hub.sent["model.safetensors"] = bytes(content)
    for _ in range(2):  # what is in the cache is checked, too
        with pytest.raises(
            EncoderMissing, match=r"is damaged: .* Delete /.* and run again"
        ) as info:
            find_encoder(NAME)
    hub.sent.clear()
    blob = weights_in_cache(tmp_path).resolve()
    assert f"Delete {blob} and run again" in str(info.value)
    blob.unlink()
    assert find_encoder(NAME).model == find_encoder(str(checkpoint)).model


def test_blobs_in_shared_storage(hub, tmp_path):
    """Newer versions of the library store a blob once, under another name, and link to it."""
    first = find_encoder(NAME, revision=COMMIT)
    blob = weights_in_cache(tmp_path).resolve()
    shared = tmp_path / "cache" / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(shared)
    assert find_encoder(NAME, revision=COMMIT).digest == first.digest


def test_caches_without_links(hub, tmp_path):
    """As on Windows without developer mode."""
    first = find_encoder(NAME, revision=COMMIT)
    path = weights_in_cache(tmp_path)
    path.resolve().rename(tmp_path / "moved")
    path.unlink()
    (tmp_path / "moved").rename(path)
    assert find_encoder(NAME, revision=COMMIT).digest == first.digest


def test_environment_variables(hub, tmp_path):
    """A process of its own: HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE, without setting DO_NOT_TRACK."""
    code = (
        "from speech_emotion.encoders import EncoderMissing, find_encoder\n"
        f"for name in ({NAME!r}, 'acme/other'):\n"
        "    try: print(find_encoder(name).card.revision)\n"
        "    except EncoderMissing as error: print(error)"
    )
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("HF_") and "TRACK" not in key and "TELEMETRY" not in key
    }
    environment = kept | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}

    def load(**changes):
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment | changes,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )

    first = load(TQDM_POSITION="-1")  # shows progress although this is no terminal
    commit, message = first.stdout.splitlines()
    assert commit == COMMIT
    assert "the hub has no such model" in message
    assert "model.safetensors" in first.stderr
    assert {path.split("/")[1] for _, path in hub.requests} == {"acme"}
    hub.requests.clear()
    commit, message = load(HF_HUB_OFFLINE="1").stdout.splitlines()
    assert commit == COMMIT
    assert "unset HF_HUB_OFFLINE" in message
    assert not hub.requests
