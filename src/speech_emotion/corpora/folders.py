"""Decide which recordings below a folder belong to which corpus.

In this order: a table that an entry describes, the name of a folder as archives unpack it (the deepest
one), and the file name itself.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from speech_emotion.corpora.entry import CorpusEntry, UnknownName, plain
from speech_emotion.corpora.tables import TableError, match_tables, read_table

__all__ = ["Located", "Table", "locate"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Table:
    """A table of a corpus.

    Attributes:
        file: Its path below the folder.
        audio_folder: Name of the folder with its recordings; ``""`` for any.
    """

    file: str
    audio_folder: str


@dataclass
class Located:
    """Recordings by corpus.

    Attributes:
        recordings: Paths below the folder, by the name of their corpus.
        tables: Tables, by the name of their corpus.
        problems: Tables that cannot be used: name of the corpus, path below the folder, and reason.
        unassigned: Recordings that belong to no corpus.
    """

    recordings: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    tables: dict[str, list[Table]] = field(default_factory=dict)
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    unassigned: list[str] = field(default_factory=list)


def locate(
    root: str, recordings: Sequence[str], others: Sequence[str], entries: Iterable[CorpusEntry]
) -> Located:
    """Assign recordings to corpora.

    Args:
        root: Path or URL of the folder.
        recordings: Recordings as paths below it, with ``/``.
        others: Other files below it.
        entries: Entries in order of preference; the selected ones and the user's own come first.
    """
    entries = list(entries)
    located = Located()
    owners: dict[str, list[CorpusEntry]] = defaultdict(list)
    for entry in entries:
        if entry.table:
            for base in _find_tables(entry, root, recordings, others, located):
                owners[base].append(entry)
    for folder in {parent for file in recordings for parent in _folders_of(file)}:
        name = PurePosixPath(folder).name if folder else PurePosixPath(root.rstrip("/")).name
        known = [entry for entry in entries if entry.pattern and plain(name) in entry.folder_names]
        owners[folder] += known
    loose = []
    for file in recordings:
        claims = next((owners[folder] for folder in _folders_of(file) if owners[folder]), [])
        if claims:
            owner = claims[0] if claims[0].table else _reader(file, claims) or claims[0]
            located.recordings[owner.name].append(file)
        else:
            loose.append(file)
    _assign_by_name(loose, [entry for entry in entries if entry.pattern], located)
    return located


def _folders_of(file: str) -> list[str]:
    """Folders above a file, the deepest first, ``""`` for the outermost."""
    parents = [parent.as_posix() for parent in PurePosixPath(file).parents]
    return ["" if parent == "." else parent for parent in parents]


def _reader(file: str, entries: Iterable[CorpusEntry]) -> CorpusEntry | None:
    """The first entry that can annotate a file by its name."""
    for entry in entries:
        try:
            entry.parse(PurePosixPath(file))
        except UnknownName:
            continue
        return entry
    return None


def _assign_by_name(files: list[str], entries: list[CorpusEntry], located: Located) -> None:
    """Assign files of folders without a known name; one corpus of a folder gets the remaining files."""
    by_top: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_top[file.rpartition("/")[0].partition("/")[0]].append(file)
    for top, inside in by_top.items():
        readers = {file: _reader(file, entries) for file in inside}
        counts = Counter(entry.name for entry in readers.values() if entry)
        most = counts.most_common(1)[0][0] if counts else ""
        for file, entry in readers.items():
            if entry or most:
                located.recordings[entry.name if entry else most].append(file)
            else:
                located.unassigned.append(file)
        if counts:
            logger.info("Folder %r: read by its file names as %s", top or ".", ", ".join(counts))


def _find_tables(
    entry: CorpusEntry,
    root: str,
    recordings: Sequence[str],
    others: Sequence[str],
    located: Located,
) -> list[str]:
    """Find the tables of an entry; return the folders that they describe."""
    usable, bases, problems = [], [], []
    for file, audio_folder in match_tables(entry, others).items():
        try:
            read_table(entry, f"{root.rstrip('/')}/{file}")
        except TableError as error:
            problems.append((entry.name, file, error.reason))
            continue
        usable.append(Table(file, audio_folder))
        named = [
            folder
            for folder in _folders_of(file)
            if plain(PurePosixPath(folder or root).name) in entry.folder_names
        ]
        above = named[:1] or [
            folder
            for folder in _folders_of(file)
            if any(path.startswith(f"{folder}/" if folder else "") for path in recordings)
        ]
        bases += above[:1]
    if usable:
        located.tables[entry.name] = usable
    else:  # a table of the same name beside a good one belongs to another corpus
        located.problems += problems
    return list(dict.fromkeys(bases))
