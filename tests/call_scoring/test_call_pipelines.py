import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner

from speech_emotion.call_scoring import CallSettings, find_recordings, steps
from speech_emotion.cli import cli
from speech_emotion.models import EmotionPredictor
from speech_emotion.runtime import ShardStore


@pytest.fixture
def run(run_kedro):
    """Run a pipeline with data below a folder."""
    return lambda data_dir, pipeline, **params: run_kedro(
        data_dir, params=params, pipeline_names=[pipeline]
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory, predictor):
    folder = tmp_path_factory.mktemp("model") / "predictor"
    predictor.save(folder)
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, dialogue):
    folder = tmp_path_factory.mktemp("recordings")
    angry, _ = dialogue(["neutral"] * 6 + ["angry"] * 10, rate=8000)
    calm, _ = dialogue(["neutral"] * 8, rate=8000)
    quiet = 1e-3 * np.random.default_rng(0).standard_normal(len(angry))
    (folder / "monday").mkdir()
    soundfile.write(folder / "monday/angry.wav", np.stack([angry, quiet], axis=1), 8000)
    soundfile.write(folder / "calm.flac", calm, 8000)
    (folder / "letter.wav").write_text("Dear Sirs")
    return folder


@pytest.mark.slow
def test_folder_of_calls_is_scored_and_resumed(
    tmp_path, run, model, recordings, caplog, monkeypatch
):
    monkeypatch.setattr(steps, "SHARD_SIZE", 2)
    options = {
        "recordings_dir": str(recordings),
        "model_uri": str(model),
        "calls": {"n_jobs": 1, "one_channel": "customer"},
    }
    with caplog.at_level(logging.INFO):
        run(tmp_path, "call_scoring", **options)
    output = tmp_path / "07_model_output"
    summary = pd.read_parquet(output / "calls/summary.parquet").set_index("call")
    assert summary["flag"].to_dict() == {"monday/angry.wav": "angry", "calm.flac": "not_flagged"}
    assert summary["channel_role"].to_dict() == {
        "monday/angry.wav": "customer",
        "calm.flac": "customer",
    }
    passages = pd.read_parquet(output / "calls/passages.parquet")
    assert set(passages["call"]) == {"monday/angry.wav"}
    emotions = pd.read_parquet(output / "calls/emotions.parquet")
    assert set(emotions["call"]) == set(summary.index)
    rejected = pd.read_csv(output / "calls/rejected.csv")
    assert rejected["call"].tolist() == ["letter.wav"]
    assert "1 angry" in caplog.text
    assert "1 rejected" in caplog.text
    assert "1 calls on one channel; the customer is known by: 1 setting" in caplog.text
    page = tmp_path / "08_reporting/calls/calls.html"
    assert "monday/angry.wav" in page.read_text()
    assert "SYNTHETIC MODEL" in page.read_text()
    assert "trained on the SYNTHETIC sample corpus" in caplog.text
    assert len(list(page.parent.glob("sounds/**/*.mp3"))) == len(summary)

    shards = {
        path.name: pd.read_parquet(path) for path in (output / "calls/cache/window").iterdir()
    }
    assert sorted(table["key"].nunique() for table in shards.values()) == [
        1,
        1,
    ]  # a text file has none
    before = {
        path: path.stat().st_mtime_ns for path in (output / "calls/cache").glob("*/*.parquet")
    }
    assert len(before) == 6  # windows, channels and inspections
    # A shard whose channels are lost, as after an interruption, and a recording that changed are done again.
    lost = next(name for name, table in shards.items() if "monday/angry.wav" in set(table["call"]))
    (output / "calls/cache/channel" / lost).unlink()
    os.utime(recordings / "calm.flac", ns=(1, 1))
    caplog.clear()
    with caplog.at_level(logging.INFO):
        run(tmp_path, "call_scoring", **options)
    assert "1 of 3 recordings were scored before" in caplog.text
    after = {path: path.stat().st_mtime_ns for path in (output / "calls/cache").glob("*/*.parquet")}
    assert (
        len(after) == 8
    )  # one more inspection, windows and channels; the windows of the lost shard are of no shard now
    kept = [path for path in before if path.name != lost]
    assert [after[path] for path in kept] == [before[path] for path in kept]
    pd.testing.assert_frame_equal(emotions, pd.read_parquet(output / "calls/emotions.parquet"))
    pd.testing.assert_frame_equal(
        summary, pd.read_parquet(output / "calls/summary.parquet").set_index("call")
    )
    # Other settings have their own shards.
    run(tmp_path, "call_scoring", **options | {"calls": {"n_jobs": 1, "min_call_s": 4.0}})
    assert len(list((output / "calls/cache/channel").iterdir())) == 4


@pytest.fixture
def scoring(recordings, model, tmp_path):
    """Roles in the recordings, functions that score and collect them, and their cache."""
    predictor = EmotionPredictor.load(model)
    settings = CallSettings(n_jobs=1, one_channel="customer")
    cache, found = ShardStore(f"{tmp_path}/cache"), find_recordings(recordings)
    metadata, _ = steps.read_metadata(found, None, settings)
    index = steps.index_recordings(found, predictor, settings)
    steps.inspect_calls(index, predictor, cache, settings)
    index = steps.identify_customers(index, metadata, predictor, cache, settings)

    def score(index=index):
        steps.score_calls(index, {}, predictor, cache, settings)

    def collect(index=index):
        known = metadata[metadata["call"].isin(index["call"])]
        collected = steps.collect_calls(index, known, {}, predictor, cache, settings)
        emotions, *tables = collected
        return pd.concat(emotions, ignore_index=True), *tables

    return index, score, collect, cache


