"""Databases in the format of audformat: a header ``db.yaml``, and one file per table beside it.

See https://audeering.github.io/audformat. The library itself is not used: it may unpickle tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import pandas as pd
import yaml

__all__ = ["INDEX", "is_header", "read_database"]

INDEX: Final = ("file", "start", "end")
"""Columns that a table of segments starts with; tables of files have the first one."""

SUFFIXES: Final = (".parquet", ".csv")


def is_header(path: str) -> bool:
    """Whether a table is the header of a database."""
    return path.lower().endswith((".yaml", ".yml"))


def read_database(
    path: str,
    text: str,
    needed: Sequence[str],
    read: Callable[[str, list[str]], pd.DataFrame | None],
) -> pd.DataFrame:
    """Join the columns of a database that an entry needs.

    ``speaker`` is a column of any table, ``files/speaker`` that of the table ``files``, and
    ``speaker.gender`` what the scheme of the column says about each of its labels.

    Args:
        path: Path or URL of the header.
        text: Content of the header.
        needed: Names of columns. The table of the first one that is no part of the index gives the rows.
        read: Reads a table as text from its path, with the columns that it must have; ``None`` if
            there is no such file.

    Returns:
        Text columns ``file``, for segments ``start`` and ``end``, and those needed. The index is the
        number of the row from 1 on.

    Raises:
        ValueError: If the header or a table cannot be used; the message gives the remedy.
    """
    try:
        header = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML ({error})".replace("\n", " ")) from error
    if not isinstance(header, dict) or not isinstance(header.get("tables"), dict):
        raise ValueError("is no header of audformat: it has no `tables`")
    folder = path.rpartition("/")[0]
    stem = PurePosixPath(path).stem

    def load(name: str, columns: list[str]) -> pd.DataFrame:
        for suffix in SUFFIXES:
            table = read(f"{folder}/{stem}.{name}{suffix}", columns)
            if table is not None:
                return table
        tried = " nor ".join(f"{stem}.{name}{suffix}" for suffix in SUFFIXES)
        raise ValueError(
            f"there is no {tried}. Pickled tables are not read; save the database with "
            "storage_format='parquet'"
        )

    result: pd.DataFrame | None = None
    for wanted in needed:
        if wanted in INDEX:
            continue
        name, column, attribute = _locate(header, wanted)
        index = [*INDEX] if header["tables"][name].get("type") == "segmented" else ["file"]
        table = load(name, [*index, column])[[*index, column]]
        values = table[column]
        if attribute:
            values = values.map(_attributes(header, name, column, attribute, load)).fillna("")
        table = table[index].assign(**{wanted: values})
        if result is None:
            result = table
            continue
        if missing := [key for key in index if key not in result]:
            raise ValueError(
                f"{wanted} belongs to segments, but the rows are files without {missing[0]!r}; "
                "take it from a table of files"
            )
        repeated = table.duplicated(index)
        if repeated.any():
            raise ValueError(
                f"table {name!r} lists {table.loc[repeated, 'file'].iloc[0]} more than once"
            )
        result = result.merge(table, on=index, how="left", validate="many_to_one").fillna("")
    if result is None:
        raise ValueError("no column is named")
    result.index = pd.RangeIndex(1, len(result) + 1)
    return result


def _locate(header: Mapping[str, Any], wanted: str) -> tuple[str, str, str]:
    """Return table, column and attribute that a name means."""
    chosen, slash, name = wanted.rpartition("/")
    found = []
    for table, content in header["tables"].items():
        columns = content.get("columns") or {}
        if slash and table != chosen:
            continue
        column, _, attribute = name.rpartition(".")
        if name in columns:
            found.append((str(table), name, ""))
        elif column in columns:
            found.append((str(table), column, attribute))
    if len(found) == 1:
        return found[0]
    tables = {
        str(name): [*map(str, content.get("columns") or {})]
        for name, content in header["tables"].items()
    }
    listed = "; ".join(f"{name}: {', '.join(columns)}" for name, columns in tables.items())
    if found:
        first = f"{found[0][0]}/{name}"
        raise ValueError(
            f"{len(found)} tables have a column {wanted!r}; write {first!r}, or one of {listed}"
        )
    raise ValueError(f"no column {wanted!r}; its tables have {listed}")


def _attributes(
    header: Mapping[str, Any],
    name: str,
    column: str,
    attribute: str,
    load: Callable[[str, list[str]], pd.DataFrame],
) -> dict[str, str]:
    """Return an attribute of each label of the scheme of a column."""
    scheme = (header["tables"][name]["columns"][column] or {}).get("scheme_id")
    labels = ((header.get("schemes") or {}).get(scheme) or {}).get("labels")
    if isinstance(labels, str):  # a table of its own
        levels = [*(header.get("misc_tables") or {}).get(labels, {}).get("levels", {})]
        if len(levels) == 1:
            table = load(labels, [*levels, attribute])
            return dict(zip(table[levels[0]], table[attribute], strict=True))
    if isinstance(labels, dict) and any(attribute in (said or {}) for said in labels.values()):
        return {str(label): str((said or {}).get(attribute, "")) for label, said in labels.items()}
    raise ValueError(f"scheme {scheme!r} of column {column!r} says no {attribute!r} of its labels")
