import errno
import os
import shutil
import subprocess
import sys

import mlflow
import pandas as pd
import pytest

from speech_emotion.batch import predict_folder, utterances
from speech_emotion.runtime import ShardStore, WorkerLost

pytestmark = [pytest.mark.slow, pytest.mark.serve]


def test_two_processes_predict_a_folder_and_a_second_run_adds_what_is_new(
    served, predictor, tmp_path
):
    results = tmp_path / "results"
    command = [sys.executable, "-m", "speech_emotion", "batch"]
    command += [str(served.recordings), str(results)]
    command += [
        "--as",
        "utterances",
        "--workers",
        "2",
        "--files-per-part",
        "1",
        "--tracking-uri",
        served.store,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "4 recordings predicted, 1 of them unusable" in done.stderr
    rows = pd.read_parquet(results).set_index("recording")
    names = ["broken.wav", "day 0/angry.WAV", "day 1/neutral.flac", "day 2/sad.flac"]
    assert sorted(rows.index) == names
    assert "unreadable" in rows.loc["broken.wav", "error"]
    paths = [str(served.recordings / name) for name in names[1:]]
    expected = predictor.predict_files(paths)
    for label in predictor.labels:
        assert rows.loc[names[1:], label].to_numpy() == pytest.approx(expected[label], abs=1e-6)
    assert list(rows.loc[names[1:], "emotion"]) == list(expected["emotion"])
    assert len(list(results.rglob("part-*.parquet"))) == 4

    lost = next(path for path in results.rglob("*.parquet") if "sad" in str(pd.read_parquet(path)))
    lost.unlink()
    times = {path: path.stat().st_mtime_ns for path in results.rglob("*.parquet")}
    command[command.index("--workers") + 1] = "1"
    again = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "4 recordings, 3 have a result already" in again.stderr
    assert "1 recordings predicted, 0 of them unusable" in again.stderr
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert sorted(pd.read_parquet(results)["recording"]) == names


def test_the_model_is_that_of_the_projects_tracking_server(served, tmp_path):
    (tmp_path / "conf/base").mkdir(parents=True)
    (tmp_path / "conf/local").mkdir()
    configuration = f"server: {{mlflow_tracking_uri: '{served.store}'}}\n"
    (tmp_path / "conf/base/mlflow.yml").write_text(
        configuration + "tracking: {experiment: {name: speech-emotion}}\n"
    )
    (tmp_path / "conf/base/parameters.yml").write_text("{}")
    environment = os.environ | {"SPEECH_EMOTION_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "speech_emotion"]
    words = [
        *command,
        "batch",
        str(served.recordings),
        "results",
        "--as",
        "utterances",
        "--workers",
        "1",
    ]
    subprocess.run(words, check=True, cwd=tmp_path, env=environment)
    assert len(pd.read_parquet(tmp_path / "results")) == 4
    recording = str(next(served.recordings.rglob("*.flac")))
    done = subprocess.run(
        [*command, "stream", recording, "--speed", "0", "--threshold", "0.5"],
        check=True,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
    )
    assert b" s  " in done.stdout


def test_a_folder_of_a_predictor_needs_no_tracking_server(served, predictor, tmp_path):
    predictor.save(tmp_path / "model")
    results = tmp_path / "results"
    parts = predict_folder(served.recordings, results, model_uri=str(tmp_path / "model"))
    assert parts["recordings"].tolist() == [4]
    assert len(pd.read_parquet(results)) == 4


def test_a_lost_worker_fails_one_part_and_spares_the_others(
    served, predictor, tmp_path, monkeypatch
):
    predictor.save(tmp_path / "model")
    completed = utterances.as_completed

    def one_is_lost(function, calls, **options):
        done = dict(completed(function, [one for one in calls if one[0] != 1], **options))
        yield from (done | {1: WorkerLost("lost")}).items()

    monkeypatch.setattr(utterances, "as_completed", one_is_lost)
    results = tmp_path / "results"
    options = {"model_uri": str(tmp_path / "model"), "files_per_part": 1}
    parts = predict_folder(served.recordings, results, **options)
    assert parts["failure"].notna().sum() == 1
    assert len(pd.read_parquet(results)) == 3
    monkeypatch.undo()
    assert predict_folder(served.recordings, results, **options)["recordings"].tolist() == [1]


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No \.wav, .* below"):
        predict_folder(tmp_path, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_part_that_fails_is_reported_and_spares_the_others(served, tmp_path, monkeypatch):
    mlflow.set_tracking_uri(served.store)
    results = tmp_path / "results"
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for name in ("a.wav", "b.wav"):
        (recordings / name).write_bytes(b"")
    put, names = ShardStore.put, []

    def fail_once(store, name, table):
        names.append(name)
        if len(names) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(store, name, table)

    monkeypatch.setattr(ShardStore, "put", fail_once)
    parts = predict_folder(recordings, results, files_per_part=1, workers=1)
    assert parts["failure"].notna().sum() == 1
    assert list(pd.read_parquet(results)["recording"]) == ["a.wav"]


def test_a_replaced_recording_is_predicted_again_and_a_deleted_one_keeps_its_result(
    served, predictor, tmp_path
):
    predictor.save(tmp_path / "model")
    recordings, results = tmp_path / "recordings", tmp_path / "results"
    sounds = sorted(served.recordings.rglob("*.*"))[:3]
    recordings.mkdir()
    for name, sound in zip("abc", sounds, strict=True):
        shutil.copy(sound, recordings / f"{name}{sound.suffix}")
    names = [path.name for path in sorted(recordings.iterdir())]
    options = {"model_uri": str(tmp_path / "model"), "workers": 1}
    assert predict_folder(recordings, results, **options)["recordings"].tolist() == [3]
    (recordings / names[0]).write_bytes(b"no sound")
    (recordings / names[1]).unlink()
    assert predict_folder(recordings, results, **options)["recordings"].tolist() == [1]
    table = pd.read_parquet(results).set_index("recording").sort_index()
    assert table.index.tolist() == names
    assert table["error"].notna().tolist() == [True, False, False]
    assert predict_folder(recordings, results, **options).empty


def test_a_damaged_part_is_made_anew(served, predictor, tmp_path, caplog):
    predictor.save(tmp_path / "model")
    results, sound = tmp_path / "results", sorted(served.recordings.rglob("*.*"))[0]
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for name in "ab":
        shutil.copy(sound, recordings / f"{name}{sound.suffix}")
    options = {"model_uri": str(tmp_path / "model"), "files_per_part": 1}
    predict_folder(recordings, results, **options)
    before = pd.read_parquet(results).sort_values("recording", ignore_index=True)
    part = next(results.rglob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-40])
    assert predict_folder(recordings, results, **options)["recordings"].tolist() == [1]
    assert f"{part} was damaged" in caplog.text
    after = pd.read_parquet(results).sort_values("recording", ignore_index=True)
    pd.testing.assert_frame_equal(after, before)
