"""Corpus readers: file layout of a corpus, and the annotation in its file names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["UNSPECIFIED", "Annotation", "Corpus", "UnknownName"]

UNSPECIFIED = "unspecified"


class UnknownName(ValueError):
    """A file name does not follow the scheme of its corpus, or is not of emotional speech."""


@dataclass(frozen=True)
class Annotation:
    """Annotation of a recording, read from its file name.

    Attributes:
        key: Name of the utterance within its corpus, the same for every copy of it.
        speaker: Name of the speaker within the corpus.
        sex: ``female``, ``male`` or ``unknown``.
        emotion: Emotion in the words of the corpus.
        intensity: ``normal``, ``strong``, ``low``, ``medium``, ``high`` or ``unspecified``.
        statement: Spoken text or word, or the code of the corpus for it.
    """

    key: str
    speaker: str
    sex: str
    emotion: str
    intensity: str
    statement: str


@dataclass(frozen=True)
class Corpus:
    """A corpus: its description, and the function that reads its file names.

    Attributes:
        name: Name of its folder and prefix of its speakers.
        title: Full title.
        layout: Example of a file path, for messages.
        source: Address or instructions to get it.
        licence: Its licence.
        parse: Function that reads the annotation from a path (the file name, for SAVEE also its folder).
            It raises :class:`UnknownName` with the reason.
    """

    name: str
    title: str
    layout: str
    source: str
    licence: str
    parse: Callable[[Path], Annotation]
