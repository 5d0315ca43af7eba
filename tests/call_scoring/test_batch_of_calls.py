"""The command ``batch`` scores calls by day, with the results of the pipeline, and does nothing twice."""

import dataclasses
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from speech_emotion.batch import score_folder
from speech_emotion.call_scoring import CallSettings, find_recordings, steps, store
from speech_emotion.cli import cli
from speech_emotion.models import EmotionPredictor, PackedPredictor
from speech_emotion.reporting.calls import CallReportSettings
from speech_emotion.review import ReviewSettings, purge_folder
from speech_emotion.runtime import ShardStore, StoreHeld, holding
from speech_emotion.settings import PROJECT

RATE = 8000
SETTINGS = CallSettings(n_jobs=1)
TABLES = ("emotions", "summary", "passages", "parties")
METADATA = "recording,agent,started\nsecond.wav,Ada,2026-11-26T10:00:00\nnobody.wav,Bob,\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory, predictor):
    folder = tmp_path_factory.mktemp("model") / "predictor"
    predictor.save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def call(dialogue):
    angry, _ = dialogue(["angry"] * 5, rate=RATE)
    calm = dialogue(["neutral"] * 3, rate=RATE)[0]
    calm = np.resize(calm, len(angry))
    return {"angry": np.stack([angry, 1e-3 * calm], 1), "calm": np.stack([calm, 1e-3 * angry], 1)}


@pytest.fixture
def recordings(tmp_path, call):
    folder = tmp_path / "calls"
    (folder / "2026/11/25").mkdir(parents=True)
    soundfile.write(folder / "2026/11/25/first.wav", call["angry"], RATE)
    soundfile.write(folder / "second.wav", call["calm"], RATE)
    soundfile.write(folder / "20261126_third.wav", call["angry"], RATE)
    (folder / "20261126_letter.wav").write_text("Dear Sirs")
    (tmp_path / "metadata.csv").write_text(METADATA)
    return folder


def by_pipeline(recordings, predictor, cache):
    """Return the tables that the steps of the pipeline make of the whole folder."""
    found = find_recordings(recordings)
    metadata, _ = steps.read_metadata(found, METADATA.encode(), SETTINGS)
    index = steps.index_recordings(found, predictor, SETTINGS)
    roles = steps.identify_customers(
        steps.inspect_calls(index, predictor, cache, SETTINGS), metadata, predictor, cache, SETTINGS
    )
    scored = steps.score_calls(roles, {}, predictor, cache, SETTINGS)
    windows, *tables = steps.collect_calls(scored, metadata, {}, predictor, cache, SETTINGS)
    return [pd.concat(windows, ignore_index=True), *tables]


def read(results, name):
    paths = sorted(Path(results).glob(f"model=*/day=*/07_model_output/calls/{name}.parquet"))
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


def sort(table):
    columns = [name for name in ("call", "channel", "start_s") if name in table]
    return table.sort_values(columns, ignore_index=True)


def times(results):
    files = (path for path in Path(results).rglob("*") if path.is_file() and path.name != ".held")
    return {path: path.stat().st_mtime_ns for path in files}


