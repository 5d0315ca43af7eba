import os
import shutil
import sys
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from speech_emotion.corpora import (
    REJECTED,
    UTTERANCES,
    CorporaNotFound,
    SampleSettings,
    ingest,
    write_sample,
)

TINY = SampleSettings(
    ravdess_actors=2,
    ravdess_statements=1,
    tess_words=1,
    savee_speakers=2,
    savee_sentences=1,
    crema_d_speakers=2,
    crema_d_sentences=1,
)


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora") / "sample"
    write_sample(folder, TINY, progress=False)
    return folder


def read(root, settings, **options):
    return ingest(root, settings, progress=False, n_jobs=1, **options)


def test_sample_is_read_by_every_reader(sample, corpora_settings):
    utterances, rejected = read(sample, corpora_settings())
    UTTERANCES.validate(utterances)
    REJECTED.validate(rejected)
    counts = utterances.groupby("corpus").size().to_dict()
    assert counts == {"crema_d": 12, "ravdess": 16, "savee": 14, "tess": 14}
    assert utterances["synthetic"].all()
    rates = utterances.groupby("corpus")["sample_rate"].unique().map(list).to_dict()
    assert rates == {"crema_d": [16000], "ravdess": [48000], "savee": [44100], "tess": [24414]}
    assert (utterances["channels"] == 2).sum() == 1
    assert utterances.loc[utterances["emotion"] == "calm", "label"].eq("neutral").all()
    assert set(utterances.groupby("corpus")["sex"].unique()["crema_d"]) == {"female", "male"}


def test_defects_of_the_sample_are_listed(sample, corpora_settings):
    _, rejected = read(sample, corpora_settings())
    reasons = "\n".join(rejected["reason"])
    assert len(rejected) == 4
    for reason in ("silent", "git lfs pull", "duplicate of", "unknown emotion '09'"):
        assert reason in reasons


def test_every_file_is_in_one_table(sample, corpora_settings, tmp_path):
    root = tmp_path / "corpora"
    shutil.copytree(sample, root)
    (root / "ravdess" / "empty.wav").touch()
    (root / "tess" / "OAF_x_sad.wav").write_text("no sound")
    (root / "savee" / "notes.txt").write_text("no audio file by name")
    utterances, rejected = read(root, corpora_settings(label_set="six"))
    listed = sorted([*utterances["path"], *rejected["path"]])
    existing = sorted(path.as_posix() for path in root.rglob("*.wav"))
    assert listed == existing
    surprise = rejected[rejected["reason"].str.contains("not in label set 'six'")]
    assert len(surprise) == 2 + 2 + 2  # RAVDESS, TESS, SAVEE


def test_result_does_not_depend_on_the_number_of_threads(sample, corpora_settings):
    one = ingest(sample, corpora_settings(), progress=False, n_jobs=1)
    two = ingest(sample, corpora_settings(), progress=False, n_jobs=2)
    for first, second in zip(one, two, strict=True):
        pd.testing.assert_frame_equal(first, second)
    assert one[0]["utterance_id"].is_monotonic_increasing


def speech(seed, seconds=0.5, rate=16000):
    generator = np.random.default_rng(seed)
    # Integers, so that WAV and FLAC contain equal samples.
    return np.round(3000 * generator.standard_normal(round(seconds * rate))).astype(np.int16)


def test_audio_properties_of_a_known_sound(tone, write_sound, tmp_path, corpora_settings):
    rate = 16000
    silence = np.zeros(rate, np.float32)
    sound = np.concatenate([silence, tone(440, 1.0, 0.5, rate), silence])
    path = write_sound("ravdess/03-01-01-01-01-01-01.wav", sound, rate, subtype="FLOAT")
    row = read(tmp_path, corpora_settings())[0].iloc[0]
    assert row["path"] == path.as_posix()
    assert row["seconds"] == 3.0
    assert row["n_samples"] == 3 * rate
    assert row["n_samples_trimmed"] == pytest.approx(rate, abs=2048)
    assert row["n_samples_trimmed"] == len(librosa.effects.trim(sound, top_db=30)[0])
    assert row["peak"] == pytest.approx(0.5, rel=1e-3)
    assert row["rms"] == pytest.approx(0.5 / np.sqrt(2) / np.sqrt(3), rel=1e-3)
    assert row["speaker"] == "ravdess_01"
    assert not row["synthetic"]


