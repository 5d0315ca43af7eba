"""Erase calls from every store: this module is the one place that knows where something of a call is.

Content goes first, and the tables that list the calls go last. So an interrupted command is run again: it
finds the same calls and erases what is left.
"""

from __future__ import annotations

import csv
import datetime as dt
import difflib
import html
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from speech_emotion.call_scoring import CallSettings
from speech_emotion.feedback import REVIEWED_FOLDER, clips_of
from speech_emotion.reporting.calls import calls_page, channel_id, row_files
from speech_emotion.review.database import Database, calls, items, verdicts
from speech_emotion.review.settings import RetentionSettings, ReviewSettings
from speech_emotion.review.sync import SCORED_CALLS
from speech_emotion.review.verdicts import REVIEW_FOLDER
from speech_emotion.runtime import (
    CHECKSUMS,
    KEY,
    PARTIAL,
    DamagedTable,
    holding,
    open_table,
    read_table,
    replacing,
)

__all__ = [
    "KnownCall",
    "Purge",
    "Removed",
    "find_call",
    "known_calls",
    "outdated",
    "purge_folder",
]

Kind = Literal["passages", "windows", "embeddings", "verdict_audio"]
ALL_KINDS: Final[frozenset[Kind]] = frozenset(
    ("passages", "windows", "embeddings", "verdict_audio")
)
PAGE: Final = "08_reporting/calls"
CACHE: Final = f"{SCORED_CALLS}/cache"
LISTS: Final = (
    f"{SCORED_CALLS}/roles.parquet",
    "02_intermediate/inspected_index.parquet",
    "02_intermediate/call_index.parquet",
    f"{SCORED_CALLS}/index.parquet",
    f"{SCORED_CALLS}/summary.parquet",
)
"""Tables that list the calls: they are rewritten last, the summary at the very end."""
TABLES: Final = (".parquet", ".csv", ".jsonl")
TEXTS: Final = (".html", ".js", ".json", ".md", ".txt", ".yml", ".yaml", ".svg", ".log")
ABANDONED_S: Final = 600
"""Seconds without a change after which a half written file is removed: no program writes it any more."""
MIN_NEEDLE: Final = 4
"""Shorter names are not searched for: they occur in anything."""
BLOCK: Final = 1 << 22
NO_LIMITS: Final = dict.fromkeys(("passages", "windows", "embeddings", "verdict_audio"))


class KnownCall(NamedTuple):
    """A call that a store knows.

    Attributes:
        call: Name in the table of scored calls.
        path: Path or URL of its recording; empty if unknown.
        call_id: Identifier in the metadata; empty if unknown.
        moment: Start of the call; if it is unknown, when it was scored.
    """

    call: str
    path: str
    call_id: str
    moment: dt.datetime


class Removed(NamedTuple):
    """Something that was removed, or would be.

    Attributes:
        store: File below the data folder, or the database.
        what: What of it.
    """

    store: str
    what: str


def known_calls(folder: Path, database: Database | None, zone: ZoneInfo) -> dict[str, KnownCall]:
    """Return every call that is stored, by name: scored now or earlier, rejected, or reviewed.

    Args:
        folder: The data folder.
        database: The database of reviews, if there is one.
        zone: Zone of starts without an offset.
    """
    found: dict[str, KnownCall] = {}
    starts: dict[str, dt.datetime] = {}

    def add(call: str, path: str, call_id: str, moment: dt.datetime) -> None:
        old = found.get(call)
        found[call] = KnownCall(
            call,
            path or (old.path if old else ""),
            call_id or (old.call_id if old else ""),
            min(moment, old.moment) if old else moment,
        )

    for path in sorted((folder / CACHE / "channel").glob("*.parquet")):
        table = read_table(path, columns=["call", "path"]).to_pandas().drop_duplicates()
        for row in table.itertuples():
            add(str(row.call), str(row.path), "", _written(path))
    for name in (*LISTS, "02_intermediate/call_metadata.parquet"):
        path = folder / name
        if not path.is_file():
            continue
        table = read_table(path).to_pandas()
        for row in table.to_dict("records"):
            call_id = row.get("call_id")
            text = "" if call_id is None or pd.isna(call_id) else str(call_id)
            add(str(row["call"]), str(row.get("path") or ""), text, _written(path))
            if start := _start(row.get("started"), zone):
                starts[str(row["call"])] = start
    for path in _parts_of_batch(folder):
        with open_table(path) as stored:
            found_there = stored.schema_arrow.names
            names = [name for name in ("recording", "version") if name in found_there]
            rows = stored.read(columns=names).to_pylist()
        for row in rows:
            add(row["recording"], "", "", _changed(row.get("version")) or _written(path))
    if database is not None:
        with database.read() as connection:
            wanted = (calls.c.call, calls.c.recording, calls.c.call_id, calls.c.scored_at)
            for row in connection.execute(sa.select(*wanted, calls.c.started_at)):
                add(row.call, row.recording, row.call_id, row.scored_at)
                if row.started_at is not None:
                    starts[row.call] = row.started_at
    return {
        call: known._replace(moment=starts.get(call, known.moment)) for call, known in found.items()
    }


