"""Recordings in object stores: of a server, and of a file system that fails."""

import io
import tracemalloc
from typing import ClassVar

import fsspec
import numpy as np
import pandas as pd
import pytest
import soundfile
import upath.registry
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

from speech_emotion.audio import AudioError, open_recording, read_samples
from speech_emotion.call_scoring import (
    CallSettings,
    find_recordings,
    score_recording,
    steps,
)
from speech_emotion.cli import cli
from speech_emotion.models import EmotionPredictor
from speech_emotion.runtime import FetchError, ShardStore
from speech_emotion.runtime.storage import BLOCK_BYTES

RATE = 8000


class Fetches(MemoryFileSystem):
    """Files in memory that are fetched in blocks, as from an object store that can fail."""

    protocol = "fetches"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]
    sizes: ClassVar = []
    works_until = float("inf")

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("fetches://").strip("/")

    def _open(self, path, mode="rb", block_size=None, **options):
        if mode != "rb":
            return super()._open(path, mode, **options)
        return Fetched(self, path, mode, block_size=block_size)


class Fetched(AbstractBufferedFile):
    def _fetch_range(self, start, end):
        if end > Fetches.works_until:
            raise ConnectionResetError("connection lost")
        Fetches.sizes.append(end - start)
        return self.fs.store[self.path].getvalue()[start:end]


@pytest.fixture
def fetches(monkeypatch):
    fsspec.register_implementation("fetches", Fetches, clobber=True)
    upath.registry.register_implementation("fetches", upath.UPath, clobber=True)
    monkeypatch.setattr(Fetches, "store", {})
    monkeypatch.setattr(Fetches, "sizes", [])
    monkeypatch.setattr(Fetches, "works_until", float("inf"))
    return Fetches()


@pytest.fixture(scope="module")
def call(dialogue):
    customer, _ = dialogue(["neutral"] * 4 + ["angry"] * 8, rate=RATE)
    return np.stack([customer, 1e-3 * customer[::-1]], axis=1)


def encoded(samples, name, rate=RATE):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=name.rsplit(".", 1)[1].upper())
    return buffer.getvalue()


NAMES = ("a.wav", "b.flac", "monday/c d.mp3", "monday/é#1.ogg")


def test_remote_recordings_are_scored_like_local_ones(fetches, tmp_path, predictor, call):
    for name in (*NAMES, "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        content = encoded(call, name) if name in NAMES else b"words"
        (tmp_path / name).write_bytes(content)
        fetches.pipe(f"/bucket/{name}", content)
    here, there = find_recordings(tmp_path), find_recordings("fetches://bucket")
    columns = ["call", "size"]
    pd.testing.assert_frame_equal(here[columns], there[columns])
    assert there["version"].str.len().min() > 4
    for one, other in zip(here.itertuples(), there.itertuples(), strict=True):
        scored = [
            score_recording(path, predictor, CallSettings()) for path in (one.path, other.path)
        ]
        assert scored[1].channels["reason"].tolist() == ["", ""]
        pd.testing.assert_frame_equal(*(each.windows.drop(columns="call") for each in scored))
    fetches.pipe("/bucket/a.wav", encoded(call, "a.wav"))
    again = find_recordings("fetches://bucket")
    assert (again["version"] != there["version"]).tolist() == [True, False, False, False]


def test_memory_does_not_grow_with_the_recording(fetches):
    samples = np.zeros((30 * 60 * RATE, 2), dtype=np.int16)
    fetches.pipe("/bucket/long.wav", encoded(samples, "long.wav"))
    fetches.sizes.clear()
    tracemalloc.start()
    with open_recording("fetches://bucket/long.wav") as recording:
        count = sum(len(block) for block in recording.blocks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == len(samples)
    assert max(fetches.sizes) < 1.1 * BLOCK_BYTES
    assert peak < 30e6  # the file has 58 MB


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1", "Git-LFS pointer"),
        (b"Dear Sirs", "unreadable"),
        ("half", "truncated: .* by its header"),
    ],
)
def test_bad_recordings_are_rejected_with_a_reason(fetches, predictor, call, content, reason):
    if content == "half":
        content = encoded(call, "a.wav")[: len(call)]
    if content is not None:
        fetches.pipe("/bucket/a.wav", content)
    scored = score_recording("fetches://bucket/a.wav", predictor, CallSettings())
    assert scored.unread == (content is None)  # a file that is back is scored
    assert scored.channels["path"].tolist() == ["fetches://bucket/a.wav"]
    with pytest.raises(AudioError, match=reason):
        raise AudioError("a", scored.channels["reason"].iloc[0])


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize("works_until", [0.0, 0.6])
def test_a_failing_store_is_not_mistaken_for_the_end_of_a_file(
    fetches, predictor, call, monkeypatch, name, works_until
):
    content = encoded(call, name)
    fetches.pipe(f"/bucket/{name}", content)
    monkeypatch.setattr("speech_emotion.runtime.storage.BLOCK_BYTES", 1000)
    monkeypatch.setattr(Fetches, "works_until", works_until * len(content))
    with pytest.raises(FetchError, match="connection lost"):  # noqa: SIM117
        with open_recording(f"fetches://bucket/{name}") as recording:
            list(recording.blocks())
    with pytest.raises(AudioError, match="connection lost"):
        read_samples(f"fetches://bucket/{name}")
    scored = score_recording(f"fetches://bucket/{name}", predictor, CallSettings())
    assert scored.unread
    assert "run it again" in scored.channels["reason"].iloc[0]


