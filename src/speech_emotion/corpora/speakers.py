"""Tables of speakers, and what is known about speakers."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pandas as pd

from speech_emotion.corpora.entry import UNKNOWN, CorpusEntry, sex_of
from speech_emotion.runtime import open_binary

__all__ = ["has_speaker", "read_sexes", "without_speaker"]

logger = logging.getLogger(__name__)


def read_sexes(entry: CorpusEntry, folder: str, files: Sequence[str]) -> dict[str, str]:
    """Read the sex of every speaker from the table of speakers of a corpus, if it has one.

    Args:
        entry: The corpus.
        folder: Path or URL of the folder.
        files: Files below it that are no recordings.

    Returns:
        Sex by speaker; empty, with a warning, if the table is missing or lacks a column.
    """
    table = entry.speakers
    if table is None:
        return {}
    found = [file for file in files if PurePosixPath(file).name.casefold() == table.file.casefold()]
    if not found:
        logger.warning(
            "%s: no %s below %s, so the sex of its speakers is unknown. Copy the file from the corpus.",
            entry.shown,
            table.file,
            folder,
        )
        return {}
    path = f"{folder}/{found[0]}"
    with open_binary(path) as content:
        text = content.read().decode("utf-8-sig", errors="replace")
    rows = csv.DictReader(io.StringIO(text))
    if not {table.speaker, table.sex} <= set(rows.fieldnames or ()):
        logger.warning(
            "%s has no columns %s and %s, so the sex of the speakers is unknown. Replace it with the file "
            "from the corpus.",
            path,
            table.speaker,
            table.sex,
        )
        return {}
    return {row[table.speaker]: sex_of(row[table.sex] or "") for row in rows}


def without_speaker(utterances: pd.DataFrame) -> pd.Series:
    """Return whether neither a speaker nor a group that stands for one is known, by utterance."""
    return utterances["speaker"].str.endswith(f"_{UNKNOWN}")


def has_speaker(utterances: pd.DataFrame, entries: Mapping[str, CorpusEntry]) -> pd.Series:
    """Return whether the speaker of each utterance is given, and not only what stands for speakers.

    Args:
        utterances: Columns ``corpus`` and ``speaker``.
        entries: Entries of the corpora by name.
    """
    given = ~without_speaker(utterances)
    for name, speakers in utterances.groupby("corpus")["speaker"]:
        entry = entries[str(name)]
        owner = entry.speakers_of or entry.name
        if entry.groups:
            given[speakers.index] &= ~speakers.str.startswith(f"{owner}_{entry.groups}_")
    return given
