"""Read tables of other programs as rows of text: CSV of any flavour, or an Excel workbook; write safe ones.

Each line that is not blank belongs to exactly one row, or is rejected with its number.
"""

from __future__ import annotations

import codecs
import csv
import importlib.util
import io
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv as csv_reader

__all__ = [
    "SEPARATORS",
    "TableNames",
    "TextTable",
    "UnreadableTable",
    "check_encoding",
    "check_separator",
    "neutralize_formulas",
    "parse_table",
]

SEPARATORS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""Characters between values, by the names that settings use."""

WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
MAX_LINES: Final = 500
"""Most lines of one row whose quoted value contains line breaks."""
CHUNK: Final = 50_000
MANY_LINES: Final = 10_000
"""Lines from which a file without any irregularity is read by a faster parser."""
BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))

FORMULA: Final = re.compile(r"[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")
"""Beginnings of cells that spreadsheets run as formulas."""
NUMBER: Final = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?\s*%?")

logger = logging.getLogger(__name__)


def check_separator(separator: str | None) -> str | None:
    """Return the setting of a separator if it is valid.

    Raises:
        ValueError: If it is neither a name in :data:`SEPARATORS` nor one character.
    """
    if separator and separator not in SEPARATORS and len(separator) != 1:
        raise ValueError(
            f"separator {separator!r} is not one character; write one of {', '.join(SEPARATORS)}"
        )
    return separator


def check_encoding(encoding: str | None) -> str | None:
    """Return the setting of an encoding if it is known.

    Raises:
        ValueError: If it is not.
    """
    try:
        "".encode(encoding or "utf-8")
    except LookupError:
        raise ValueError(
            f"encoding {encoding!r} is unknown; write utf-8, utf-16 or cp1252"
        ) from None
    return encoding


class UnreadableTable(ValueError):
    """A table cannot be read as a whole; the message names the setting that helps."""


class TableNames(NamedTuple):
    """Words for messages.

    Attributes:
        table: What the table is.
        settings: Beginning of the names of the settings ``separator``, ``encoding`` and ``sheet``.
    """

    table: str = "export"
    settings: str = "calls_export."


EXPORT: Final = TableNames()


class TextTable(NamedTuple):
    """Rows of a table.

    Attributes:
        table: The values as text, one column per column of the file; its index is the line in the
            file (the row in a workbook), from 1.
        broken: Lines that are no rows: ``line`` and ``reason``.
        how: How the file was read, for messages.
    """

    table: pd.DataFrame
    broken: pd.DataFrame
    how: str


def parse_table(
    content: bytes,
    names: Iterable[str],
    *,
    separator: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    words: TableNames = EXPORT,
) -> TextTable:
    r"""Split the content of a file into rows of text.

    Args:
        content: The file.
        names: Columns that are looked for, by which the separator is detected.
        separator: Character between values, or a name in :data:`SEPARATORS`; ``None`` to detect it.
        encoding: Encoding of a CSV file; ``None`` for UTF-8, or UTF-16 if it shows.
        sheet: Sheet of a workbook; ``None`` for the first one.
        words: Names of the table and of its settings, for messages.

    Raises:
        UnreadableTable: If the file is empty, or encoding, sheet or a further package is wrong.

    Example:
        >>> rows = parse_table(b"call;talk\n1;60\n\n2;x;y\n", ["call", "talk"])
        >>> rows.table.loc[2, "talk"], rows.how
        ('60', "separator ';', encoding utf-8")
        >>> rows.broken["line"].tolist(), rows.broken["reason"][0][:29]
        ([4], '3 values for 2 columns; write')
    """
    if content.startswith(WORKBOOKS):
        return _parse_workbook(content, sheet, words)
    text, encoding = _decode(content, encoding, words)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise UnreadableTable(f"The {words.table} is empty; export it again")
    separator = SEPARATORS.get(separator or "", separator)
    hint = lines[first].strip()
    if hint.lower().startswith("sep=") and len(hint) <= 5:  # a line for Excel
        separator = separator or hint[4:] or "\t"
        lines[first] = ""
        first = next((number for number, line in enumerate(lines) if line.strip()), first)
    separator = separator or _detect_separator(lines[first], set(names))
    try:
        header = _header(_split(lines[first], separator) or [])
    except csv.Error as error:
        raise UnreadableTable(
            f"Line {first + 1}, the header of the {words.table}, has a misplaced quote ({error}): write a "
            f"quote in a name as two, or set {words.settings}separator"
        ) from error
    how = f"separator {separator!r}, encoding {encoding}"
    if (table := _read_regular(lines, first, separator, header, words)) is not None:
        return TextTable(table, pd.DataFrame(columns=["line", "reason"]), how)
    records = _records(lines, first + 1, separator, len(header), words)
    return _to_rows(records, header, how, words)


def _decode(content: bytes, encoding: str | None, words: TableNames) -> tuple[str, str]:
    chosen = encoding
    if chosen is None:
        chosen = next((name for bom, name in BOMS if content.startswith(bom)), None)
    if chosen is None:
        even, odd = content[:4096:2].count(0), content[1:4096:2].count(0)
        least = max(len(content[:4096]) // 8, 1)
        chosen = "utf-16-le" if odd > least else "utf-16-be" if even > least else "utf-8"
    elif chosen.lower().replace("_", "-") in ("utf-8", "utf8"):
        chosen = "utf-8-sig"
    try:
        return content.decode(chosen), chosen.removesuffix("-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UnreadableTable(
            f"Line {line} of the {words.table} is not {chosen}: set {words.settings}encoding, for example to "
            "cp1252 (Windows, Western Europe)"
        ) from None


def _detect_separator(header: str, names: set[str]) -> str:
    """Return the separator that gives the most wanted columns, or else the most columns."""

    def known(separator: str) -> tuple[int, int]:
        try:
            columns = _header(_split(header, separator) or [])
        except csv.Error:  # quotes of values between other separators
            return 0, 0
        return len(names & set(columns)), len(columns)

    return max(SEPARATORS.values(), key=known)


def _header(values: Sequence[str]) -> list[str]:
    names = [value.strip().lstrip("\ufeff") for value in values]
    while names and not names[-1]:  # a separator at the end of the line
        names.pop()
    return names


def _split(line: str, separator: str) -> list[str] | None:
    """Return the values of a line; ``None`` if a quote in it is not closed.

    Raises:
        csv.Error: If it is no line of CSV.
    """
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            return None
        raise


def _read_regular(
    lines: list[str], first: int, separator: str, header: list[str], words: TableNames
) -> pd.DataFrame | None:
    """Read a large table whose lines are all plain rows; ``None`` if any line needs a closer look.

    Args:
        lines: Lines of the file.
        first: Number of the header, from 0.
        separator: Character between values.
        header: Names of the columns.
        words: Names for messages.

    Returns:
        The rows, as :func:`_to_rows` would give them.
    """
    if len(lines) < MANY_LINES or len(header) < 2 or not separator.isascii():
        return None
    end = len(lines)
    while not lines[end - 1].strip():
        end -= 1
    text = "\n".join(lines[first + 1 : end])
    strange = re.compile(rf'(?<![{re.escape(separator)}\n])"(?![{re.escape(separator)}\n"]|\Z)')
    irregular = "\0" in text or "\n\n" in text or text.startswith("\n")
    if irregular or ('"' in text and strange.search(text, 1)):
        return None
    names = _names(header, words)
    try:
        table = csv_reader.read_csv(
            io.BytesIO(text.encode()),
            read_options=csv_reader.ReadOptions(column_names=names),
            parse_options=csv_reader.ParseOptions(delimiter=separator, ignore_empty_lines=False),
            convert_options=csv_reader.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None
    if len(table) != end - first - 1:  # a value has line breaks
        return None
    rows = table.to_pandas().astype(str)
    return rows.set_index(pd.RangeIndex(first + 2, first + 2 + len(rows)))


def _names(header: list[str], words: TableNames) -> list[str]:
    """Return the names of the columns; nameless ones get one.

    Raises:
        UnreadableTable: If two columns have the same name.
    """
    if repeated := sorted({name for name in header if header.count(name) > 1 and name}):
        raise UnreadableTable(
            f"The {words.table} has several columns {', '.join(map(repr, repeated))}; rename all but one"
        )
    return [name or f"column {number}" for number, name in enumerate(header, 1)]


def _records(
    lines: list[str], start: int, separator: str, width: int, words: TableNames
) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the line of each row, from 1, and its values or the reason why it has none."""
    position = start
    while position < len(lines):
        line, number = lines[position], position + 1
        position += 1
        if not line.strip():
            continue
        try:
            values = _split(line, separator)
            if values is None:
                values, position = _continue(lines, position, separator, width)
        except csv.Error as error:
            yield number, f"a quote is misplaced ({error}); write a quote in a value as two"
            continue
        if values is None:
            yield number, "a quote is opened and never closed; write a quote in a value as two"
            continue
        surplus = values[width:]
        if len(values) < width or any(value.strip() for value in surplus):
            yield number, _wrong_width(len(values), width, separator, words)
        else:
            yield number, values[:width]


