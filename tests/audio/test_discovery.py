import os

import pytest

from speech_emotion.audio import AUDIO_SUFFIXES, CODEC_SUFFIXES, discovery, find_audio


@pytest.fixture
def folder(tmp_path):
    names = ["b.WAV", "day/a.flac", "notes.txt", "day/x.json", "day/y.json", "README", "._b.WAV"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    return tmp_path


def test_every_file_is_read_rejected_or_counted(folder):
    (folder / "gone.mp3").symlink_to(folder / "nowhere")
    (folder / "day2").symlink_to(folder / "nowhere else")
    (folder / "again").symlink_to(folder / "day")
    found = find_audio(folder)
    assert found.recordings["name"].tolist() == ["b.WAV", "day/a.flac"]
    assert found.recordings["path"].tolist() == [str(folder / "b.WAV"), str(folder / "day/a.flac")]
    assert (found.recordings["size"] == 7).all()
    assert sorted(found.rejected["name"]) == ["day2", "gone.mp3"]
    assert found.rejected["reason"].str.contains("leads nowhere").all()
    assert found.ignored == {
        ".json": 2,
        ".txt": 1,
        "without suffix": 1,
        "._* of macOS": 1,
        "links to folders that are searched under their own names": 1,
    }
    assert "2 recordings, 2 that cannot be read, 6 other files ignored (2 .json" in found.describe()


def test_files_of_formats_without_decoder_are_rejected_with_the_remedy(folder, monkeypatch):
    for suffix in CODEC_SUFFIXES:
        (folder / f"call{suffix}").write_bytes(b"content")
    monkeypatch.setattr(discovery, "has_codecs", lambda: False)
    found = find_audio(folder)
    assert len(found.recordings) == 2
    assert len(found.rejected) == len(CODEC_SUFFIXES)
    assert found.rejected["reason"].str.contains(r"speech-emotion\[codecs\]").all()
    assert found.rejected["transient"].all()
    monkeypatch.setattr(discovery, "has_codecs", lambda: True)
    found = find_audio(folder)
    assert len(found.recordings) == 2 + len(CODEC_SUFFIXES)
    assert found.rejected.empty


def test_names_that_are_not_utf8_are_rejected_and_shown(folder):
    latin = os.fsencode(folder) + b"/G\xe4rtner.wav"
    with open(latin, "wb"):
        pass
    found = find_audio(folder)
    assert found.rejected["name"].tolist() == ["G\\xe4rtner.wav"]
    assert "not UTF-8; rename it" in found.rejected["reason"].iloc[0]
    assert len(found.recordings) == 2


def test_suffixes_are_lower_case_and_unique():
    suffixes = AUDIO_SUFFIXES + CODEC_SUFFIXES
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in suffixes)