def test_recordings_that_could_not_be_fetched_are_scored_in_the_next_run(
    fetches, predictor, call, tmp_path
):
    predictor.save(tmp_path / "model")
    predictor, settings = EmotionPredictor.load(tmp_path / "model"), CallSettings(n_jobs=1)
    for name in ("long.wav", "short.wav"):
        samples = call if name == "short.wav" else np.tile(call, (2, 1))
        fetches.pipe(f"/bucket/{name}", encoded(samples, name))
    found, cache = find_recordings("fetches://bucket"), ShardStore(f"{tmp_path}/cache")
    index = steps.index_recordings(found, predictor, settings)
    metadata, _ = steps.read_metadata(found, None, settings)

    def score():
        steps.inspect_calls(index, predictor, cache, settings)
        roles = steps.identify_customers(index, metadata, predictor, cache, settings)
        steps.score_calls(roles, {}, predictor, cache, settings)
        return steps.collect_calls(roles, metadata, {}, predictor, cache, settings)

    Fetches.works_until = 1.5 * fetches.size("/bucket/short.wav")
    _, summary, _, _, rejected = score()
    assert summary["call"].tolist() == ["short.wav"]
    assert rejected["call"].tolist() == ["long.wav"]
    assert "connection lost" in rejected["reason"].iloc[0]
    Fetches.works_until = float("inf")
    _, summary, _, _, rejected = score()
    assert summary["call"].tolist() == ["long.wav", "short.wav"]
    assert rejected.empty
    inspections = cache.within("inspection")
    assert sorted(len(inspections.load(name)) for name in inspections.names()) == [1, 2]


def test_a_file_that_is_replaced_while_being_read_is_rejected(fetches, call):
    fetches.pipe("/bucket/a.wav", encoded(np.tile(call, (4, 1)), "a.wav"))
    with open_recording("fetches://bucket/a.wav") as recording:
        blocks = recording.blocks()
        next(blocks)
        fetches.pipe("/bucket/a.wav", encoded(np.tile(call, (4, 1)), "a.wav"))
        with pytest.raises(AudioError, match="changed while being read"):
            list(blocks)


def test_stream_plays_a_url(fetches, predictor, call, tmp_path):
    predictor.save(tmp_path / "model")
    fetches.pipe("/bucket/a.wav", encoded(call, "a.wav"))
    command = [
        "stream",
        "fetches://bucket/a.wav",
        "--model",
        str(tmp_path / "model"),
        "--speed",
        "0",
    ]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "FLAG" in done.output


def test_an_empty_folder_raises_an_error_with_a_remedy(fetches):
    with pytest.raises(FileNotFoundError, match=r"contains no recording .*recordings_dir=PATH"):
        find_recordings("fetches://bucket")


@pytest.mark.slow
def test_calls_and_results_lie_in_an_object_store(store, run_kedro, tmp_path, predictor, call):
    files, bucket = store
    predictor.save(tmp_path / "model")
    for name in NAMES:
        (tmp_path / "calls" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "calls" / name).write_bytes(encoded(call, name))
    (tmp_path / "calls/letter.wav").write_text("Dear Sirs")
    files.put(f"{tmp_path}/calls/", f"{bucket}/calls", recursive=True)
    shared = {"model_uri": str(tmp_path / "model"), "call_report": {"sounds": "all"}}
    here = {"recordings_dir": str(tmp_path / "calls"), "calls": {"n_jobs": 1}}
    run_kedro(tmp_path / "here", params=shared | here, pipeline_names=["call_scoring"])
    there = {"recordings_dir": f"s3://{bucket}/calls", "calls": {"n_jobs": 2}}
    run_kedro(f"s3://{bucket}/run", params=shared | there, pipeline_names=["call_scoring"])
    for name in ("emotions", "summary", "passages"):
        path = f"07_model_output/calls/{name}.parquet"
        tables = [
            pd.read_parquet(tmp_path / "here" / path),
            pd.read_parquet(f"s3://{bucket}/run/{path}"),
        ]
        assert len(tables[0]) > 0
        pd.testing.assert_frame_equal(*(t.drop(columns="path", errors="ignore") for t in tables))
    rejected = pd.read_csv(f"s3://{bucket}/run/07_model_output/calls/rejected.csv")
    assert rejected["call"].tolist() == ["letter.wav"]
    made = [name.removeprefix(f"{bucket}/run/") for name in files.find(f"{bucket}/run")]
    sounds = pd.read_parquet(f"s3://{bucket}/run/08_reporting/calls/sounds.parquet")
    assert (sounds["error"] == "").all()
    page = {
        f"08_reporting/calls/{name}{suffix}"
        for name in sounds["name"]
        for suffix in (".mp3", ".js")
    }
    assert page <= set(made)
    assert not [name for name in made if "partial" in name]