def _continue(
    lines: list[str], position: int, separator: str, width: int
) -> tuple[list[str] | None, int]:
    """Read on from a line with an open quote: its value contains line breaks, or the quote is wrong.

    It is wrong if a whole row would be swallowed, or if the result is no row. Then only the line itself is
    given up.
    """
    joined = [lines[position - 1]]
    for end in range(position, min(position + MAX_LINES, len(lines))):
        line = lines[end]
        try:
            values = _split(line, separator)
            if values is not None and len(_header(values)) >= max(width - 1, 2):
                return None, position
        except csv.Error:
            pass
        joined.append(line)
        if '"' not in line:
            continue
        try:
            reader = csv.reader(
                io.StringIO("\n".join(joined), newline=""), delimiter=separator, strict=True
            )
            values = next(reader)
            fits = len(values) >= width and not any(value.strip() for value in values[width:])
            return (values, end + 1) if fits else (None, position)
        except csv.Error as error:
            if "unexpected end of data" not in str(error):
                return None, position
    return None, position


def _wrong_width(found: int, width: int, separator: str, words: TableNames) -> str:
    return (
        f"{found} values for {width} columns; write values that contain {separator!r} in quotes, or set "
        f"{words.settings}separator"
    )


def _to_rows(
    records: Iterable[tuple[int, list[str] | str]], header: list[str], how: str, words: TableNames
) -> TextTable:
    names = _names(header, words)
    broken: list[tuple[int, str]] = []
    tables, numbers, rows = [pd.DataFrame(columns=names, dtype=str)], list[int](), []
    for number, values in records:
        if isinstance(values, str):
            broken.append((number, values))
            continue
        numbers.append(number)
        rows.append(values)
        if len(rows) == CHUNK:
            tables.append(pd.DataFrame(rows, columns=names, index=numbers, dtype=str))
            numbers, rows = [], []
    if rows:
        tables.append(pd.DataFrame(rows, columns=names, index=numbers, dtype=str))
    table = pd.concat(tables[1:]) if len(tables) > 1 else tables[0]
    return TextTable(table, pd.DataFrame(broken, columns=["line", "reason"]), how)