def _parts_of_batch(folder: Path) -> list[Path]:
    """Return the results of utterances by the command ``batch``."""
    return [*folder.glob("part-*.parquet"), *folder.glob("model=*/part-*.parquet")]


def _changed(version: str | None) -> dt.datetime | None:
    """Return the time of the last change of a recording, if its version is one in nanoseconds."""
    if not version or not re.fullmatch(r"\d{15,19}", version):
        return None
    return dt.datetime.fromtimestamp(int(version) / 1e9, dt.UTC)


def result_folders(folder: Path) -> list[Path]:
    """Return the data folders below a folder: the days of the command ``batch``, and the folder itself.

    Args:
        folder: A data folder, or the results of ``batch``.
    """
    days = [path for path in folder.rglob("day=*") if path.parent.name.startswith("model=")]
    return [*sorted(path for path in days if path.is_dir()), folder]


def _written(path: Path) -> dt.datetime:
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)


def _start(value: Any, zone: ZoneInfo) -> dt.datetime | None:
    if value is None or pd.isna(value) or not str(value):
        return None
    try:
        moment = dt.datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(dt.UTC)


def find_call(name: str, known: dict[str, KnownCall]) -> tuple[KnownCall, str]:
    """Return the call that somebody means, and a remark for them.

    Args:
        name: Name of the call, path of its recording, ``call_id``, or file name with or without its suffix.
        known: Result of :func:`known_calls`.

    Raises:
        ValueError: If several calls have the name.
    """
    ways: tuple[Callable[[KnownCall], str], ...] = (
        lambda call: call.call,
        lambda call: call.path,
        lambda call: call.call_id,
        lambda call: PurePosixPath(call.call).name,
        lambda call: PurePosixPath(call.call).stem,
    )
    for way in ways:
        matches = [call for call in known.values() if way(call) == name]
        if len(matches) > 1:
            raise ValueError(
                f"{len(matches)} calls are named {name!r}: "
                f"{', '.join(sorted(call.call for call in matches)[:10])}. Give one of these"
            )
        if matches:
            return matches[0], ""
    near = difflib.get_close_matches(name, known, n=3)
    hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
    remark = f"No stored call is named {name!r}.{hint} Remains of this name are searched for."
    return KnownCall(name, "", "", dt.datetime.now(dt.UTC)), remark


def outdated(
    known: dict[str, KnownCall], retention: RetentionSettings, moment: dt.datetime
) -> dict[Kind, list[KnownCall]]:
    """Return the calls whose time is over, for each kind of content that has a limit.

    Args:
        known: Result of :func:`known_calls`.
        retention: Days to keep.
        moment: Now.
    """
    found: dict[Kind, list[KnownCall]] = {}
    for kind in ("passages", "windows", "embeddings", "verdict_audio"):
        days = getattr(retention, kind)
        if days is not None:
            limit = moment - dt.timedelta(days=days)
            found[kind] = [call for call in known.values() if call.moment < limit]
    return found


