"""CREMA-D: Crowd-sourced emotional multimodal actors dataset (Cao et al., 2014)."""

from __future__ import annotations

import csv
import logging
import re
from pathlib import Path

from speech_emotion.corpora.base import UNSPECIFIED, Annotation, Corpus, UnknownName

__all__ = ["CREMA_D", "DEMOGRAPHICS", "read_sexes"]

DEMOGRAPHICS = "VideoDemographics.csv"
EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
LEVELS = {"XX": UNSPECIFIED, "X": UNSPECIFIED, "LO": "low", "MD": "medium", "HI": "high"}
SENTENCES = frozenset(
    ["IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI"]
)
SEXES = {"male": "male", "female": "female"}
NAME = re.compile(r"\d{4}(_[A-Z]+){3}", re.ASCII)

logger = logging.getLogger(__name__)


def read_sexes(folder: Path) -> dict[str, str]:
    """Read the sex of every speaker from ``VideoDemographics.csv`` in ``folder`` or below.

    Returns:
        Sex by speaker; empty, with a warning, if the file is missing or unreadable.
    """
    found = sorted(folder.rglob(DEMOGRAPHICS))
    if not found:
        logger.warning(
            "%s contains no %s: the sex of the speakers is unknown. Copy the file from the corpus.",
            folder,
            DEMOGRAPHICS,
        )
        return {}
    with found[0].open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.DictReader(file)
        if not {"ActorID", "Sex"} <= set(rows.fieldnames or ()):
            logger.warning(
                "%s has no columns ActorID and Sex: the sex of the speakers is unknown. "
                "Replace it with the file from the corpus.",
                found[0],
            )
            return {}
        return {row["ActorID"]: SEXES.get((row["Sex"] or "").lower(), "unknown") for row in rows}


def parse(path: Path) -> Annotation:
    """Read ``1001_DFA_ANG_XX``: speaker, sentence, emotion, level.

    The name does not contain the sex of the speaker, see :func:`read_sexes`.

    Raises:
        UnknownName: If a field is missing or unknown.
    """
    key = path.stem.upper()
    if NAME.fullmatch(key) is None:
        raise UnknownName(f"name {path.stem!r} is not 1001_DFA_ANG_XX; rename or remove it")
    speaker, sentence, emotion, level = key.split("_")
    if emotion not in EMOTIONS:
        raise UnknownName(f"unknown emotion code {emotion!r}; known are {', '.join(EMOTIONS)}")
    if level not in LEVELS or sentence not in SENTENCES:
        raise UnknownName(f"unknown sentence {sentence!r} or level {level!r}; rename or remove it")
    return Annotation(
        key=key,
        speaker=speaker,
        sex="unknown",
        emotion=EMOTIONS[emotion],
        intensity=LEVELS[level],
        statement=sentence,
    )


CREMA_D = Corpus(
    name="crema_d",
    title="CREMA-D (crowd-sourced emotional multimodal actors dataset)",
    layout="crema_d/AudioWAV/1001_DFA_ANG_XX.wav and crema_d/VideoDemographics.csv",
    source="github.com/CheyneyComputerScience/CREMA-D, with Git LFS",
    licence="ODbL 1.0",
    parse=parse,
)
