"""Results of calls by day: the folders, the index of what is scored, and the day of a call."""

from __future__ import annotations

import logging
from typing import Any, Final

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from speech_emotion.call_scoring import OLD_FLAGS
from speech_emotion.runtime import CHECKSUMS, DamagedTable, read_table, replacing

__all__ = ["INDEX_COLUMNS", "Day", "DayStore", "day_of"]

DAY: Final = "day="
TABLES: Final = "07_model_output/calls"
PAGE: Final = "08_reporting/calls"
INDEX_COLUMNS: Final = ("call", "path", "size", "version", "reason", "unread")
"""Columns of the index of a day: one row for each call."""
SCORING: Final = b"scoring"
"""Entry in the index of a day: what the scores depend on besides the recordings."""
DATE: Final = r"(?:^|\D)((?:19|20)\d\d)([-_/.]?)(0[1-9]|1[0-2])[-_/.]?(0[1-9]|[12]\d|3[01])(?:\D|$)"
"""A date in the path of a recording: 2026-11-26, 2026/11/26 or 20261126."""
IS_TIME: Final = r"\d{15,19}"
"""A version that is a time of the last change in nanoseconds."""

logger = logging.getLogger(__name__)


class Day:
    """The results of a day: a folder with the layout of a data folder.

    So everything that works on a data folder works on a day: review, report, monitoring, purge.

    Args:
        path: Path or URL of the folder.
    """

    def __init__(self, path: str):
        self.path = path
        self.name = path.rstrip("/").rpartition(DAY)[2]
        self.tables = f"{path}/{TABLES}"
        self.index_file = f"{self.tables}/index.parquet"
        self.metadata_file = f"{path}/02_intermediate/call_metadata.parquet"
        self.page_folder = f"{path}/{PAGE}"
        self.link = f"{DAY}{self.name}/{PAGE}/calls.html"

    def read_index(self) -> tuple[pd.DataFrame, str]:
        """Return the calls of the day, columns :data:`INDEX_COLUMNS`, and what their scores depend on.

        A day without an index, or with one that cannot be read, has no calls: they are found again in its
        cache.
        """
        nothing = pd.DataFrame(columns=list(INDEX_COLUMNS))
        try:
            table = read_table(self.index_file, list(INDEX_COLUMNS))
        except FileNotFoundError:
            return nothing, ""
        except DamagedTable as error:
            logger.warning("%s: it is made anew", error)
            return nothing, ""
        scoring = (table.schema.metadata or {}).get(SCORING, b"").decode()
        return table.to_pandas(), scoring

    def write_index(self, index: pd.DataFrame, scoring: str) -> None:
        """Write the calls of the day; this is the last thing that is written of a day."""
        table = pa.Table.from_pandas(index[list(INDEX_COLUMNS)], preserve_index=False)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), SCORING: scoring})
        files, path = fsspec.core.url_to_fs(self.index_file)
        with replacing(path, files) as partial, files.open(partial, "wb") as file:
            pq.write_table(table, file, **CHECKSUMS)

    def read_metadata(self) -> pd.DataFrame | None:
        """Return the metadata of the calls that are scored; ``None`` if there are none yet."""
        try:
            return read_table(self.metadata_file).to_pandas()
        except FileNotFoundError:
            return None
        except DamagedTable as error:
            raise DamagedTable(
                f"{error}: delete it, and give the table of metadata again (--metadata)"
            ) from error

    def counts(self) -> dict[str, Any]:
        """Return the number of calls by flag, and of rejected recordings."""
        index, _ = self.read_index()
        try:
            table = read_table(f"{self.tables}/summary.parquet", ["call", "flag"]).to_pandas()
        except DamagedTable as error:
            raise DamagedTable(
                f"{error}: delete {self.index_file}, and run the command again, which makes both anew"
            ) from error
        flags = table["flag"].replace(OLD_FLAGS).value_counts().to_dict()
        scored = table["call"].nunique()
        return {"calls": scored, "rejected": len(index) - scored, "flags": flags}


class DayStore:
    """The results of all days below a folder.

    Args:
        path: Path or URL of the folder; it need not exist.
    """

    def __init__(self, path: str):
        self.path = path.rstrip("/")
        self.page = f"{self.path}/index.html"
        self._files, self._folder = fsspec.core.url_to_fs(self.path)

    def day(self, name: str) -> Day:
        """Return the results of a day."""
        return Day(f"{self.path}/{DAY}{name}")

    def days(self) -> list[Day]:
        """Return the days that have a folder, in order."""
        self._files.invalidate_cache(self._folder)
        try:
            paths = self._files.ls(self._folder, detail=False)
        except FileNotFoundError:
            return []
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in paths)
        return [self.day(name.removeprefix(DAY)) for name in sorted(names) if name.startswith(DAY)]

    def read_index(self) -> pd.DataFrame:
        """Return the calls of all days: :data:`INDEX_COLUMNS` without the path, ``day`` and ``scoring``."""
        tables = []
        for day in self.days():
            index, scoring = day.read_index()
            tables.append(index.drop(columns="path").assign(day=day.name, scoring=scoring))
        if not tables:
            return pd.DataFrame(columns=[*INDEX_COLUMNS, "day", "scoring"]).drop(columns="path")
        table = pd.concat(tables, ignore_index=True)
        return table.astype({"day": "category", "scoring": "category", "reason": "category"})


def day_of(calls: pd.DataFrame, started: pd.Series, today: str) -> pd.Series:
    """Return the day of each call.

    Args:
        calls: ``call`` and ``version``.
        started: Start by the metadata of each call; empty if unknown.
        today: Day of calls without any date.

    Returns:
        The day of the start as ``2026-11-26``, in the time zone of the metadata; else the date in the path;
        else the day of the last change of the file (UTC); else ``today``.

    Example:
        >>> calls = pd.DataFrame(
        ...     {"call": ["a/20261125T101500.wav", "b.wav"], "version": ["", '"1f0"']}
        ... )
        >>> day_of(calls, pd.Series(["", ""]), "2026-11-27").tolist()
        ['2026-11-25', '2026-11-27']
    """
    found = calls["call"].astype("str").str.extract(DATE)
    named = pd.to_datetime(
        found[0].str.cat([found[2], found[3]], sep="-"), format="%Y-%m-%d", errors="coerce"
    )
    version = calls["version"].astype("str")
    changed = version.where(version.str.fullmatch(IS_TIME), "")
    times = pd.to_datetime(pd.to_numeric(changed, errors="coerce"), unit="ns", errors="coerce")
    by_name, by_time = (days.dt.strftime("%Y-%m-%d") for days in (named, times))
    by_start = started.astype("str").str[:10].replace("", pd.NA)
    by_start.index = calls.index
    return by_start.fillna(by_name).fillna(by_time).fillna(today).astype("str")
