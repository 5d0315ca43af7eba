"""Corpora that a table describes: rows, their recordings and segments."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any, Final

import pandas as pd

from speech_emotion.audio import with_segment
from speech_emotion.corpora.audformat import INDEX, is_header, read_database
from speech_emotion.corpora.entry import Annotation, CorpusEntry, UnknownName
from speech_emotion.runtime import open_binary

__all__ = [
    "Finder",
    "Row",
    "TableError",
    "check_rows",
    "match_tables",
    "read_delimited",
    "read_parquet",
    "read_table",
    "rows_of",
]

SEPARATORS: Final = (",", "\t", ";", "|")
ENCODINGS: Final = ("utf-8-sig", "cp1252")


class TableError(ValueError):
    """A table cannot be read, or lacks a column that its corpus needs.

    Attributes:
        reason: The problem and its remedy.
    """

    def __init__(self, path: str, reason: str):
        super().__init__(f"{path}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Row:
    """A row of a table, or what is wrong with it.

    Attributes:
        place: Table and row, for messages.
        file: Recording: its place in the list of files, or the text of the table.
        start_s: Start of the segment in seconds; ``None`` for the start of the recording.
        end_s: End of the segment in seconds; ``None`` for the end of the recording.
        annotation: What the row says.
        group: What stands for the speaker if the corpus says so.
        reason: Why the row is rejected; empty for a good row.
    """

    place: str
    file: str = ""
    start_s: float | None = None
    end_s: float | None = None
    annotation: Annotation | None = None
    group: str = ""
    reason: str = ""

    def path(self, file: str) -> str:
        """Return the path of the recording, followed by the segment as in a media fragment."""
        return with_segment(file, self.start_s, self.end_s)


def check_rows(rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """Give each row the reason why it is rejected, ``""`` for a good row.

    Rows for the same segment with different emotions or speakers are all rejected; of equal rows, and
    of segments that overlap, the first is kept.
    """
    same: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        same[row.file, row.start_s or 0.0, row.end_s].append(row)
    kept: dict[str, list[Row]] = defaultdict(list)
    reasons = {row.place: row.reason for row in rows}
    for equal in same.values():
        good = [row for row in equal if not row.reason]
        said = {(row.annotation.emotion, row.annotation.speaker) for row in good if row.annotation}
        for row in good[1:] if len(said) == 1 else good:
            others = ", ".join(_number(other) for other in good if other is not row)
            if len(said) == 1:
                reasons[row.place] = f"{row.file}: repeats {_number(good[0])}"
            elif len(good) > 1:
                reasons[row.place] = f"{row.file}: another emotion or speaker than in {others}"
    for row in sorted(rows, key=lambda row: (row.file, row.start_s or 0.0)):
        if reasons[row.place]:
            continue
        start = row.start_s or 0.0
        before = next(
            (old for old in kept[row.file] if old.end_s is None or old.end_s > start), None
        )
        if before is not None:
            reasons[row.place] = f"{row.file}: overlaps the segment of {_number(before)}"
        else:
            kept[row.file].append(row)
    for row in rows:
        yield row, reasons[row.place]


def _number(row: Row) -> str:
    return row.place.rpartition(", ")[2]


def match_tables(entry: CorpusEntry, files: Sequence[str]) -> dict[str, str]:
    """Find the tables of a corpus among the files of its folder.

    Returns:
        Folder of the recordings, ``""`` for any, by table.
    """
    tables = entry.table if isinstance(entry.table, dict) else {entry.table or "": ""}
    return {
        file: folder
        for name, folder in tables.items()
        for file in sorted(files)
        if fnmatch(PurePosixPath(file).name.casefold(), PurePosixPath(name).name.casefold())
    }


def read_table(entry: CorpusEntry, path: str) -> tuple[pd.DataFrame, list[tuple[int, str]]]:
    """Read a table as text.

    Args:
        entry: The corpus.
        path: Path or URL of the table.

    Returns:
        The rows, whose index is the number of the row from 1 on; and the number and the defect of each
        row that cannot be read.

    Raises:
        TableError: If the file is no table, or a column is missing.
    """
    bad: list[tuple[int, str]] = []
    if is_header(path):
        table = _read_audformat(path, _needed(entry))
    elif path.lower().endswith((".parquet", ".pq")):
        table = read_parquet(path)
    elif entry.line:
        table = _read_lines(_text(path), entry.line)
    else:
        table, bad = read_delimited(path, _needed(entry))
    if missing := [column for column in _needed(entry) if column not in table]:
        raise TableError(
            path,
            f"no column {missing[0]!r}; it has {', '.join(map(repr, table.columns))}. "
            f"Correct corpora.entries.{entry.name}.columns",
        )
    return table, bad


def _needed(entry: CorpusEntry) -> list[str]:
    """Columns of the table that the entry names."""
    composed = [
        column
        for template in entry.compose.values()
        for column in re.findall(r"{(\w[^}!:]*)", template)
    ]
    plain = [
        entry.columns[name] for name in sorted(entry.columns, key=lambda name: name != "emotion")
    ]
    file = [] if "file" in (*entry.columns, *entry.compose) else ["file"]
    groups = [entry.groups] if entry.groups not in (None, "file", "folder") else []
    return [*dict.fromkeys([*file, *plain, *composed, *groups])]


def _read_audformat(path: str, needed: list[str]) -> pd.DataFrame:
    def read(file: str, columns: list[str]) -> pd.DataFrame | None:
        try:
            with open_binary(file):
                pass
        except FileNotFoundError:
            return None
        table = read_parquet(file) if file.endswith(".parquet") else None
        if table is None:
            table, bad = read_delimited(file, columns)
            if bad:
                raise TableError(file, f"row {bad[0][0]}: {bad[0][1]}")
        if missing := [column for column in columns if column not in table]:
            raise TableError(file, f"no column {missing[0]!r}, which {path} names")
        return table

    try:
        return read_database(path, _text(path), needed, read)
    except TableError:
        raise
    except ValueError as error:
        raise TableError(path, str(error)) from error


def read_parquet(path: str) -> pd.DataFrame:
    """Read a Parquet file as text, durations in seconds, with its index as columns.

    Raises:
        TableError: If it is none.
    """
    try:
        with open_binary(path) as file:
            table = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise TableError(path, f"cannot be read as a table ({error}); replace it") from error
    if table.index.names != [None]:
        table = table.reset_index()
    for column in table.select_dtypes("timedelta"):
        table[column] = table[column].dt.total_seconds()
    return table.astype(object).where(table.notna(), "").astype(str)


def _text(path: str) -> str:
    try:
        with open_binary(path) as file:
            content = file.read()
    except OSError as error:
        raise TableError(path, f"cannot be read ({error})") from error
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise TableError(path, "is neither UTF-8 nor Windows-1252; save it as UTF-8")


def _read_lines(text: str, line: str) -> pd.DataFrame:
    pattern = re.compile(line)
    found = {
        number: match.groupdict()
        for number, content in enumerate(text.splitlines(), start=1)
        if (match := pattern.fullmatch(content))
    }
    return pd.DataFrame.from_dict(found, orient="index", columns=[*pattern.groupindex])


def read_delimited(path: str, needed: list[str]) -> tuple[pd.DataFrame, list[tuple[int, str]]]:
    """Read a CSV file as text, with the separator under which its header has the most needed columns.

    Returns:
        The rows, whose index is the number of the row from 1 on; number and defect of each bad row.

    Raises:
        TableError: If it cannot be read.
    """
    text = _text(path)
    header = text.partition("\n")[0]
    separator = max(
        SEPARATORS,
        key=lambda mark: (
            len({*needed} & {*next(csv.reader([header], delimiter=mark), [])}),
            header.count(mark),
        ),
    )
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    names = [name.strip() for name in next(reader, [])]
    rows, bad = {}, []
    for number, fields in enumerate((row for row in reader if any(row)), start=1):
        if len(fields) != len(names):
            bad.append((number, f"{len(fields)} fields instead of {len(names)}; correct the row"))
        else:
            rows[number] = fields
    return pd.DataFrame.from_dict(rows, orient="index", columns=names), bad


def rows_of(
    entry: CorpusEntry, path: str, table_file: str, audio_folder: str, recordings: Sequence[str]
) -> Iterator[Row]:
    """Annotate the recordings that a table lists.

    Args:
        entry: The corpus.
        path: Path or URL of the table.
        table_file: The same as it is written among ``recordings``.
        audio_folder: Name of the folder with its recordings; ``""`` for any.
        recordings: Recordings of the corpus, as paths with ``/``.

    Raises:
        TableError: If the table cannot be read, or a column is missing.
    """
    table, bad = read_table(entry, path)
    find = Finder(table_file, audio_folder, recordings)
    for number, reason in bad:
        yield Row(f"{path}, row {number}", reason=reason)
    index = INDEX if is_header(path) else ("file",)
    names = {name: name for name in index if name in table}
    for number, record in zip(table.index, table.to_dict("records"), strict=True):
        place = f"{path}, row {number}"
        fields = {str(name): str(value).strip() for name, value in record.items()}
        for name, column in {**names, **entry.columns}.items():
            fields[name] = fields[column]
        yield _row(entry, fields, place, find)


def _row(entry: CorpusEntry, fields: Mapping[str, str], place: str, find: Finder) -> Row:
    text, file = fields.get("file", ""), ""
    try:
        if "file" in entry.compose:
            text = entry.compose["file"].format_map(dict(fields))
        file = find(text)
        start, end = (seconds(fields.get(name, ""), name) for name in ("start", "end"))
        if start is not None and end is not None and end <= start:
            raise UnknownName(f"the segment ends at {end:g} s, before it starts at {start:g} s")
        given = {name: value for name, value in fields.items() if value}
        annotation = entry.annotate(given, key=with_segment(find.key(text), start, end))
    except UnknownName as error:
        return Row(place, file, reason=f"{text}: {error}")
    group = {"file": file, "folder": PurePosixPath(file).parent.name}.get(
        entry.groups or "", fields.get(entry.groups or "", "")
    )
    return Row(place, file, start, end, annotation, group)


def seconds(text: str, name: str) -> float | None:
    """Read a time in seconds, as ``h:mm:ss`` or as pandas writes a duration; ``None`` if empty.

    Raises:
        UnknownName: If it is neither, or negative.

    Example:
        >>> seconds("1.5", "start"), seconds("0:01:02.5", "end"), seconds("0 days 00:00:03", "end")
        (1.5, 62.5, 3.0)
    """
    if text in ("", "NaT", "nan", "None"):
        return None
    try:
        value = float(text)
    except ValueError:
        try:
            value = pd.Timedelta(text).total_seconds()
        except ValueError as error:
            raise UnknownName(f"{name} {text!r} is no time; write seconds") from error
    if not 0 <= value < float("inf"):
        raise UnknownName(f"{name} {text!r} is no time from 0 s on; write seconds")
    return value


class Finder:
    """Find the recording that a table names, with or without folders and suffix.

    Args:
        table: The table as it is written among ``recordings``.
        folder: Name of the folder of its recordings; ``""`` for any.
        recordings: Paths with ``/``.
    """

    def __init__(self, table: str, folder: str, recordings: Sequence[str]):
        self._base = PurePosixPath(table).parent
        self._folder = folder
        self._recordings = set(recordings)
        self._by_end: dict[str, list[str]] = defaultdict(list)
        for recording in recordings:
            parts = PurePosixPath(recording).parts
            if folder and folder not in parts:
                continue
            for size in range(1, len(parts) + 1):
                end = "/".join(parts[-size:]).casefold()
                self._by_end[end].append(recording)
                self._by_end[end.removesuffix(PurePosixPath(end).suffix)].append(recording)

    def key(self, text: str) -> str:
        """Name of the utterance: what the table calls it, in the folder of the table's recordings."""
        path = PurePosixPath(self._folder, text.replace("\\", "/"))
        return path.as_posix().removesuffix(path.suffix)

    def __call__(self, text: str) -> str:
        """Return the recording that a text names.

        Raises:
            UnknownName: If there is none, or there are several.
        """
        name = text.replace("\\", "/").removeprefix("./")
        if not name:
            raise UnknownName("no file is given")
        beside = (self._base / self._folder / name).as_posix()
        if beside in self._recordings:
            return beside
        # Published tables hold paths of other machines, so the longest end that fits decides.
        parts = PurePosixPath(name).parts
        for start in range(len(parts)):
            found = self._by_end.get("/".join(parts[start:]).casefold(), [])
            if len(found) > 1:
                raise UnknownName(
                    f"{len(found)} recordings have this name, {found[0]} and {found[1]} among them: "
                    "write their folder, too"
                )
            if found:
                return found[0]
        raise UnknownName("there is no such recording below the folder of the corpus")