def test_duplicates_and_contradictions_are_rejected(write_sound, tmp_path, corpora_settings):
    same, other = speech(1), speech(2)
    write_sound("ravdess/Actor_01/03-01-03-01-01-01-01.wav", same, 16000)
    # The published archive unpacked twice, once as FLAC.
    write_sound("ravdess/copy/03-01-03-01-01-01-01.flac", same, 16000)
    write_sound(
        "ravdess/Actor_01/03-01-03-01-01-02-01.wav", same, 16000
    )  # another name, equal label
    write_sound("crema_d/1006_TIE_HAP_XX.wav", other, 16000)
    write_sound("crema_d/1006_TIE_NEU_XX.wav", other, 16000)
    write_sound("tess/OAF_back_sad.wav", speech(3), 16000)
    write_sound("tess/again/OAF_back_sad.wav", speech(4), 16000)  # equal name, other sound
    utterances, rejected = read(tmp_path, corpora_settings())
    assert utterances["utterance_id"].tolist() == [
        "ravdess:03-01-03-01-01-01-01",
        "tess:OAF_back_sad",
    ]
    reasons = rejected["reason"].str.extract(r"^(duplicate|equal audio|second recording)")[0]
    assert reasons.value_counts().to_dict() == {
        "duplicate": 2,
        "equal audio": 2,
        "second recording": 1,
    }


def test_no_file_is_a_duplicate_of_a_rejected_one(write_sound, tmp_path, corpora_settings):
    write_sound("ravdess/a/03-01-03-01-01-01-01.wav", speech(1), 16000)
    write_sound("ravdess/b/03-01-03-01-01-01-01.wav", speech(2), 16000)  # other sound
    write_sound("ravdess/c/03-01-03-01-01-02-01.wav", speech(2), 16000)
    utterances, rejected = read(tmp_path, corpora_settings())
    assert [Path(path).parent.name for path in utterances["path"]] == ["a", "c"]
    assert rejected["reason"].str.startswith("second recording").tolist() == [True]


NAMES = ["03-01-03-01-01-01-01", "03-01-04-01-01-01-01", "03-01-03-01-01-01-02", "03-01-09", "._x"]
CONTENTS = [*(speech(seed) for seed in range(3)), b"", b"version https://git-lfs", b"x", None]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from(NAMES), st.sampled_from([".wav", ".FLAC"])
        ),
        st.sampled_from(range(len(CONTENTS))),
        min_size=1,
    )
)
def test_every_folder_is_divided_into_two_tables(tmp_path_factory, corpora_settings, files):
    root = tmp_path_factory.mktemp("any")
    for (folder, name, suffix), chosen in files.items():
        path, content = root / "ravdess" / folder / f"{name}{suffix}", CONTENTS[chosen]
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.symlink_to("nowhere")
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            soundfile.write(path, content, 16000)
    # Without any usable recording, ingestion is an error.
    soundfile.write(root / "ravdess" / "03-01-01-01-01-01-24.wav", speech(99), 16000)
    utterances, rejected = read(root, corpora_settings())
    UTTERANCES.validate(utterances)
    REJECTED.validate(rejected)
    named = [path.as_posix() for path in root.rglob("[!.]*.*") if path.suffix in {".wav", ".FLAC"}]
    assert sorted([*utterances["path"], *rejected["path"]]) == sorted(named)
    label_of = utterances.set_index("path")["label"]
    assert label_of.map({"happy": "03", "sad": "04", "neutral": "01"}).to_dict() == {
        path: Path(path).stem[6:8] for path in utterances["path"]
    }


def test_equal_audio_of_two_speakers_is_rejected(write_sound, tmp_path, corpora_settings):
    write_sound("ravdess/03-01-03-01-01-01-01.wav", speech(1), 16000)
    write_sound("ravdess/03-01-03-01-01-01-02.wav", speech(1), 16000)
    write_sound("ravdess/03-01-04-01-01-01-02.wav", speech(2), 16000)
    utterances, rejected = read(tmp_path, corpora_settings())
    assert len(utterances) == 1
    assert rejected["reason"].str.contains("different labels or speakers").all()


