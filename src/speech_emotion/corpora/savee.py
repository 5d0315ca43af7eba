"""SAVEE: Surrey audio-visual expressed emotion (Haq & Jackson, 2009)."""

from __future__ import annotations

import re
from pathlib import Path

from speech_emotion.corpora.base import UNSPECIFIED, Annotation, Corpus, UnknownName

__all__ = ["SAVEE"]

SPEAKERS = ("DC", "JE", "JK", "KL")
EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
# Two-letter codes come first, so that `sa01` is sadness.
NAME = re.compile(
    r"(?:(?P<speaker>[A-Z]{2})_)?(?P<emotion>sa|su|[a-z]+)(?P<sentence>\d+)", re.I | re.A
)


def parse(path: Path) -> Annotation:
    """Read ``DC/a01`` (folder of the speaker) or ``DC_a01`` (flat copies).

    Raises:
        UnknownName: If the speaker, emotion or sentence is missing or unknown.
    """
    match = NAME.fullmatch(path.stem)
    if match is None:
        raise UnknownName(f"name {path.stem!r} is not a01 or DC_a01; rename or remove it")
    speaker = (match["speaker"] or path.parent.name).upper()
    if speaker not in SPEAKERS:
        raise UnknownName(
            f"no speaker: neither the name {path.stem!r} nor the folder {path.parent.name!r} "
            f"contains one of {', '.join(SPEAKERS)}; rename it"
        )
    emotion = match["emotion"].lower()
    if emotion not in EMOTIONS:
        raise UnknownName(f"unknown emotion code {emotion!r}; known are {', '.join(EMOTIONS)}")
    sentence = match["sentence"].zfill(2)
    return Annotation(
        key=f"{speaker}_{emotion}{sentence}",
        speaker=speaker.lower(),
        sex="male",
        emotion=EMOTIONS[emotion],
        intensity=UNSPECIFIED,
        statement=f"{emotion}{sentence}",
    )


SAVEE = Corpus(
    name="savee",
    title="SAVEE (Surrey audio-visual expressed emotion)",
    layout="savee/AudioData/DC/a01.wav",
    source=(
        "University of Surrey, by personal registration: fill in the form at "
        "kahlan.eps.surrey.ac.uk/savee, then unpack AudioData into savee/"
    ),
    licence="research only, by registration",
    parse=parse,
)