def test_days_have_the_tables_of_the_pipeline_and_a_second_run_adds_what_is_new(
    recordings, model, call, tmp_path, monkeypatch
):
    results = tmp_path / "results"
    given = {"model_uri": model, "settings": SETTINGS, "report": CallReportSettings(sounds="none")}
    table = str(tmp_path / "metadata.csv")
    days = score_folder(str(recordings), str(results), metadata=table, **given)
    assert days["day"].tolist() == ["2026-11-25", "2026-11-26"]
    assert days[["calls", "scored", "rejected"]].to_numpy().tolist() == [[1, 1, 0], [3, 3, 1]]
    cache = ShardStore(str(tmp_path / "cache"))
    expected = by_pipeline(recordings, EmotionPredictor.load(Path(model)), cache)
    for name, other in zip(TABLES, expected, strict=False):
        pd.testing.assert_frame_equal(sort(read(results, name)), sort(other))
    assert read(results, "summary").set_index("call")["agent"]["second.wav"] == "Ada"
    (folder,) = results.iterdir()
    assert "nobody.wav" in (folder / "rejected_metadata.csv").read_text()
    assert "second.wav" not in (folder / "rejected_metadata.csv").read_text()
    rejected = pd.read_csv(folder / "day=2026-11-26/07_model_output/calls/rejected.csv")
    assert rejected["call"].tolist() == ["20261126_letter.wav"]
    page = folder / "day=2026-11-25/08_reporting/calls/calls.html"
    assert "first.wav" in page.read_text()
    assert "day=2026-11-25/08_reporting/calls/calls.html" in (folder / "index.html").read_text()

    before = times(results)
    assert score_folder(str(recordings), str(results), metadata=table, **given).empty
    assert times(results) == before

    # One new call, one deleted and one replaced: one day is done again, and two calls are scored.
    scored, real = [], steps._score
    monkeypatch.setattr(
        steps, "_score", lambda path, *rest: scored.append(path) or real(path, *rest)
    )
    (recordings / "second.wav").unlink()
    soundfile.write(recordings / "20261126_third.wav", call["calm"], RATE)
    soundfile.write(recordings / "20261126_fourth.wav", call["angry"], RATE)
    days = score_folder(str(recordings), str(results), **given)
    assert days.to_dict("records") == [
        {"day": "2026-11-26", "calls": 4, "scored": 2, "rejected": 1, "unread": 0}
    ]
    assert sorted(Path(path).name for path in scored) == [
        "20261126_fourth.wav",
        "20261126_third.wav",
    ]
    after = times(results)
    first = [path for path in before if "day=2026-11-25" in str(path)]
    assert [after[path] for path in first] == [before[path] for path in first]
    summary = read(results, "summary").set_index("call")
    assert sorted(summary.index) == [
        "2026/11/25/first.wav",
        "20261126_fourth.wav",
        "20261126_third.wav",
        "second.wav",
    ]
    assert summary["agent"]["second.wav"] == "Ada"  # kept, although the table was not given
    assert summary["flag"]["20261126_third.wav"] != "angry"
    # The shards of the day were joined: one file of each kind.
    shards = list((folder / "day=2026-11-26/07_model_output/calls/cache").rglob("*.parquet"))
    assert sorted(path.parent.name for path in shards) == ["channel", "inspection", "window"]

    # A damaged index, and a lost table of windows, are made anew from the cache.
    lost = folder / "day=2026-11-25/07_model_output/calls/index.parquet"
    lost.write_bytes(b"PAR1")
    scored.clear()
    days = score_folder(str(recordings), str(results), **given)
    assert days["day"].tolist() == ["2026-11-25"]
    assert scored == []


def test_a_call_is_erased_from_its_day_alone_while_no_run_uses_the_results(
    recordings, model, tmp_path
):
    results = tmp_path / "results"
    given = {"model_uri": model, "settings": SETTINGS, "report": CallReportSettings(sounds="none")}
    score_folder(str(recordings), str(results), **given)
    (folder,) = results.iterdir()
    before = times(folder / "day=2026-11-25")
    erase = partial(purge_folder, results, None, ReviewSettings(), call="20261126_third.wav")
    with holding(str(folder), "scoring"), pytest.raises(StoreHeld, match="scoring"):
        erase(report=print)
    lines = []
    assert erase(report=lines.append) == []
    removed = [line for line in lines if "removed " in line]
    assert any("day=2026-11-26/07_model_output/calls/index.parquet" in line for line in removed)
    assert not any("day=2026-11-25" in line for line in removed)
    assert times(folder / "day=2026-11-25") == before
    for path in folder.rglob("*"):
        assert path.is_dir() or b"20261126_third" not in path.read_bytes(), path
    assert "20261126_third.wav" not in set(read(results, "index")["call"])
    (recordings / "20261126_third.wav").unlink()
    assert score_folder(str(recordings), str(results), **given).empty
    assert "20261126_third.wav" not in set(read(results, "summary")["call"])


def test_what_cannot_be_read_is_tried_again_and_settings_have_their_own_results(
    recordings, model, tmp_path, monkeypatch
):
    results, given = str(tmp_path / "results"), {"model_uri": model}
    (recordings / "20261126_letter.wav").unlink()
    opened = steps.inspect_recording

    def refuse(path, settings, predictor):
        from speech_emotion.call_scoring.inspection import rejected

        if path.endswith("third.wav"):
            return rejected("cannot be opened (Permission denied)", unread=True)
        return opened(path, settings, predictor)

    monkeypatch.setattr(steps, "inspect_recording", refuse)
    days = score_folder(str(recordings), results, settings=SETTINGS, **given)
    assert days["unread"].sum() == 1
    assert score_folder(str(recordings), results, settings=SETTINGS, **given)["scored"].sum() == 1
    monkeypatch.undo()
    since = {"since": "2026-11-27"}
    assert score_folder(str(recordings), results, settings=SETTINGS, **since, **given).empty
    days = score_folder(str(recordings), results, settings=SETTINGS, **given)
    assert days[["unread", "rejected"]].sum().tolist() == [0, 0]
    assert set(read(results, "summary")["call"]) == {
        "2026/11/25/first.wav",
        "20261126_third.wav",
        "second.wav",
    }
    assert score_folder(str(recordings), results, settings=SETTINGS, **given).empty
    # Another threshold changes the flags of all days.
    strict = SETTINGS.model_copy(
        update={"flags": SETTINGS.flags.model_copy(update={"threshold": 0.99})}
    )
    assert len(score_folder(str(recordings), results, settings=strict, **given)) >= 2
    assert set(read(results, "summary")["threshold"]) == {0.99}


