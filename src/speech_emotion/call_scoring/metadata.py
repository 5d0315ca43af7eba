"""Metadata of each call: from a table or from the names of the recordings."""

from __future__ import annotations

import logging
import re
from pathlib import PurePosixPath
from typing import Final

import numpy as np
import pandas as pd

from speech_emotion.call_scoring.settings import CALL_FIELDS, CallSettings
from speech_emotion.text_tables import TableNames, parse_table

__all__ = ["REJECTED_METADATA", "collect_metadata"]

REJECTED_METADATA: Final = ("line", "recording", "reason")
KEYS: Final = ("recording", "call_id")
CHANNEL: Final = "customer_channel"
UNKNOWN_CHANNEL: Final = -1
DIRECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "inbound": ("inbound", "incoming", "in", "i"),
    "outbound": ("outbound", "outgoing", "out", "o"),
}
SPEAKERS: Final[dict[str, tuple[str, ...]]] = {
    "customer": ("customer", "caller", "client"),
    "agent": ("agent",),
}
TABLE: Final = TableNames("table of calls", "calls.metadata_")

logger = logging.getLogger(__name__)


def collect_metadata(
    calls: list[str], rows: pd.DataFrame | bytes | None, settings: CallSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""Collect the metadata of each recording.

    A row of the table belongs to the recording that its column ``recording`` names: by the path below
    the folder, or by the file name if no other recording has it, each with or without its suffix. In a
    table without this column, ``call_id`` is compared with the ``call_id`` of the name pattern, or with
    the file name.

    Args:
        calls: Paths of the recordings below their folder.
        rows: The table as a file, or as text with one row per line after the header; ``None`` without a
            table.
        settings: ``name_pattern`` and all that begins with ``metadata_``.

    Returns:
        One row per recording: ``call`` and :data:`CALL_FIELDS`. And the rejected rows and names, columns
        :data:`REJECTED_METADATA`; ``line`` is the line in the table, 0 for a name. Each row of the table is
        either used or rejected.

    Raises:
        UnreadableTable: If the file cannot be read as a table.
        ValueError: If the table has neither ``recording`` nor ``call_id``, or none of the other columns,
            or lacks a column that ``metadata_columns`` names.

    Example:
        >>> settings = CallSettings(name_pattern=r"(?P<call_id>\d+)_(?P<agent>[A-Z]\d+)_")
        >>> collect_metadata(["2026/17_A03_x.wav"], None, settings)[0]["agent"].tolist()
        ['A03']
    """
    fields = _empty_fields(len(calls))
    rejected: list[tuple[int, str, str]] = []
    if settings.name_pattern is not None:
        for position, call in enumerate(calls):
            found = re.search(settings.name_pattern, call)
            if found is None:
                rejected.append((0, call, "the name does not match calls.name_pattern"))
                continue
            values = {name: value or "" for name, value in found.groupdict().items()}
            reason = _fill(fields, position, values, settings)
            if reason:
                rejected.append((0, call, f"name: {reason}"))
    if rows is not None:
        rejected += _join_rows(calls, fields, rows, settings)
    table = pd.DataFrame({"call": pd.Series(calls, dtype="str"), **fields})
    types = {name: "int64" if name == CHANNEL else "str" for name in CALL_FIELDS}
    return table.astype(types), pd.DataFrame(rejected, columns=list(REJECTED_METADATA))


def _empty_fields(n_calls: int) -> dict[str, np.ndarray]:
    fields = {name: np.full(n_calls, "", dtype=object) for name in CALL_FIELDS}
    return fields | {CHANNEL: np.full(n_calls, UNKNOWN_CHANNEL)}


def _join_rows(
    calls: list[str],
    fields: dict[str, np.ndarray],
    rows: pd.DataFrame | bytes,
    settings: CallSettings,
) -> list[tuple[int, str, str]]:
    """Write the values of the table into ``fields``; return rejected rows."""
    rejected: list[tuple[int, str, str]] = []
    how = ""
    if isinstance(rows, bytes):
        names = [settings.metadata_columns.get(name, name) for name in ("recording", *CALL_FIELDS)]
        rows, broken, how = parse_table(
            rows,
            names,
            separator=settings.metadata_separator,
            encoding=settings.metadata_encoding,
            sheet=settings.metadata_sheet,
            words=TABLE,
        )
        logger.info("The table of calls was read with %s", how)
        rejected += [(int(line), "", reason) for line, reason in broken.itertuples(index=False)]
        lines = rows.index.tolist()
    else:
        lines = [number + 2 for number in range(len(rows))]  # after the header, counted from 1
    columns = _columns(rows, settings, how)
    key = next(name for name in KEYS if name in columns)
    positions = _positions(calls, fields["call_id"] if key == "call_id" else None)
    used: set[int] = set()
    text = rows.fillna("").astype(str)
    for line, record in zip(lines, text.to_dict("records"), strict=True):
        values = {name: str(record[column]).strip() for name, column in columns.items()}
        name = values.pop("recording", "") if key == "recording" else values["call_id"]
        matches = positions.get(_normalized(name), [])
        if not name:
            reason = f"{key} is empty"
        elif not matches:
            reason = f"no recording is named by {key} {name!r}"
        elif len(matches) > 1:
            reason = f"{len(matches)} recordings are named by {key} {name!r}: write the path below the folder"
        elif matches[0] in used:
            reason = f"{key} {name!r} occurs on an earlier line"
        else:
            reason = _fill(fields, matches[0], values, settings)
            used.add(matches[0])
        if reason:
            rejected.append((line, name, reason))
    return sorted(rejected)


def _columns(rows: pd.DataFrame, settings: CallSettings, how: str) -> dict[str, str]:
    """Return the column of the table for each field that it has."""
    hint = f" (read with {how}: set calls.metadata_separator if that is wrong)" if how else ""
    missing = {
        name: theirs for name, theirs in settings.metadata_columns.items() if theirs not in rows
    }
    if missing:
        wanted = ", ".join(f"{theirs!r} (for {name})" for name, theirs in missing.items())
        raise ValueError(
            f"The table of calls has no column {wanted}; it has {', '.join(map(str, rows.columns))}{hint}: "
            "correct calls.metadata_columns"
        )
    names = {
        name: settings.metadata_columns.get(name, name) for name in ("recording", *CALL_FIELDS)
    }
    found = {name: column for name, column in names.items() if column in rows}
    if not set(KEYS) & set(found) or len(found) == 1:
        raise ValueError(
            "The table of calls needs a column recording or call_id and at least one of "
            f"{', '.join(CALL_FIELDS[1:])}; it has {', '.join(map(str, rows.columns))}{hint}: "
            "map them in calls.metadata_columns"
        )
    return found


def _positions(calls: list[str], call_ids: np.ndarray | None) -> dict[str, list[int]]:
    """Return the recordings that each name stands for: paths first, then file names."""
    positions: dict[str, list[int]] = {}
    if call_ids is not None and any(call_ids):
        for position, call_id in enumerate(call_ids):
            positions.setdefault(_normalized(call_id), []).append(position)
        return positions
    paths = [PurePosixPath(call) for call in calls]
    for names in (
        [str(path) for path in paths],
        [str(path.with_suffix("")) for path in paths],
        [path.name for path in paths],
        [path.stem for path in paths],
    ):
        level: dict[str, list[int]] = {}
        for position, name in enumerate(names):
            level.setdefault(_normalized(name), []).append(position)
        positions = level | positions
    return positions


def _normalized(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _fill(
    fields: dict[str, np.ndarray], position: int, values: dict[str, str], settings: CallSettings
) -> str:
    """Write the values of one recording; return why they cannot be used, and then write none."""
    parsed: dict[str, str | int] = {}
    for name, value in values.items():
        if value == "":
            continue
        try:
            parsed[name] = _parse(name, value, settings)
        except ValueError as error:
            return str(error)
    for name, content in parsed.items():
        fields[name][position] = content
    return ""


def _parse(name: str, value: str, settings: CallSettings) -> str | int:
    """Return the value of a field.

    Raises:
        ValueError: If it is not valid.
    """
    if name == CHANNEL:
        if not value.isdecimal():
            raise ValueError(f"{name} {value!r} is not a number from 0")
        return int(value)
    if name == "started":
        layout = settings.metadata_start_format or "ISO8601"
        start = pd.to_datetime(value, format=layout, errors="coerce")
        if pd.isna(start):
            raise ValueError(
                f"started {value!r} cannot be read as {layout}; set calls.metadata_start_format"
            )
        return str(start.isoformat())
    fixed: dict[str, dict[str, tuple[str, ...]]] = {
        "direction": DIRECTIONS,
        "first_speaker": SPEAKERS,
    }
    if name not in fixed:
        return value
    choices = fixed[name]
    for choice, texts in choices.items():
        if value.lower() in texts:
            return choice
    allowed = ", ".join(text for texts in choices.values() for text in texts)
    raise ValueError(f"{name} {value!r} is not one of {allowed}")
