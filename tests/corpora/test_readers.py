import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_emotion.corpora import CORPORA, Annotation, UnknownName

RAVDESS, TESS, SAVEE, CREMA_D = CORPORA.values()


@pytest.mark.parametrize(
    ("corpus", "path", "expected"),
    [
        (
            RAVDESS,
            "Actor_12/03-01-06-02-01-02-12.wav",
            Annotation("03-01-06-02-01-02-12", "12", "female", "fearful", "strong", "kids"),
        ),
        (
            RAVDESS,
            "03-01-02-01-02-01-01.FLAC",
            Annotation("03-01-02-01-02-01-01", "01", "male", "calm", "normal", "dogs"),
        ),
        (
            TESS,
            "OAF_neutral/OA_bite_neutral.wav",
            Annotation("OAF_bite_neutral", "oaf", "female", "neutral", "unspecified", "bite"),
        ),
        (
            TESS,
            "anything/yaf_Back_PS.wav",
            Annotation("YAF_back_ps", "yaf", "female", "pleasant_surprise", "unspecified", "back"),
        ),
        (
            TESS,
            "OAF_Pleasant_surprise/OAF_back_pleasant_surprise.wav",
            Annotation("OAF_back_ps", "oaf", "female", "pleasant_surprise", "unspecified", "back"),
        ),
        (
            SAVEE,
            "AudioData/DC/sa03.wav",
            Annotation("DC_sa03", "dc", "male", "sadness", "unspecified", "sa03"),
        ),
        (
            SAVEE,
            "KL_su1.wav",
            Annotation("KL_su01", "kl", "male", "surprise", "unspecified", "su01"),
        ),
        (SAVEE, "JE/n30.wav", Annotation("JE_n30", "je", "male", "neutral", "unspecified", "n30")),
        (
            CREMA_D,
            "AudioWAV/1001_IEO_ANG_HI.wav",
            Annotation("1001_IEO_ANG_HI", "1001", "unknown", "anger", "high", "IEO"),
        ),
        (
            CREMA_D,
            "1040_ith_sad_x.ogg",
            Annotation("1040_ITH_SAD_X", "1040", "unknown", "sad", "unspecified", "ITH"),
        ),
    ],
)
def test_names_are_read(corpus, path, expected):
    assert corpus.parse(Path(path)) == expected


@pytest.mark.parametrize(
    ("corpus", "path", "reason"),
    [
        (RAVDESS, "03-01-09-01-01-01-01.wav", "emotion code '09'"),
        (RAVDESS, "03-02-03-01-01-01-01.wav", "songs"),
        (RAVDESS, "01-01-03-01-01-01-01.wav", "audio-video"),
        (RAVDESS, "03-01-03-03-01-01-01.wav", "intensity '03'"),
        (RAVDESS, "03-01-03.wav", "MM-CC-EE"),
        (RAVDESS, "03-01-03-01-01-01-25.wav", "actor '25'"),
        (RAVDESS, "03-01-03-01-01-01-00.wav", "actor '00'"),
        (RAVDESS, "03-01-03-01-01-01-²².wav", "MM-CC-EE"),  # Unicode digits that int() refuses
        (TESS, "OAF_back_bored.wav", "'bored'"),
        (TESS, "XAF_back_sad.wav", "OAF_word_emotion"),
        (SAVEE, "DC/x01.wav", "'x'"),
        (SAVEE, "AudioData/a01.wav", "no speaker"),
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


@given(corpus=st.sampled_from(list(CORPORA.values())), name=st.text(max_size=30))
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
