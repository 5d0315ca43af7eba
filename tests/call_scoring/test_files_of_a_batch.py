"""Predictions of files: one bad file never ends the others."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from speech_emotion import batch
from speech_emotion.audio import SoundLimits, decode, encode_sound
from speech_emotion.models import EmotionPredictor
from speech_emotion.models import predictor as module


@pytest.fixture
def folder(tmp_path, dialogue):
    samples, _ = dialogue(["neutral"] * 2, rate=8000)
    soundfile.write(tmp_path / "good.wav", samples, 8000)
    content = (tmp_path / "good.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    (tmp_path / "ü.wav").write_bytes(content)
    return tmp_path


def test_every_entry_has_a_row(folder, predictor, monkeypatch):
    load = module.load_audio

    def fail(sound, *arguments, **options):
        if "memory" in str(sound):
            raise MemoryError
        return load(sound, *arguments, **options)

    monkeypatch.setattr(module, "load_audio", fail)
    samples, _ = soundfile.read(folder / "good.wav")
    entries = ["good.wav", "cut.wav", "ü.wav", "é", "../x.wav", "memory.wav", None]
    entries.append(encode_sound(samples, 8000))
    table = predictor.predict_files(entries, below=folder)
    assert table["error"].isna().tolist() == [True, False, True, *[False] * 4, True]
    assert table["error"][1] == (
        f"cut.wav: truncated: {len(samples) / 8000:.1f} s by its header, "
        f"{(len(samples) - 22) / 16000:.1f} s in the file; copy it again"
    )
    assert not table["error"].dropna().str.contains(str(folder)).any()
    assert "reading it failed (MemoryError)" in table["error"][5]


def test_limits_are_those_of_the_caller(folder, predictor):
    table = predictor.predict_files([folder / "good.wav"], limits=SoundLimits(max_seconds=1))
    assert "longer than 1 s" in table["error"][0]


def test_a_batch_accounts_for_every_file_and_tries_again_what_was_not_opened(
    folder, predictor, tmp_path_factory, monkeypatch
):
    home = tmp_path_factory.mktemp("batch")
    predictor.save(home / "model")
    assert EmotionPredictor.load(home / "model").labels == predictor.labels
    (folder / "gone.wav").symlink_to(folder / "nowhere")
    (folder / "call.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (folder / "notes.txt").write_text("words")
    with open(bytes(folder) + b"/G\xe4rtner.wav", "wb") as file:
        file.write(b"RIFF")
    monkeypatch.setattr("speech_emotion.audio.discovery.has_codecs", lambda: False)
    opened = decode.open_binary

    def refuse(path):
        if str(path).endswith("good.wav"):
            raise PermissionError(13, "Permission denied")
        return opened(path)

    monkeypatch.setattr(decode, "open_binary", refuse)
    options = {"model_uri": str(home / "model"), "files_per_part": 2}
    batch.predict_folder(folder, home / "results", **options)
    rows = pd.read_parquet(home / "results").set_index("recording")["error"]
    assert sorted(rows.index) == ["cut.wav", "ü.wav"]
    not_read = pd.read_csv(home / "results/_not_read.csv").set_index("name")["reason"]
    assert sorted(not_read.index) == ["G\\xe4rtner.wav", "call.m4a", "gone.wav", "good.wav"]
    assert "Permission denied" in not_read["good.wav"]
    monkeypatch.setattr(decode, "open_binary", opened)
    again = batch.predict_folder(folder, home / "results", **options)
    assert again["recordings"].tolist() == [1]
    rows = pd.read_parquet(home / "results").set_index("recording")["error"]
    assert rows.isna().to_dict() == {"cut.wav": False, "good.wav": True, "ü.wav": True}
    assert np.array_equal(rows.index.sort_values(), ["cut.wav", "good.wav", "ü.wav"])