class Purge:
    """Erases calls.

    Args:
        folder: The data folder.
        database: The database of reviews, if there is one.
        scoring: How calls are scored, which the page of calls explains.
        before_s: Seconds to play before a passage on that page.
        logs: Log files, whose lines on the calls are removed.
        dry_run: Whether everything is only listed.
        apart: Folders below it that are erased on their own.
    """

    def __init__(
        self,
        folder: Path,
        database: Database | None,
        *,
        scoring: CallSettings | None = None,
        before_s: float = 2.0,
        logs: Iterable[Path] = (),
        dry_run: bool = False,
        apart: Iterable[Path] = (),
    ):
        self._folder, self._database = folder, database
        self._apart = set(apart)
        self._scoring, self._before_s = scoring or CallSettings(), before_s
        self._logs, self._dry_run = list(logs), dry_run
        self._handled: set[Path] = set()

    def erase(
        self,
        chosen: list[KnownCall],
        known: dict[str, KnownCall],
        kinds: Iterable[Kind] = ALL_KINDS,
    ) -> Iterator[Removed]:
        """Erase calls, and yield what was removed as it is removed.

        Args:
            chosen: The calls.
            known: Result of :func:`known_calls`, to tell their names from those of others.
            kinds: What of them; ``passages`` stands for everything.
        """
        if not chosen:
            return
        self._handled.clear()
        everything = "passages" in set(kinds)
        wanted = set(ALL_KINDS) if everything else set(kinds)
        names = {call.call for call in chosen}
        scored = self._scored_ids(names)
        if "verdict_audio" in wanted:
            yield from self._erase_sounds(names, scored, whole=everything)
        if "windows" in wanted:
            yield from self._erase_details(names)
            yield from self._filter_tables(self._cache_tables(), _Matcher(chosen, known))
            yield from self._filter_tables(
                [self._folder / SCORED_CALLS / "emotions.parquet"], _Matcher(chosen, known)
            )
            if not everything:
                yield from self._erase_timelines(scored)
        if "embeddings" in wanted:
            yield from self._erase_inspections(names)
        if wanted & {"windows", "embeddings"}:
            for path in sorted((self._folder / CACHE).rglob("*.damaged")):
                yield from self._delete(path, "damaged shard of the cache")
        if everything:
            yield from self._erase_rest(chosen, known, names, scored)

    def _erase_rest(
        self,
        chosen: list[KnownCall],
        known: dict[str, KnownCall],
        names: set[str],
        scored: list[str],
    ) -> Iterator[Removed]:
        matcher = _Matcher(chosen, known)
        last = [self._folder / name for name in LISTS]
        tables = [
            path
            for path in self._files()
            if path.suffix in TABLES and path not in last and path.name != "sounds.parquet"
        ]
        yield from self._filter_tables(tables, matcher)
        yield from self._page_again(names)
        yield from self._erase_texts(matcher)
        for log in self._logs:
            yield from self._clean_log(log, matcher)
        yield from self._erase_rows(scored)
        yield from self._filter_tables([self._folder / PAGE / "sounds.parquet", *last], matcher)

    def leftovers(self, chosen: list[KnownCall], known: dict[str, KnownCall]) -> list[str]:
        """Return the files that still hold a name of the calls, by searching all bytes.

        Args:
            chosen: The calls.
            known: Result of :func:`known_calls` before they were erased.
        """
        matcher = _Matcher(chosen, known)
        found = []
        for path in [*self._files(), *(log for log in self._logs if log.is_file())]:
            if (
                matcher.in_text(path.name)
                or _contains(path, matcher.needles)
                or (path.suffix == ".parquet" and _has_rows(path, matcher))
            ):
                found.append(self._name(path))
        return sorted(set(found))

    def _scored_ids(self, names: set[str]) -> list[str]:
        if self._database is None:
            return []
        with self._database.read() as connection:
            rows = connection.execute(sa.select(calls.c.id, calls.c.call)).all()
        return [row.id for row in rows if row.call in names]

    def _erase_sounds(
        self, names: set[str], scored: list[str], *, whole: bool
    ) -> Iterator[Removed]:
        for identifier in scored:
            path = self._folder / REVIEW_FOLDER / "sounds" / f"{identifier}.mp3"
            yield from self._delete(path, "sound of the review")
        for name in sorted(names):
            clips = (self._folder / REVIEWED_FOLDER).glob(f"{clips_of(name)}*.flac")
            for path in sorted(clips):
                yield from self._delete(path, "clip of the corpus of reviewed calls")
        table = self._folder / PAGE / "sounds.parquet"
        if table.is_file():
            sounds = read_table(table).to_pandas()
            kept = set(sounds.loc[~sounds["call"].isin(names), "name"])
            for name in sorted(set(sounds.loc[sounds["call"].isin(names), "name"]) - kept - {""}):
                for suffix in (".mp3", ".js"):
                    yield from self._delete(self._folder / PAGE / f"{name}{suffix}", "sound")
        if not whole:
            for path in self._details(names):
                text = path.read_text("utf-8")
                silent = re.sub(
                    r'"sound":"[^"]*","error":"[^"]*"', '"sound":"","error":"erased"', text
                )
                if silent != text:
                    self._replace(path, silent.encode())
                    yield Removed(self._name(path), "player")

    def _details(self, names: set[str]) -> list[Path]:
        folder = self._folder / PAGE / "details"
        if not folder.is_dir():
            return []
        wanted = {channel_id(name, 0).rpartition("-")[0] for name in names}
        return sorted(
            path for path in folder.rglob("*.js") if path.stem.rpartition("-")[0] in wanted
        )

    def _erase_details(self, names: set[str]) -> Iterator[Removed]:
        for path in self._details(names):
            yield from self._delete(path, "timeline")

    def _cache_tables(self) -> list[Path]:
        cache = self._folder / CACHE
        # Windows first: a shard of channels without its windows is not read.
        return [path for kind in ("window", "channel") for path in sorted((cache / kind).glob("*"))]

    def _erase_inspections(self, names: set[str]) -> Iterator[Removed]:
        """Delete the voices of the calls, and those that belong to no listed call any more."""
        listed = {
            key
            for name, column in ((LISTS[0], "inspection"), (LISTS[2], KEY), (LISTS[1], KEY))
            if (self._folder / name).is_file()
            for call, key in _pairs(self._folder / name, column)
            if call not in names
        }
        for path in sorted((self._folder / CACHE / "inspection").glob("*.parquet")):
            table = read_table(path)
            keep = pc.is_in(table[KEY], pa.array(sorted(listed), pa.string()))
            yield from self._keep_rows(path, table, keep, "voices of parties")

    def _erase_timelines(self, scored: list[str]) -> Iterator[Removed]:
        if self._database is None or not scored:
            return
        count = 0
        with self._database.write() as connection:
            for part in _parts(scored):
                mine = calls.c.id.in_(part) & calls.c.timeline.is_not(None)
                count += _count(connection, sa.select(calls.c.id).where(mine))
                if not self._dry_run:
                    connection.execute(calls.update().where(mine).values(timeline=sa.null()))
        if count:
            if not self._dry_run:
                self._database.compact()
            yield Removed("database of reviews", f"{count} timelines")

    def _erase_rows(self, scored: list[str]) -> Iterator[Removed]:
        if self._database is None:
            return
        counts = dict.fromkeys(("scored channels", "items", "verdicts"), 0)
        with self._database.write() as connection:
            for part in _parts(scored):
                mine = items.c.scored_call.in_(part)
                counts["scored channels"] += _count(
                    connection, sa.select(calls.c.id).where(calls.c.id.in_(part))
                )
                counts["items"] += _count(connection, sa.select(items.c.id).where(mine))
                counts["verdicts"] += _count(
                    connection, sa.select(verdicts.c.id).join(items).where(mine)
                )
                if not self._dry_run:
                    connection.execute(calls.delete().where(calls.c.id.in_(part)))
        if not self._dry_run:
            # Without rows, too: a run that was interrupted here has deleted them and left their bytes.
            self._database.compact()
        for what, count in counts.items():
            if count:
                yield Removed("database of reviews", f"{count} {what}")

    def _filter_tables(self, paths: Iterable[Path], matcher: _Matcher) -> Iterator[Removed]:
        for path in paths:
            if not path.is_file() or path in self._handled:
                continue
            self._handled.add(path)
            if path.suffix == ".parquet":
                yield from self._filter_parquet(path, matcher)
            elif path.suffix == ".csv":
                yield from self._filter_csv(path, matcher)
            elif path.suffix == ".jsonl":
                yield from self._filter_lines(path, matcher)

    def _filter_parquet(self, path: Path, matcher: _Matcher) -> Iterator[Removed]:
        """Remove the rows of the calls, a group of rows at a time."""
        with open_table(path) as stored:
            columns = [
                field.name
                for field in stored.schema_arrow
                if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
            ]
            if not columns:
                return
            n_removed = sum(
                pc.sum(matcher.rows(stored.read_row_group(group, columns=columns))).as_py() or 0
                for group in range(stored.num_row_groups)
            )
            if not n_removed:
                return
            if not self._dry_run:
                with (
                    _rewriting(path) as partial,
                    pq.ParquetWriter(partial, stored.schema_arrow, **CHECKSUMS) as writer,
                ):
                    for group in range(stored.num_row_groups):
                        table = stored.read_row_group(group)
                        writer.write_table(table.filter(pc.invert(matcher.rows(table))))
        yield Removed(self._name(path), f"{n_removed} rows")

    def _keep_rows(
        self, path: Path, table: pa.Table, keep: pa.ChunkedArray, what: str
    ) -> Iterator[Removed]:
        n_removed = len(table) - (pc.sum(keep).as_py() or 0)
        if not n_removed:
            return
        if not self._dry_run:
            if n_removed == len(table):
                path.unlink()
            else:
                with _rewriting(path) as partial:
                    pq.write_table(table.filter(keep), partial, **CHECKSUMS)
        yield Removed(self._name(path), f"{n_removed} {what}")

    def _filter_csv(self, path: Path, matcher: _Matcher) -> Iterator[Removed]:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            head = file.read(4096)
            if not matcher.possible(path):
                return
            file.seek(0)
            delimiter = max(",;\t|", key=head.partition("\n")[0].count)
            rows = list(csv.reader(file, delimiter=delimiter))
        if not rows:
            return
        header = rows[0]
        kept = [row for row in rows[1:] if not matcher.in_row(header, row)]
        if len(kept) == len(rows) - 1:
            return
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows([header, *kept])
        mark = b"\xef\xbb\xbf" if path.read_bytes()[:3] == b"\xef\xbb\xbf" else b""
        self._replace(path, mark + buffer.getvalue().encode("utf-8", "surrogateescape"))
        yield Removed(self._name(path), f"{len(rows) - 1 - len(kept)} rows")

    def _filter_lines(self, path: Path, matcher: _Matcher) -> Iterator[Removed]:
        if not matcher.possible(path):
            return
        lines = path.read_text("utf-8").splitlines(keepends=True)
        kept = []
        for line in lines:
            row = json.loads(line) if line.strip() else {}
            if not matcher.in_row(list(row), [str(value) for value in row.values()]):
                kept.append(line)
        if len(kept) < len(lines):
            self._replace(path, "".join(kept).encode())
            yield Removed(self._name(path), f"{len(lines) - len(kept)} rows")

    def _page_again(self, names: set[str]) -> Iterator[Removed]:
        """Write the page of calls, and the rows beside it, without the calls."""
        page, source = self._folder / PAGE / "calls.html", self._folder / LISTS[-1]
        if not page.is_file() or not source.is_file():
            return
        self._handled |= {page, *(self._folder / PAGE / "data").glob("*.js")}
        summary = read_table(source).to_pandas()
        rejected_file = self._folder / SCORED_CALLS / "rejected.csv"
        rejected = pd.DataFrame(columns=["call", "path", "reason"])
        if rejected_file.is_file():
            rejected = pd.read_csv(rejected_file, dtype=str, keep_default_na=False)
        gone = summary["call"].isin(names)
        if (
            not gone.any()
            and not rejected["call"].isin(names).any()
            and not _contains(page, [name.encode() for name in names])
        ):
            return
        kept = summary[~gone].reset_index(drop=True)
        if not self._dry_run:
            written = set()
            for name, content in row_files(kept):
                self._replace(self._folder / PAGE / name, content)
                written.add(name)
            for path in sorted((self._folder / PAGE / "data").glob("*.js")):
                if path.relative_to(self._folder / PAGE).as_posix() not in written:
                    path.unlink()
            rejected = rejected[~rejected["call"].isin(names)]
            text = calls_page(kept, rejected, self._scoring, before_s=self._before_s)
            self._replace(page, text.encode("utf-8", "backslashreplace"))
        yield Removed(self._name(page), f"{int(gone.sum())} rows of the page")

    def _erase_texts(self, matcher: _Matcher) -> Iterator[Removed]:
        """Delete pages and other texts on the calls; the pipeline that made them makes them again."""
        logs = {log.resolve() for log in self._logs}
        for path in self._files():
            unchanged_s = time.time() - path.stat().st_mtime
            if path.name.endswith(PARTIAL) and unchanged_s > ABANDONED_S:
                yield from self._delete(path, "file that was never completed")
            elif path in self._handled:
                continue
            elif path.suffix in TEXTS and path.resolve() not in logs:
                if path.suffix == ".log":
                    yield from self._clean_log(path, matcher)
                elif _contains(path, matcher.needles):
                    yield from self._delete(path, "page or text; run its pipeline again")

    def _clean_log(self, path: Path, matcher: _Matcher) -> Iterator[Removed]:
        if not path.is_file() or not _contains(path, matcher.needles):
            return
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not any(needle in line for needle in matcher.needles)]
        if not self._dry_run:
            # In place: a program may have it open to append to it.
            with path.open("r+b") as file:
                file.write(b"".join(kept))
                file.truncate()
        yield Removed(self._name(path), f"{len(lines) - len(kept)} lines")

    def _files(self) -> list[Path]:
        return sorted(
            path
            for path in self._folder.rglob("*")
            if path.is_file()
            and "01_raw" not in path.relative_to(self._folder).parts
            and not (self._apart and self._apart.intersection(path.parents))
        )

    def _delete(self, path: Path, what: str) -> Iterator[Removed]:
        if path.is_file():
            self._handled.add(path)
            if not self._dry_run:
                path.unlink()
            yield Removed(self._name(path), what)

    def _replace(self, path: Path, content: bytes) -> None:
        if self._dry_run:
            return
        with _rewriting(path) as partial:
            Path(partial).write_bytes(content)

    def _name(self, path: Path) -> str:
        inside = path.is_relative_to(self._folder)
        return path.relative_to(self._folder).as_posix() if inside else str(path)