def _parse_workbook(content: bytes, sheet: str | None, words: TableNames) -> TextTable:
    if importlib.util.find_spec("python_calamine") is None:
        raise UnreadableTable(
            f"The {words.table} is an Excel workbook: install the extra speech-emotion[excel], or save it as "
            "CSV"
        )
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        names = workbook.sheet_names
        if not names or (sheet is not None and sheet not in names):
            listed = ", ".join(names) or "none"
            raise UnreadableTable(
                f"The {words.table} has no sheet {sheet!r}: set {words.settings}sheet ({listed})"
            )
        rows = workbook.get_sheet_by_name(sheet or names[0]).to_python(skip_empty_area=False)
    except (CalamineError, OSError) as error:
        raise UnreadableTable(f"The workbook cannot be read ({error}); save it as CSV") from error
    texts = [(number, [_cell(value) for value in row]) for number, row in enumerate(rows, 1)]
    texts = [(number, row) for number, row in texts if any(row)]
    if not texts:
        raise UnreadableTable(f"Sheet {sheet or names[0]!r} of the {words.table} is empty")
    header = _header(texts[0][1])
    width = len(header)

    def records() -> Iterator[tuple[int, list[str] | str]]:
        for number, row in texts[1:]:
            if any(row[width:]):
                yield (
                    number,
                    f"values beside the {width} columns; give each a name in the first row",
                )
            else:
                yield number, row[:width]

    return _to_rows(records(), header, f"sheet {sheet or names[0]!r}", words)


def _cell(value: Any) -> str:
    """Return a cell as text: times as ISO 8601, durations as h:mm:ss."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        minutes, rest = divmod(abs(seconds), 60)
        text = f"{int(minutes // 60)}:{int(minutes % 60):02}:{rest:06.3f}"
        return "-" * (seconds < 0) + text.removesuffix(".000")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def neutralize_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which no text is run as a formula by a spreadsheet: it begins with ``'``.

    Example:
        >>> neutralize_formulas(pd.DataFrame({"agent": ["=1+1", "-5", "Ann"]}))["agent"].tolist()
        ["'=1+1", '-5', 'Ann']
    """
    columns = table.select_dtypes(include=["object", "string", "category"]).columns
    safe = table.assign(**{name: table[name].astype(object).map(_as_text) for name in columns})
    return safe.rename(columns=_as_text)


def _as_text(value: Any) -> Any:
    if not isinstance(value, str) or not FORMULA.match(value.lstrip(" ")):
        return value
    return value if NUMBER.fullmatch(value.strip(" ")) else f"'{value}"
