import contextlib
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from speech_emotion.corpora import CORPORA, Annotation, CorpusEntry, UnknownName

RAVDESS, TESS, SAVEE, CREMA_D = (CORPORA[name] for name in ("ravdess", "tess", "savee", "crema_d"))


@pytest.mark.parametrize(
    ("corpus", "path", "expected"),
    [
        (
            RAVDESS,
            "Actor_12/03-01-06-02-01-02-12.wav",
            Annotation("03-01-06-02-01-02-12", "12", "female", "fearful", "strong", "kids", "en"),
        ),
        (
            RAVDESS,
            "03-01-02-01-02-01-01.FLAC",
            Annotation("03-01-02-01-02-01-01", "01", "male", "calm", "normal", "dogs", "en"),
        ),
        (
            TESS,
            "OAF_neutral/OA_bite_neutral.wav",
            Annotation("OAF_bite_neutral", "oaf", "female", "neutral", "unspecified", "bite", "en"),
        ),
        (
            TESS,
            "anything/yaf_Back_PS.wav",
            Annotation(
                "YAF_back_ps", "yaf", "female", "pleasant_surprise", "unspecified", "back", "en"
            ),
        ),
        (
            TESS,
            "OAF_Pleasant_surprise/OAF_back_pleasant_surprise.wav",
            Annotation(
                "OAF_back_ps", "oaf", "female", "pleasant_surprise", "unspecified", "back", "en"
            ),
        ),
        (
            SAVEE,
            "AudioData/DC/sa03.wav",
            Annotation("DC_sa03", "dc", "male", "sadness", "unspecified", "sa03", "en"),
        ),
        (
            SAVEE,
            "KL_su1.wav",
            Annotation("KL_su01", "kl", "male", "surprise", "unspecified", "su01", "en"),
        ),
        (
            SAVEE,
            "JE/n30.wav",
            Annotation("JE_n30", "je", "male", "neutral", "unspecified", "n30", "en"),
        ),
        (
            CREMA_D,
            "AudioWAV/1001_IEO_ANG_HI.wav",
            Annotation("1001_IEO_ANG_HI", "1001", "unknown", "anger", "high", "IEO", "en"),
        ),
        (
            CREMA_D,
            "1040_ith_sad_x.ogg",
            Annotation("1040_ITH_SAD_X", "1040", "unknown", "sad", "unspecified", "ITH", "en"),
        ),
    ],
)
def test_names_are_read(corpus, path, expected):
    assert corpus.parse(Path(path)) == expected


@pytest.mark.parametrize(
    ("corpus", "path", "reason"),
    [
        (RAVDESS, "03-01-09-01-01-01-01.wav", "emotion '09'"),
        (RAVDESS, "03-02-03-01-01-01-01.wav", "songs"),
        (RAVDESS, "01-01-03-01-01-01-01.wav", "audio-video"),
        (RAVDESS, "03-01-03-03-01-01-01.wav", "intensity '03'"),
        (RAVDESS, "03-01-03.wav", "not like 03-01-05-01-02-01-01"),
        (RAVDESS, "03-01-03-01-01-01-25.wav", "speaker '25'"),
        (RAVDESS, "03-01-03-01-01-01-00.wav", "speaker '00'"),
        (
            RAVDESS,
            "03-01-03-01-01-01-²².wav",
            "not like 03-01-05-01-02-01-01",
        ),  # Unicode digits that int() refuses
        (TESS, "OAF_back_bored.wav", "'bored'"),
        (TESS, "XAF_back_sad.wav", "unknown speaker 'XAF'; known are OAF, YAF"),
        (SAVEE, "DC/x01.wav", "'x'"),
        (SAVEE, "AudioData/a01.wav", "unknown speaker 'AUDIODATA'; known are DC, JE"),
        (SAVEE, "DC/readme.wav", "DC_a01"),
        (CREMA_D, "1001_IEO_JOY_XX.wav", "'JOY'"),
        (CREMA_D, "1001_IEO_ANG.wav", "1001_DFA_ANG_XX"),
        (CREMA_D, "1001_ABC_ANG_XX.wav", "'ABC'"),
        (CREMA_D, "100²_IEO_ANG_XX.wav", "1001_DFA_ANG_XX"),
    ],
)
def test_unknown_names_are_refused_with_a_reason(corpus, path, reason):
    with pytest.raises(UnknownName, match=reason):
        corpus.parse(Path(path))


NAMED = [entry for entry in CORPORA.values() if entry.pattern]