def _count(connection: sa.Connection, rows: sa.Select[Any]) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(rows.subquery())) or 0


def _parts(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), 500):
        yield values[start : start + 500]


@contextmanager
def _rewriting(path: Path) -> Iterator[str]:
    """Give a path that replaces the file, which keeps its time: the age of calls is told by it."""
    status = path.stat() if path.exists() else None
    with replacing(path) as partial:
        yield partial
        if status is not None:
            os.utime(partial, ns=(status.st_atime_ns, status.st_mtime_ns))


def _has_rows(path: Path, matcher: _Matcher) -> bool:
    """Return whether a table has rows of the calls, which compression may hide from a search of bytes."""
    with open_table(path) as stored:
        return any(
            pc.any(matcher.rows(stored.read_row_group(group))).as_py()
            for group in range(stored.num_row_groups)
        )


def _pairs(path: Path, column: str) -> list[tuple[str, str]]:
    table = read_table(path)
    if column not in table.column_names:
        return []
    return list(zip(table["call"].to_pylist(), table[column].to_pylist(), strict=True))


@contextmanager
def _remedy_of_damage() -> Iterator[None]:
    try:
        yield
    except DamagedTable as error:
        error.add_note(
            "Calls in it cannot be erased. Delete it, or make it anew with the command that wrote it, and "
            "run the purge again; what was erased stays erased"
        )
        raise


