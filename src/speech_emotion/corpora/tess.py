"""TESS: Toronto emotional speech set (Pichora-Fuller & Dupuis, 2020)."""

from __future__ import annotations

from pathlib import Path

from speech_emotion.corpora.base import UNSPECIFIED, Annotation, Corpus, UnknownName

__all__ = ["TESS"]

# `OA` is a misspelling of OAF in the published corpus (OA_bite_neutral).
SPEAKERS = {"oaf": "oaf", "oa": "oaf", "yaf": "yaf"}
EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "pleasant_surprise",
    "sad": "sad",
}
# Some copies spell pleasant surprise out in file names, as the folders do.
SPELLINGS = {"pleasant_surprise": "ps", "pleasant_surprised": "ps"}


def parse(path: Path) -> Annotation:
    """Read ``{OAF,YAF}_{word}_{emotion}``; the folder is ignored.

    Raises:
        UnknownName: If a field is missing or unknown.
    """
    fields = path.stem.lower().split("_", maxsplit=2)
    if len(fields) != 3 or fields[0] not in SPEAKERS:
        raise UnknownName(
            f"name {path.stem!r} is not OAF_word_emotion or YAF_word_emotion; rename or remove it"
        )
    initials, word, emotion = fields
    emotion = SPELLINGS.get(emotion, emotion)
    if emotion not in EMOTIONS:
        raise UnknownName(f"unknown emotion {emotion!r}; known are {', '.join(EMOTIONS)}")
    speaker = SPEAKERS[initials]
    return Annotation(
        key=f"{speaker.upper()}_{word}_{emotion}",
        speaker=speaker,
        sex="female",
        emotion=EMOTIONS[emotion],
        intensity=UNSPECIFIED,
        statement=word,
    )


TESS = Corpus(
    name="tess",
    title="TESS (Toronto emotional speech set)",
    layout="tess/OAF_angry/OAF_back_angry.wav",
    source="doi.org/10.5683/SP2/E8H2MF (Borealis)",
    licence="CC BY-NC-ND 4.0",
    parse=parse,
)