# From public documentation of the corpora: a name, and what it says.
DOCUMENTED = {
    "emo_db": ("wav/03a01Fa.wav", "03a01Fa", "03", "male", "happiness", "a01", "de"),
    "emovo": ("f1/rab-f1-b1.wav", "rab-f1-b1", "f1", "female", "anger", "b1", "it"),
    "jl_corpus": (
        *("JL(wav+txt)/female2_excited_10b_2.wav", "female2_excited_10b_2"),
        *("female2", "female", "excited", "10b", "en"),
    ),
    "nemo": (
        "samples/SM0_surprised_7.wav",
        "SM0_surprised_7",
        "SM0",
        "male",
        "surprised",
        "7",
        "pl",
    ),
    "enterface": (
        *("subject 3/surprise/sentence 5/s_3_su_5.wav", "s_3_su_5"),
        *("03", "unknown", "surprise", "5", "en"),
    ),
    "esd": (
        *("0011/Angry/train/0011_000351.wav", "0011_000351"),
        *("0011", "unknown", "angry", "unspecified", "en"),
    ),
    "cafe": ("Colère/Fort/02-C-2-6.wav", "02-C-2-6", "02", "female", "anger", "6", "fr"),
    "ravdess_song": (
        *("Actor_02/03-02-06-02-01-01-02.wav", "03-02-06-02-01-01-02"),
        *("02", "female", "fearful", "kids", "en"),
    ),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_names_are_read(name):
    path, key, speaker, sex, emotion, statement, language = DOCUMENTED[name]
    found = CORPORA[name].parse(PurePosixPath(name) / path)
    intensity = {"cafe": "high", "ravdess_song": "strong"}.get(name, "unspecified")
    assert found == Annotation(key, speaker, sex, emotion, intensity, statement, language)


def test_esd_in_two_layouts_and_two_languages():
    esd = CORPORA["esd"]
    assert esd.parse(PurePosixPath("0001/Sad/0001_001051.wav")).language == "zh"
    flat, split = (f"0020/Happy/{part}0020_000701.wav" for part in ("", "evaluation/"))
    assert esd.parse(PurePosixPath(flat)) == esd.parse(PurePosixPath(split))


def test_every_entry_is_described():
    described = {
        **DOCUMENTED,
        "ravdess": 0,
        "tess": 0,
        "savee": 0,
        "crema_d": 0,
        "meld": 0,
        "iemocap": 0,
    }
    assert set(CORPORA) == set(described)
    for entry in CORPORA.values():
        assert all([entry.title, entry.layout, entry.source, entry.licence, entry.language])
        assert entry.defects
        assert entry.names_speakers
    assert [name for name, entry in CORPORA.items() if not entry.enabled] == ["ravdess_song"]


def test_no_name_belongs_to_two_corpora():
    """Recordings in a folder of any name are recognised by their own names."""
    names = {name: row[0] for name, row in DOCUMENTED.items()} | {
        "ravdess": "Actor_02/03-01-06-02-01-01-02.wav",
        "tess": "OAF_Fear/OAF_back_fear.wav",
        "savee": "ALL/DC_sa01.wav",
        "crema_d": "AudioWAV/1001_DFA_ANG_XX.wav",
    }
    for name, path in names.items():
        readers = []
        for entry in NAMED:
            with contextlib.suppress(UnknownName):
                entry.parse(PurePosixPath(path))
                readers.append(entry.name)
        assert readers == [name]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pattern": "(?P<emotion>"}, "is no regular expression"),
        ({"pattern": r"(?P<speaker>\w+)_\d"}, "say where the emotion is written: a group"),
        (
            {"table": "a.csv", "columns": {"speaker": "s"}},
            "say where the emotion is written: columns",
        ),
        (
            {"table": "a.csv", "columns": {"emotion": "e", "feeling": "f"}},
            "columns has no 'feeling'",
        ),
        ({"table": "a.csv", "pattern": "(?P<emotion>.)"}, "give either `pattern`"),
        ({}, "give either `pattern`"),
        ({"name": "My corpus", "pattern": "(?P<emotion>.)"}, "write small letters"),
        (
            {"pattern": "(?P<emotion>.+)", "fields": {"emotion": {"codes": {1: "happy"}}}},
            "write the code 1 in quotes",
        ),
        ({"pattern": "(?P<emotion>.)", "licens": "CC0"}, "licens"),
    ],
)
def test_invalid_entries_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        CorpusEntry.model_validate({"name": "mine"} | changes)


@given(corpus=st.sampled_from(NAMED), name=st.text(max_size=30))
def test_every_name_is_read_or_refused(corpus, name):
    path = Path("folder") / f"{name.replace('/', '_').replace(chr(0), '_') or 'x'}.wav"
    with contextlib.suppress(UnknownName):
        annotation = corpus.parse(path)
        assert annotation.key
        assert annotation.sex in {"female", "male", "unknown"}


@given(st.integers(1, 8), st.integers(1, 2), st.integers(1, 2), st.integers(1, 24))
def test_every_ravdess_name_keeps_its_fields(emotion, intensity, statement, actor):
    name = f"03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-01-{actor:02d}"
    annotation = RAVDESS.parse(Path(f"{name}.wav"))
    assert annotation.key == name
    assert int(annotation.speaker) == actor
    assert (annotation.sex == "male") == (actor % 2 == 1)