def purge_folder(
    folder: Path,
    database: Database | None,
    settings: ReviewSettings,
    *,
    call: str | None = None,
    days: int | None = None,
    scoring: Mapping[str, Any] | None = None,
    before_s: float = 2.0,
    logs: Iterable[Path] = (),
    dry_run: bool = False,
    report: Callable[[str], object] = print,
) -> list[str]:
    """Erase one call, calls of a certain age, or what the retention no longer allows.

    Args:
        folder: The data folder, or the results of the command ``batch``.
        database: The database of reviews, if there is one.
        settings: Time zone and retention.
        call: Name of a call.
        days: Age from which whole calls are erased; without it and ``call``, the retention decides.
        scoring: Parameters of call scoring, which the page of calls explains.
        before_s: Seconds to play before a passage on that page.
        logs: Log files.
        dry_run: Whether everything is only listed.
        report: Gets every line for the user.

    Returns:
        Files that still hold a name of an erased call.

    Raises:
        ValueError: If several calls have the name.
        DatabaseError: If the database cannot be used.
        StoreHeld: If the command ``batch`` uses its results now.
        DamagedTable: If a table cannot be read.
    """
    zone = ZoneInfo(settings.time_zone)
    folders = result_folders(folder)
    with _held(folders, dry_run=dry_run), _remedy_of_damage():
        known_in = {
            one: known_calls(one, database if one == folder else None, zone) for one in folders
        }
        known = {name: found for one in folders for name, found in known_in[one].items()}
        chosen = _chosen(known, settings, call, days, report)
        n_removed, left = 0, list[str]()
        for one in folders:
            # A name that no table knows may be anywhere; a day that does not know it is left alone.
            wanted: dict[Kind, list[KnownCall]] = {
                kind: [
                    found
                    for found in of_kind
                    if one == folder or found.call in known_in[one] or found.call not in known
                ]
                for kind, of_kind in chosen.items()
            }
            if not any(wanted.values()):
                continue
            is_main = one == folder
            prefix = "" if is_main else f"{one.relative_to(folder).as_posix()}/"
            purge = Purge(
                one,
                database if is_main else None,
                scoring=CallSettings.model_validate(scoring or {}),
                before_s=before_s,
                logs=logs if is_main else (),
                dry_run=dry_run,
                apart=folders[:-1] if is_main else (),
            )
            for kind, of_kind in wanted.items():
                for removed in purge.erase(of_kind, known, [kind]):
                    n_removed += 1
                    report(
                        f"  {'would remove' if dry_run else 'removed'} {prefix}{removed.store}: "
                        f"{removed.what}"
                    )
            gone = wanted.get("passages", [])
            if gone and not dry_run:
                left += [f"{prefix}{name}" for name in purge.leftovers(gone, known)]
    report(f"{n_removed} entries {'found' if dry_run else 'removed'}")
    for found in chosen.get("passages", []):
        if found.path:
            report(f"The recording itself is yours; it was not touched: {found.path}")
    for name in left:
        report(f"STILL NAMED in {name}: nothing here knows how to change this file; do it by hand")
    return left


