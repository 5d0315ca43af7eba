"""RAVDESS: Ryerson Audio-Visual Database of Emotional Speech and Song (Livingstone & Russo, 2018)."""

from __future__ import annotations

import re
from pathlib import Path

from speech_emotion.corpora.base import Annotation, Corpus, UnknownName

__all__ = ["RAVDESS"]

MODALITIES = {"01": "audio-video", "02": "video-only", "03": "audio-only"}
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
INTENSITIES = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": "kids", "02": "dogs"}
NAME = re.compile(r"\d\d(-\d\d){6}", re.ASCII)
LAST_ACTOR = 24


def parse(path: Path) -> Annotation:
    """Read ``MM-CC-EE-II-SS-RR-AA``: modality, channel, emotion, intensity, statement, repetition, actor.

    Raises:
        UnknownName: If a field is missing or unknown, or the recording is a song or a video.
    """
    if NAME.fullmatch(path.stem) is None:
        raise UnknownName(f"name {path.stem!r} is not MM-CC-EE-II-SS-RR-AA; rename or remove it")
    modality, channel, emotion, intensity, statement, _, actor = path.stem.split("-")
    if modality != "03":
        kind = MODALITIES.get(modality, "unknown")
        raise UnknownName(f"modality {modality} ({kind}); only 03 (audio-only) is read")
    if channel != "01":
        raise UnknownName(f"vocal channel {channel} is not 01 (speech); songs are not read")
    if emotion not in EMOTIONS:
        raise UnknownName(f"unknown emotion code {emotion!r}; known are 01 to 08")
    if intensity not in INTENSITIES or statement not in STATEMENTS:
        raise UnknownName(f"unknown intensity {intensity!r} or statement {statement!r}; 01 or 02")
    if not 1 <= int(actor) <= LAST_ACTOR:
        raise UnknownName(f"unknown actor {actor!r}; known are 01 to {LAST_ACTOR}")
    return Annotation(
        key=path.stem,
        speaker=actor,
        sex="male" if int(actor) % 2 else "female",
        emotion=EMOTIONS[emotion],
        intensity=INTENSITIES[intensity],
        statement=STATEMENTS[statement],
    )


RAVDESS = Corpus(
    name="ravdess",
    title="RAVDESS (speech)",
    layout="ravdess/Actor_01/03-01-05-01-02-01-01.wav",
    source="zenodo.org/records/1188976, file Audio_Speech_Actors_01-24.zip",
    licence="CC BY-NC-SA 4.0",
    parse=parse,
)