def test_shards_are_joined_without_changing_a_call(recordings, model, tmp_path, monkeypatch):
    predictor = EmotionPredictor.load(Path(model))
    cache = ShardStore(str(tmp_path / "cache"))
    monkeypatch.setattr(steps, "SHARD_SIZE", 1)
    before = by_pipeline(recordings, predictor, cache)
    shutil.copytree(tmp_path / "cache", tmp_path / "interrupted")
    for kind, count in (("channel", 4), ("window", 4), ("inspection", 4)):
        assert len(cache.within(kind).names()) == count
    store.compact_calls(cache, size=3)
    names = {kind: cache.within(kind).names() for kind in ("channel", "window", "inspection")}
    assert {kind: len(found) for kind, found in names.items()} == dict.fromkeys(names, 2)
    monkeypatch.setattr(steps, "score_inspected", None)  # nothing is scored again
    for one, other in zip(before, by_pipeline(recordings, predictor, cache), strict=True):
        pd.testing.assert_frame_equal(one, other)
    # Interrupted before the old shards are removed: all calls are there twice, and read once.
    interrupted = ShardStore(str(tmp_path / "interrupted"))
    with monkeypatch.context() as patch:
        patch.setattr(ShardStore, "remove", lambda *_: None)
        store.compact_calls(interrupted, size=3)
    for one, other in zip(before, by_pipeline(recordings, predictor, interrupted), strict=True):
        pd.testing.assert_frame_equal(one, other)
    store.compact_calls(interrupted, size=3)
    for one, other in zip(before, by_pipeline(recordings, predictor, interrupted), strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.slow
def test_calls_and_results_in_an_object_store_by_the_command(recordings, model, tmp_path, request):
    bootstrap_project(PROJECT)
    files, bucket = request.getfixturevalue("store")
    files.put(f"{recordings}/", f"{bucket}/calls", recursive=True)
    here, there = str(tmp_path / "here"), f"s3://{bucket}/results"
    metadata = ["--metadata", str(tmp_path / "metadata.csv")]
    options = ["--model", model, "--workers", "2", *metadata]
    for source, target in ((str(recordings), here), (f"s3://{bucket}/calls", there)):
        done = CliRunner().invoke(cli, ["batch", source, target, *options])
        assert done.exit_code == 0, done.output
    local = read(here, "summary")
    paths = sorted(
        files.glob(f"{bucket}/results/model=*/day=*/07_model_output/calls/summary.parquet")
    )
    remote = pd.concat([pd.read_parquet(f"s3://{path}") for path in paths], ignore_index=True)
    pd.testing.assert_frame_equal(*(sort(one).drop(columns="path") for one in (local, remote)))
    names = files.find(f"{bucket}/results")
    assert any(name.endswith("08_reporting/calls/calls.html") for name in names)
    assert not [name for name in names if "partial" in name]
    done = CliRunner().invoke(cli, ["batch", f"s3://{bucket}/calls", there, *options])
    assert done.exit_code == 0, done.output
    assert files.find(f"{bucket}/results") == names
    utterances = ["batch", f"s3://{bucket}/calls", f"s3://{bucket}/labels", "--as", "utterances"]
    done = CliRunner().invoke(cli, [*utterances, "--model", model, "--workers", "1"])
    assert done.exit_code == 0, done.output
    (part,) = files.glob(f"{bucket}/labels/model=*/*.parquet")
    assert len(pd.read_parquet(f"s3://{part}")) == 4


def test_steps_of_a_run_send_the_same_model(predictor):
    packed = PackedPredictor.pack(predictor)
    assert PackedPredictor.pack(predictor) is packed
    other = dataclasses.replace(predictor, temperature=2.0)
    assert PackedPredictor.pack(other).unpacked().temperature == 2.0
    assert packed.unpacked().temperature == predictor.temperature