def _chosen(
    known: dict[str, KnownCall],
    settings: ReviewSettings,
    call: str | None,
    days: int | None,
    report: Callable[[str], object],
) -> dict[Kind, list[KnownCall]]:
    """Return and report the calls of which something is erased, by what."""
    moment = dt.datetime.now(dt.UTC)
    chosen: dict[Kind, list[KnownCall]]
    if call is not None:
        found, remark = find_call(call, known)
        chosen = {"passages": [found]}
        if remark:
            report(remark)
    elif days is not None:
        chosen = outdated(known, RetentionSettings(**{**NO_LIMITS, "passages": days}), moment)
    else:
        chosen = outdated(known, settings.retention, moment)
    whole = {one.call for one in chosen.get("passages", [])}
    for kind, of_kind in chosen.items():
        if kind != "passages":
            chosen[kind] = [one for one in of_kind if one.call not in whole]
        report(f"{kind.replace('_', ' ')}: {len(chosen[kind])} of {len(known)} calls")
    return chosen


@contextmanager
def _held(folders: list[Path], *, dry_run: bool) -> Iterator[None]:
    """Hold the results of ``batch``, so that no run writes them meanwhile."""
    around = {place for one in folders for place in (one, one.parent, *one.glob("model=*"))}
    models = [] if dry_run else sorted(one for one in around if one.name.startswith("model="))
    with ExitStack() as stack:
        for model in models:
            stack.enter_context(holding(str(model), "purging"))
        yield