def test_suffixes_are_read_in_any_case(write_sound, tmp_path, corpora_settings):
    write_sound("RAVDESS/03-01-01-01-01-01-01.WAV", speech(1), 16000)
    write_sound("RAVDESS/03-01-02-01-01-01-01.Flac", speech(2), 16000)
    write_sound("RAVDESS/03-01-03-01-01-01-01.ogg", speech(3), 16000)
    write_sound("RAVDESS/03-01-04-01-01-01-01.MP3", speech(4), 16000)
    write_sound("RAVDESS/03-01-05-01-01-01-01.wav", speech(5), 16000, format="AIFF")
    utterances, rejected = read(tmp_path, corpora_settings())
    assert len(utterances) == 5
    assert rejected.empty


def test_short_recordings_and_nan_samples_are_rejected(write_sound, tmp_path, corpora_settings):
    write_sound("ravdess/03-01-01-01-01-01-01.wav", speech(1, seconds=0.1), 16000)
    write_sound("ravdess/03-01-02-01-01-01-01.wav", np.array([0.1, np.nan]), 16000, subtype="FLOAT")
    write_sound("ravdess/03-01-03-01-01-01-01.wav", speech(2), 16000)
    _, rejected = read(tmp_path, corpora_settings())
    assert rejected["reason"].str.contains("too short|NaN or infinite").tolist() == [True, True]


def test_folders_that_differ_by_case_are_all_read(write_sound, tmp_path, corpora_settings):
    write_sound("TESS/OAF_back_sad.wav", speech(1), 16000)
    write_sound("tess/OAF_bar_sad.wav", speech(2), 16000)
    assert len(read(tmp_path, corpora_settings())[0]) == 2


def test_synthetic_corpus_beside_a_real_one(write_sound, tmp_path, corpora_settings, caplog):
    write_sound("tess/OAF_back_sad.wav", speech(1), 16000)
    write_sound("ravdess/03-01-03-01-01-01-01.wav", speech(2), 16000)
    (tmp_path / "tess" / "SYNTHETIC.txt").touch()
    utterances, _ = read(tmp_path, corpora_settings())
    assert utterances.set_index("corpus")["synthetic"].to_dict() == {"ravdess": False, "tess": True}
    assert "SYNTHETIC" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8_are_rejected(write_sound, tmp_path, corpora_settings):
    path = write_sound("tess/OAF_back_sad.wav", speech(1), 16000)
    for name in (b"OAF_b\xe4r_sad.wav", b"OAF_b\xf6r_sad.wav"):
        shutil.copy(path, os.path.join(os.fsencode(path.parent), name))
    utterances, rejected = read(tmp_path, corpora_settings())
    assert len(utterances) == 1
    assert rejected["path"].nunique() == 2
    assert rejected["reason"].str.contains("not UTF-8; rename").all()


def test_missing_corpora_are_named(write_sound, tmp_path, corpora_settings, caplog):
    caplog.set_level("INFO")
    write_sound("tess/OAF_back_sad.wav", speech(1), 16000)
    read(tmp_path, corpora_settings())
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    for name in ("ravdess", "savee", "crema_d", "emovo"):
        assert name in caplog.text
    read(tmp_path, corpora_settings(select="tess;ravdess"))
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "RAVDESS (speech): nothing found" in warnings[0]
    assert "zenodo.org/records/1188976" in warnings[0]


@pytest.mark.parametrize("make", [lambda root: None, os.mkdir, lambda r: os.makedirs(r / "tess")])
def test_no_corpus_is_an_error_with_instructions(make, tmp_path, corpora_settings):
    root = tmp_path / "nothing"
    make(root)
    with pytest.raises(CorporaNotFound) as caught:
        read(root, corpora_settings())
    for part in (str(root), "Actor_01", "corpora_dir=PATH", "SAVEE", "zenodo", "download"):
        assert part.lower() in str(caught.value).lower()


def test_no_usable_recording_is_an_error_with_the_reason(write_sound, tmp_path, corpora_settings):
    write_sound("tess/OAF_back_sad.wav", np.zeros(16000), 16000)
    with pytest.raises(CorporaNotFound, match=r"None of the 1 recordings.*silent"):
        read(tmp_path, corpora_settings())


def test_only_unknown_names_are_an_error_with_the_reason(write_sound, tmp_path, corpora_settings):
    write_sound("ravdess/holiday.wav", speech(1), 16000)
    with pytest.raises(
        CorporaNotFound, match=r"None of the 1 recordings.*'holiday' is not like 03-01-05"
    ):
        read(tmp_path, corpora_settings())


