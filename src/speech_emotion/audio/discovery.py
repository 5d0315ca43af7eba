"""Find recordings below a folder, and account for every other file there."""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import dataclass
from typing import Final

import pandas as pd

from speech_emotion.audio.codecs import CODEC_SUFFIXES, EXTRA, has_codecs
from speech_emotion.audio.decode import AUDIO_SUFFIXES
from speech_emotion.runtime import REPEATED_LINK, list_files

__all__ = ["FoundRecordings", "find_audio"]

NOT_UTF8: Final = "the name of the file or of a folder above it is not UTF-8; rename it"
RESOURCE_FORK: Final = "._"
"""Beginning of the names of files that macOS adds to archives and foreign disks."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundRecordings:
    """All files below a folder: each is in one of the tables, or counted by kind.

    Attributes:
        recordings: Files to read, sorted by path: ``name`` (path below the folder), ``path``, ``size`` in
            bytes and ``version``, an ETag or the time of the last change.
        rejected: Recordings, links and folders that cannot be read: ``name``, ``path``, ``reason`` and
            ``transient`` (whether another attempt can succeed without a change of the file).
        others: Other files, which are not read as recordings: name and kind, that is the suffix, or a word
            for files without one.
    """

    recordings: pd.DataFrame
    rejected: pd.DataFrame
    others: dict[str, str]

    @property
    def ignored(self) -> dict[str, int]:
        """Number of other files by kind."""
        return dict(Counter(self.others.values()).most_common())

    def describe(self) -> str:
        """Return the numbers as text.

        Example:
            >>> no = pd.DataFrame()
            >>> FoundRecordings(no, no, {"a.txt": ".txt", "b/c.txt": ".txt"}).describe()
            '0 recordings, 0 that cannot be read, 2 other files ignored (2 .txt)'
        """
        text = f"{len(self.recordings)} recordings, {len(self.rejected)} that cannot be read"
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.ignored.items())
        total = sum(self.ignored.values())
        return f"{text}, {total} other files ignored ({kinds})" if kinds else text


def find_audio(folder: str | os.PathLike[str]) -> FoundRecordings:
    """Find the recordings below a folder, at any depth, by their suffixes.

    Links are followed. Each folder is searched once, so nothing is found under two names by a link to
    another folder below the same one.

    Args:
        folder: Path of a folder, or URL in an object store (``s3://…``).

    Returns:
        Recordings, files that cannot be read, and numbers of ignored files. Nothing is opened: whether a
        recording can be decoded is known when it is read.
    """
    recordings, rejected, others = _Rows(), [], dict[str, str]()
    suffixes = AUDIO_SUFFIXES + CODEC_SUFFIXES if has_codecs() else AUDIO_SUFFIXES
    for file in list_files(folder):
        base = file.below.rpartition("/")[2]
        dot = base.rfind(".")
        suffix = base[dot:].lower() if 0 < dot < len(base) - 1 else ""
        name, path = _as_text(file.below), _as_text(file.path)
        if file.problem == REPEATED_LINK:
            others[name] = "links to folders that are searched under their own names"
        elif base.startswith(RESOURCE_FORK) and suffix in AUDIO_SUFFIXES + CODEC_SUFFIXES:
            others[name] = "._* of macOS"
        elif file.problem and (file.is_folder or suffix in AUDIO_SUFFIXES + CODEC_SUFFIXES):
            rejected.append((name, path, file.problem, True))
        elif suffix in suffixes:
            if name != file.below or path != file.path:
                rejected.append((name, path, NOT_UTF8, False))
            else:
                recordings.append((name, path, *file.state))
        elif suffix in CODEC_SUFFIXES:
            reason = f"{suffix} is not read without a further decoder; {EXTRA}"
            rejected.append((name, path, reason, True))
        else:
            others[name] = _as_text(suffix) or "without suffix"
    found = recordings.table()
    lost = pd.DataFrame(rejected, columns=["name", "path", "reason", "transient"])
    return FoundRecordings(
        found,
        lost.sort_values("path", ignore_index=True),
        others,
    )


class _Rows:
    """A table that is built row by row; blocks of rows need a fraction of the memory of Python objects."""

    COLUMNS: Final = ("name", "path", "size", "version")
    BLOCK: Final = 50_000

    def __init__(self) -> None:
        self._blocks: list[pd.DataFrame] = []
        self._rows: list[tuple[str, str, int, str]] = []
        self._last, self._sorted = "", True

    def append(self, row: tuple[str, str, int, str]) -> None:
        """Add a row."""
        self._sorted &= self._last <= row[1]
        self._last = row[1]
        self._rows.append(row)
        if len(self._rows) == self.BLOCK:
            self._blocks.append(pd.DataFrame(self._rows, columns=list(self.COLUMNS)))
            self._rows = []

    def table(self) -> pd.DataFrame:
        """Return all rows sorted by path, and forget them."""
        blocks, self._blocks = self._blocks, []
        if self._rows or not blocks:
            blocks.append(pd.DataFrame(self._rows, columns=list(self.COLUMNS)))
            self._rows = []
        table = pd.concat(blocks, ignore_index=True)
        # Folders on disk mostly come in order, and a sorted copy of a million rows needs much memory.
        return table if self._sorted else table.sort_values("path", ignore_index=True)


def _as_text(path: str) -> str:
    """Escape what is not UTF-8, because tables store text only."""
    return path if path.isascii() else os.fsencode(path).decode(errors="backslashreplace")