class _Matcher:
    """Recognizes the names of calls in tables and texts.

    A file name that another call has, too, is no name of the call.
    """

    def __init__(self, chosen: list[KnownCall], known: dict[str, KnownCall]):
        names = {call.call for call in chosen}
        others = [call for name, call in known.items() if name not in names]
        taken = {PurePosixPath(call.call).name for call in others}
        taken |= {PurePosixPath(call.call).stem for call in others}
        taken |= {call.call_id for call in others}
        self._exact = names | {call.path for call in chosen if call.path}
        self._by_column = {
            "recording": set(self._exact),
            "call_id": {call.call_id for call in chosen} - taken - {""} | names,
        }
        texts = set(self._exact)
        for call in chosen:
            path = PurePosixPath(call.call)
            if path.name not in taken:
                self._by_column["recording"].add(path.name)
                texts.add(path.name)
            if path.stem not in taken:
                self._by_column["recording"].add(path.stem)
            if call.call_id not in taken:
                texts.add(call.call_id)
        texts = {text for text in texts if len(text) >= MIN_NEEDLE}
        self.needles = sorted(
            {form.encode("utf-8", "surrogatepass") for t in texts for form in _forms(t)}
        )

    def rows(self, table: pa.Table) -> pa.ChunkedArray | pa.Array:
        """Return which rows of a table belong to the calls."""
        found = pa.array([False] * len(table), pa.bool_())
        for name in table.column_names:
            kind = table.schema.field(name).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                continue
            values = self._exact | self._by_column.get(name, set())
            found = pc.or_(found, pc.is_in(table[name], pa.array(sorted(values), kind)))
        return found

    def in_row(self, header: list[str], row: list[str]) -> bool:
        """Return whether a row belongs to the calls."""
        return any(
            value in self._exact or value in self._by_column.get(name, ())
            for name, value in zip(header, row, strict=False)
        )

    def in_text(self, text: str) -> bool:
        """Return whether a text contains a name."""
        content = text.encode("utf-8", "surrogatepass")
        return any(needle in content for needle in self.needles)

    def possible(self, path: Path) -> bool:
        """Return whether a table of text may have a row of the calls."""
        values = set().union(self._exact, *self._by_column.values())
        return _contains(path, [value.encode("utf-8", "surrogatepass") for value in values]) or (
            _contains(path, self.needles)
        )


def _forms(text: str) -> set[str]:
    """Return how a name is written in HTML, JSON, CSV and URLs."""
    plain = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    in_html = json.dumps(text)[1:-1]
    for character in "<>&'":
        in_html = in_html.replace(character, f"\\u{ord(character):04x}")
    escaped = html.escape(text)
    return {
        text,
        escaped,
        escaped.replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        *plain,
        *(form.replace("/", "\\/") for form in plain),
        in_html,
        quote(text),
        quote(text, safe=""),
        text.replace('"', '""'),
    }


def _contains(path: Path, needles: Iterable[bytes]) -> bool:
    """Return whether a file contains one of some texts; it is read block by block."""
    wanted = [needle for needle in needles if needle]
    if not wanted:
        return False
    overlap = max(map(len, wanted)) - 1
    with path.open("rb") as file:
        rest = b""
        while block := file.read(BLOCK):
            content = rest + block
            if any(needle in content for needle in wanted):
                return True
            rest = content[-overlap:] if overlap else b""
    return False