@pytest.mark.parametrize("content", [None, "", "id;gender\n1001;Male\n"])
def test_sex_is_unknown_without_demographics(
    write_sound, tmp_path, corpora_settings, caplog, content
):
    write_sound("crema_d/1001_TIE_HAP_XX.wav", speech(1), 16000)
    table = tmp_path / "crema_d" / "VideoDemographics.csv"
    if content is not None:
        table.write_text(content)
    assert read(tmp_path, corpora_settings())[0]["sex"].tolist() == ["unknown"]
    assert caplog.text.count("VideoDemographics.csv") == 1
    table.write_text("ActorID,Age,Sex\n1001,51,Male\n")  # the corrected file is read
    assert read(tmp_path, corpora_settings())[0]["sex"].tolist() == ["male"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_set": "nine"}, "no label set 'nine'; write one of: eight, seven, six"),
        ({"select": "ravdess;emodb"}, "no corpus 'emodb'; write some of: ravdess"),
        ({"label_sets": {"seven": {"a": ["x"], "b": ["x"]}}}, "maps 'x' to 'a' and to 'b'"),
        ({"label_sets": {"seven": {}, "my": {"a": ["x"], "b": ["x"]}}}, "'my' maps 'x'"),
        ({"min_duration_s": 0}, "min_duration_s"),
    ],
)
def test_invalid_settings_are_refused(corpora_settings, changes, message):
    with pytest.raises(ValidationError, match=message):
        corpora_settings(**changes)


def test_selection_by_string_and_list(sample, corpora_settings):
    for select in ("ravdess; tess", ["ravdess", "tess"], "tess;ravdess;tess"):
        utterances, rejected = read(sample, corpora_settings(select=select))
        assert set(utterances["corpus"]) == {"ravdess", "tess"}
        assert not set(utterances["path"]) & set(rejected["path"])


def test_sample_is_deterministic_and_written_once(sample, tmp_path):
    again = tmp_path / "again"
    write_sample(again, TINY, progress=False)
    for path in sample.rglob("*.wav"):
        assert path.read_bytes() == (again / path.relative_to(sample)).read_bytes()
    chosen = next(again.rglob("*.wav"))
    chosen.unlink()
    write_sample(again, TINY, progress=False)
    assert not chosen.exists()
    write_sample(again, TINY.model_copy(update={"tess_words": 2}), progress=False)
    assert chosen.exists()


def test_larger_samples_contain_the_smaller(sample, tmp_path):
    write_sample(tmp_path / "s", TINY.model_copy(update={"tess_words": 2}), progress=False)
    for path in (sample / "tess").rglob("*.wav"):
        assert path.read_bytes() == (tmp_path / "s" / path.relative_to(sample)).read_bytes()


def test_other_files_are_not_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="not the sample corpus"):
        write_sample(tmp_path, TINY, progress=False)
    assert (tmp_path / "mine.txt").exists()


def test_angry_voices_are_louder_and_higher(sample, corpora_settings):
    utterances, _ = read(sample, corpora_settings())
    loudness = utterances.groupby("label")["rms"].mean()
    assert loudness["angry"] > 1.5 * loudness["sad"]
    assert utterances["seconds"].between(0.5, 4).all()


@pytest.mark.real_corpora
def test_real_corpora_have_their_known_defects(corpora_settings):
    root = os.environ.get("SPEECH_EMOTION_CORPORA")
    if not root:
        pytest.skip("SPEECH_EMOTION_CORPORA is not set")
    utterances, rejected = ingest(Path(root), corpora_settings(), progress=False)
    UTTERANCES.validate(utterances)
    reasons = dict(
        zip(rejected["path"].map(lambda path: Path(path).stem), rejected["reason"], strict=True)
    )
    pairs = ("1006_TIE_HAP", "1006_TIE_NEU", "1013_WSI_DIS", "1013_WSI_SAD", "1017_IWW_ANG")
    expected = {
        "1076_MTI_SAD_XX": "silent",
        "03-01-03-01-02-02-07": "duplicate of",
        **{f"{name}_XX": "equal audio under different labels" for name in (*pairs, "1017_IWW_FEA")},
    }
    existing = {path.stem for path in Path(root).rglob("*") if path.is_file()}
    assert existing & expected.keys()
    for name in existing & expected.keys():
        assert expected[name] in reasons[name]
    if "OA_bite_neutral" in existing:
        assert "tess:OAF_bite_neutral" in set(utterances["utterance_id"])
