"""Corpora as archives unpack them, and whatever else lies in a folder."""

import os
import shutil

import numpy as np
import pytest
import soundfile

from speech_emotion.corpora import ingest

NAMES = {
    "ravdess": "03-01-05-01-01-01-01.wav",
    "tess": "OAF_back_angry.wav",
    "savee": "DC_a01.wav",
    "crema_d": "1001_DFA_ANG_XX.wav",
}


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Write different short noises."""
    folder = tmp_path_factory.mktemp("noise")

    def write(path, seed):
        kept = folder / f"{seed}.wav"
        if not kept.exists():
            samples = np.random.default_rng(seed).normal(0, 0.1, 4000)
            soundfile.write(kept, samples, 16000, subtype="PCM_16")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kept, path)
        return path

    return write


def read(root, settings):
    utterances, rejected = ingest(root, settings, n_jobs=1, progress=False)
    return utterances, dict(zip(rejected["path"], rejected["reason"], strict=True))


@pytest.mark.parametrize(
    ("folder", "corpus"),
    [
        ("Ravdess/audio_speech_actors_01-24/Actor_01", "ravdess"),
        ("Audio_Speech_Actors_01-24/Actor_01", "ravdess"),
        ("RAVDESS Emotional speech audio/Actor_01", "ravdess"),
        ("Actor_01", "ravdess"),
        ("TESS Toronto emotional speech set data/OAF_angry", "tess"),
        (
            "TESS/TESS Toronto emotional speech set data/TESS Toronto emotional speech set data",
            "tess",
        ),
        ("Tess", "tess"),
        ("dataverse_files", "tess"),
        ("ALL", "savee"),
        ("Savee", "savee"),
        ("surrey-audiovisual-expressed-emotion-savee/ALL", "savee"),
        ("savee/angry", "savee"),
        ("Crema", "crema_d"),
        ("CREMA-D/AudioWAV", "crema_d"),
        ("CREMA-D-master/AudioWAV", "crema_d"),
        ("archive/deeper/anything", "crema_d"),
    ],
)
def test_folders_of_archives_are_recognised(noise, tmp_path, corpora_settings, folder, corpus):
    path = noise(tmp_path / folder / NAMES[corpus], 1)
    utterances, rejected = read(tmp_path, corpora_settings())
    assert utterances[["corpus", "path"]].to_numpy().tolist() == [[corpus, path.as_posix()]]
    assert not rejected


def test_savee_in_folders_of_speakers(noise, tmp_path, corpora_settings):
    for seed, speaker in enumerate(("DC", "JE")):
        noise(tmp_path / "AudioData" / speaker / "a01.wav", seed)
    utterances, _ = read(tmp_path, corpora_settings())
    assert utterances["utterance_id"].tolist() == ["savee:DC_a01", "savee:JE_a01"]


@pytest.mark.parametrize("name", ["ravdess", "my data"])
def test_the_folder_may_be_one_corpus(noise, tmp_path, corpora_settings, name):
    noise(tmp_path / name / "Actor_01" / NAMES["ravdess"], 1)
    noise(tmp_path / name / "Actor_01" / "03-01-09-01-01-01-01.wav", 2)
    utterances, rejected = read(tmp_path / name, corpora_settings())
    assert utterances["corpus"].tolist() == ["ravdess"]
    assert [reason.split(";")[0] for reason in rejected.values()] == ["unknown emotion '09'"]


def test_a_sample_corpus_is_synthetic_from_inside_too(noise, tmp_path, corpora_settings):
    noise(tmp_path / "sample" / "ravdess" / "Actor_01" / NAMES["ravdess"], 1)
    (tmp_path / "sample" / "SYNTHETIC.txt").touch()
    for root in (tmp_path, tmp_path / "sample", tmp_path / "sample/ravdess"):
        assert read(root, corpora_settings())[0]["synthetic"].all()


def test_nested_copies_are_duplicates(noise, tmp_path, corpora_settings):
    for folder in ("ravdess/Actor_01", "ravdess/audio_speech_actors_01-24/Actor_01"):
        noise(tmp_path / folder / NAMES["ravdess"], 1)
    utterances, rejected = read(tmp_path, corpora_settings())
    assert len(utterances) == 1
    assert [reason.split(" ")[0] for reason in rejected.values()] == ["duplicate"]


def test_links_to_corpora_are_followed(noise, tmp_path, corpora_settings):
    noise(tmp_path / "disk" / "x" / NAMES["tess"], 1)
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora" / "tess").symlink_to(tmp_path / "disk" / "x")
    utterances, _ = read(tmp_path / "corpora", corpora_settings())
    assert utterances["path"].tolist() == [f"{tmp_path}/corpora/tess/{NAMES['tess']}"]


def test_recordings_of_no_corpus_are_listed_and_their_folder_is_named(
    noise, tmp_path, corpora_settings, caplog
):
    noise(tmp_path / "tess" / NAMES["tess"], 1)
    unknown = noise(tmp_path / "holiday" / "beach.wav", 2)
    utterances, rejected = read(tmp_path, corpora_settings())
    assert utterances["corpus"].tolist() == ["tess"]
    assert list(rejected) == [unknown.as_posix()]
    assert "belongs to no known corpus" in rejected[unknown.as_posix()]
    assert f"{tmp_path / 'holiday'}: 1 recordings (beach.wav)" in caplog.text


def test_only_unknown_folders_are_an_error_that_names_them(noise, tmp_path, corpora_settings):
    noise(tmp_path / "holiday" / "beach.wav", 2)
    with pytest.raises(FileNotFoundError, match=r"beach\.wav: belongs to no known corpus"):
        read(tmp_path, corpora_settings())


def test_songs_are_read_if_selected_and_share_their_speakers(
    noise, tmp_path, corpora_settings, caplog
):
    caplog.set_level("INFO")
    noise(tmp_path / "ravdess" / "Actor_01" / NAMES["ravdess"], 1)
    noise(tmp_path / "ravdess" / "Actor_01" / "03-02-05-01-01-01-01.wav", 2)
    utterances, rejected = read(tmp_path, corpora_settings())
    assert len(utterances) == 1
    assert not rejected
    assert "1 recordings are not read; add ravdess_song to corpora.select" in caplog.text
    utterances, rejected = read(tmp_path, corpora_settings(select="ravdess;ravdess_song"))
    assert utterances["corpus"].tolist() == ["ravdess", "ravdess_song"]
    assert utterances["speaker"].tolist() == ["ravdess_01", "ravdess_01"]
    assert not rejected


def test_corpora_that_are_not_selected_are_not_rejected(noise, tmp_path, corpora_settings):
    noise(tmp_path / "Crema" / NAMES["crema_d"], 1)
    noise(tmp_path / "x" / NAMES["tess"], 2)
    utterances, rejected = read(tmp_path, corpora_settings(select="tess"))
    assert utterances["corpus"].tolist() == ["tess"]
    assert not rejected


@pytest.mark.parametrize("letters", [("M", "F"), ("Male", "Female"), ("male", " FEMALE ")])
def test_sexes_are_words_or_letters(noise, tmp_path, corpora_settings, letters):
    noise(tmp_path / "crema_d" / "1001_DFA_ANG_XX.wav", 1)
    noise(tmp_path / "crema_d" / "1002_DFA_ANG_XX.wav", 2)
    rows = "".join(f"{1001 + i},30,{sex}\n" for i, sex in enumerate(letters))
    (tmp_path / "crema_d" / "VideoDemographics.csv").write_text(f"ActorID,Age,Sex\n{rows}")
    assert read(tmp_path, corpora_settings())[0]["sex"].tolist() == ["male", "female"]


def test_recordings_that_broke_off_are_rejected(noise, tmp_path, corpora_settings):
    noise(tmp_path / "tess" / NAMES["tess"], 1)
    cut = noise(tmp_path / "tess" / "OAF_back_sad.wav", 2)
    cut.write_bytes(cut.read_bytes()[:4044])  # 2000 of 4000 samples
    _, rejected = read(tmp_path, corpora_settings())
    assert list(rejected) == [cut.as_posix()]
    assert rejected[cut.as_posix()].startswith("truncated")


def test_unreadable_folders_are_listed(noise, tmp_path, corpora_settings, monkeypatch, caplog):
    noise(tmp_path / "tess" / NAMES["tess"], 1)
    locked = tmp_path / "ravdess"
    locked.mkdir()
    real = os.scandir

    def scandir(path):  # a mode would not keep an administrator out
        if os.fspath(path) == str(locked):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    _, rejected = read(tmp_path, corpora_settings())
    assert "cannot be read (Permission denied)" in rejected[locked.as_posix()]
    assert str(locked) in caplog.text
