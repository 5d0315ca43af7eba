"""What a corpus reader is: where recordings lie, and what their names say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["UNSPECIFIED", "Annotation", "Corpus", "UnknownName"]

UNSPECIFIED = "unspecified"


class UnknownName(ValueError):
    """A file name does not follow its corpus's scheme, or names what is no emotional speech."""


@dataclass(frozen=True)
class Annotation:
    """What the name of a recording says.

    Attributes:
        key: Name of the utterance within its corpus, the same for every copy of it.
        speaker: Name of the speaker within the corpus.
        sex: ``female``, ``male`` or ``unknown``.
        emotion: Emotion as the corpus names it.
        intensity: ``normal``, ``strong``, ``low``, ``medium``, ``high`` or ``unspecified``.
        statement: What is said: text, word or the corpus's code for it.
    """

    key: str
    speaker: str
    sex: str
    emotion: str
    intensity: str
    statement: str


@dataclass(frozen=True)
class Corpus:
    """A corpus: its names for people, and the function that reads its file names.

    Attributes:
        name: Name of its folder and prefix of its speakers.
        title: Full title.
        layout: How its files are named, for messages.
        source: Where a person gets it.
        licence: Its licence.
        parse: Reads the name of a recording, for SAVEE also that of its folder; raises
            :class:`UnknownName` with the reason.
    """

    name: str
    title: str
    layout: str
    source: str
    licence: str
    parse: Callable[[Path], Annotation]