def test_calls_before_a_failure_are_kept(scoring, monkeypatch):
    index, score, collect, cache = scoring
    real = steps._score

    def fails_at_the_last(path, *arguments):
        if path == index["path"].iloc[-1]:
            raise MemoryError
        return real(path, *arguments)

    monkeypatch.setattr(steps, "_score", fails_at_the_last)
    with pytest.raises(MemoryError):
        score()
    channels = cache.within("channel")
    (kept,) = map(channels.load, channels.names())
    assert set(kept["call"]) == set(index["call"].iloc[:-1])
    with pytest.raises(ValueError, match=r"1 of \d results, that of .*angry\.wav among them"):
        collect()


def without_a_window(path):
    pd.read_parquet(path).iloc[1:].to_parquet(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize(
    ("kind", "damage"), [("window", without_a_window), ("window", cut), ("channel", cut)]
)
def test_damaged_shards_are_set_aside_and_made_anew(scoring, caplog, kind, damage):
    _, score, collect, cache = scoring
    score()
    before = collect()
    (name,) = cache.within(kind).names()
    path = Path(f"{cache.path}/{kind}/{name}.parquet")
    damage(path)
    caplog.clear()
    score()
    assert f"{path} was damaged" in caplog.text
    assert path.with_name(f"_{path.name}.damaged").exists()
    for one, other in zip(before, collect(), strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("size", [1, 2, 64])
def test_calls_are_put_together_from_shards_of_any_size_and_order(scoring, monkeypatch, size):
    index, score, collect, _ = scoring
    monkeypatch.setattr(steps, "SHARD_SIZE", size)
    score(index.iloc[::-1])
    emotions, summary, passages, parties, rejected = collect()
    assert summary["call"].tolist() == ["calm.flac", "monday/angry.wav"]
    assert emotions["call"].drop_duplicates().tolist() == summary["call"].tolist()
    assert emotions.groupby("call")["start_s"].is_monotonic_increasing.all()
    assert set(passages["call"]) == {"monday/angry.wav"}
    assert rejected[["call"]].to_numpy().tolist() == [["letter.wav"]]
    assert "key" not in emotions
    assert parties["channel_role"].tolist() == ["customer", "customer", "agent"]
    assert parties["scored"].tolist() == [True, True, False]
    only = index[index["call"] == "letter.wav"]
    emotions, summary, passages, parties, rejected = collect(only)
    assert [len(table) for table in (emotions, summary, passages, parties)] == [0, 0, 0, 0]
    assert len(rejected) == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "recordings_dir=PATH"),
        ({"recordings_dir": "/nowhere"}, "recordings_dir=PATH"),
        ({"recordings_dir": "RECORDINGS", "model_uri": "models:/none@champion"}, "model_uri=URI"),
        ({"recordings_dir": "RECORDINGS", "model_uri": "RECORDINGS"}, "holds no predictor"),
        ({"calls": {"windows": {"step_s": 9.0}}}, "would never be scored"),
    ],
)
def test_wrong_parameters_stop_the_run_with_a_remedy(tmp_path, run, recordings, params, message):
    given = {
        key: str(recordings) if value == "RECORDINGS" else value for key, value in params.items()
    }
    with pytest.raises(Exception, match=message):
        run(tmp_path, "call_scoring", **given)


@pytest.mark.slow
def test_flags_are_measured_on_the_sample_corpus(tmp_path, run, model):
    run(tmp_path, "ingestion")
    test_calls = {"calls": 4, "minutes": 0.5, "snr_db": [20.0]}
    run(tmp_path, "call_evaluation", model_uri=str(model), test_calls=test_calls)
    table = pd.read_csv(tmp_path / "08_reporting/call_evaluation.csv")
    assert table["synthetic"].all()
    assert set(table["condition"]) == {"clean", "telephone"}
    assert (table["n_calls"] == 4).all()
    assert "SYNTHETIC" in (tmp_path / "08_reporting/call_evaluation.json").read_text()
    mixed = {"calls": 2, "minutes": 0.5, "snr_db": [20.0]}
    run(tmp_path, "separation_evaluation", model_uri=str(model), mixed_calls=mixed)
    table = pd.read_csv(tmp_path / "08_reporting/separation.csv")
    assert table["synthetic"].all()
    assert set(table["voice"]) == {"MFCC", "MFCC, projection"}  # the model has no encoder
    assert (table["n_calls"] == 2).all()
    assert table["confused_share"].between(0, 0.5).all()


def test_demo_prints_windows(recordings, model):
    command = [
        sys.executable,
        "-m",
        "speech_emotion",
        "stream",
        "--model",
        str(model),
        "--speed",
        "0",
    ]
    call = str(recordings / "monday/angry.wav")
    done = subprocess.run([*command, call], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) > 3
    assert "FLAG" in lines[-1]
    assert "FLAG" not in lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["letter.wav"], "unreadable"), (["calm.flac", "--channel", "1"], "numbered from 0")],
)
def test_stream_refuses_unusable_recordings(recordings, model, arguments, message):
    name, *options = arguments
    command = ["stream", str(recordings / name), "--model", str(model), *options]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 1
    assert message in done.output
    assert "Traceback (most recent call last)" not in done.output
