"""Cache of scored calls: stored in shards, found again by a key, gathered in the order of an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

import pandas as pd

from speech_emotion.call_scoring.inspection import Inspection
from speech_emotion.call_scoring.scoring import ScoredCall
from speech_emotion.runtime import (
    KEY,
    RECENT,
    UNREAD,
    DamagedShard,
    ShardStore,
    digest,
    list_stored,
)

__all__ = [
    "compact_calls",
    "gather_calls",
    "join_tables",
    "list_calls",
    "list_inspections",
    "load_inspections",
    "store_calls",
    "store_inspections",
    "without_empty",
]

N_WINDOWS: Final = "n_windows"
"""Column with the number of rows that the call has in the table of windows."""
WINDOWS: Final = "window"
CHANNELS: Final = "channel"
INSPECTIONS: Final = "inspection"
"""Folders of the cache: tables with a row a window, a party, and a recording."""


COMPACTED: Final = 4096
"""Calls of a shard from which it is not joined with others."""


def compact_calls(cache: ShardStore, *, size: int = COMPACTED) -> None:
    """Join small shards, so that there is about one file of each kind for ``size`` calls.

    A shard that is joined is removed after the new one is complete; so an interruption loses nothing.

    Args:
        cache: The cache; no other run may use it now.
        size: Calls of a shard from which it stays as it is.
    """
    inspections, channels, windows = (
        cache.within(kind) for kind in (INSPECTIONS, CHANNELS, WINDOWS)
    )
    for names in _small(inspections, size):
        _join(inspections, names)
    for names in _small(channels, size):
        try:
            joined = join_tables([windows.load(name) for name in names])
            table = _newest(join_tables([channels.load(name) for name in names]))
        except (DamagedShard, FileNotFoundError):
            continue  # it is made anew by the next run
        table = table.sort_values("path", kind="stable", ignore_index=True)
        place = pd.Series(range(len(table)), index=table[KEY])
        place = place[~place.index.duplicated()]
        joined = joined[joined[KEY].isin(place.index)].drop_duplicates(
            [KEY, "channel", "channel_role", "start_s"]
        )
        joined = joined.iloc[place.loc[joined[KEY]].to_numpy().argsort(kind="stable")]
        name = _joined_name(names)
        windows.put(name, joined.reset_index(drop=True))
        channels.put(name, table)
        for store in (channels, windows):
            for old in names:
                store.remove(old)


def _small(store: ShardStore, size: int) -> Iterator[list[str]]:
    """Yield names of shards with the same beginning that are to be joined."""
    groups: dict[str, list[str]] = {}
    for name in store.names():
        groups.setdefault(name.partition("-")[0], []).append(name)
    for names in groups.values():
        pending, n_calls = [], 0
        for name in names if len(names) > 1 else ():
            try:
                count = store.load(name, [KEY])[KEY].nunique()
            except (DamagedShard, FileNotFoundError):
                continue
            if count >= size:
                continue
            pending.append(name)
            n_calls += count
            if n_calls >= size:
                yield pending
                pending, n_calls = [], 0
        if len(pending) > 1:
            yield pending


def _join(store: ShardStore, names: list[str]) -> None:
    try:
        table = _newest(join_tables([store.load(name) for name in names]))
    except (DamagedShard, FileNotFoundError):
        return
    store.put(_joined_name(names), table)
    for name in names:
        store.remove(name)


def _joined_name(names: list[str]) -> str:
    return f"{names[0].partition('-')[0]}-{digest(*names)}"


def _newest(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the rows of calls that could not be read, if they were read later."""
    read = set(table.loc[~table[UNREAD].astype(bool), KEY])
    outdated = table[UNREAD].astype(bool) & table[KEY].isin(read)
    columns = [name for name in (KEY, "party") if name in table]
    return table[~outdated].drop_duplicates(columns, keep="last", ignore_index=True)


def store_calls(
    cache: ShardStore, prefix: str, scored: Iterable[tuple[str, ScoredCall]], *, size: int
) -> None:
    """Store calls as they are scored; those before a failure are stored, too.

    Args:
        cache: The cache.
        prefix: Beginning of the names of the shards.
        scored: Key and result of each call.
        size: Calls a shard.
    """
    pending: list[tuple[str, ScoredCall]] = []
    try:
        for one in scored:
            pending.append(one)
            if len(pending) == size:
                _store(cache, prefix, pending)
                pending = []
    finally:
        if pending:
            _store(cache, prefix, pending)


def _store(cache: ShardStore, prefix: str, calls: list[tuple[str, ScoredCall]]) -> None:
    name = f"{prefix}{digest(*(key for key, _ in calls))}"
    windows = [call.windows.assign(**{KEY: key}) for key, call in calls]
    channels = [
        call.channels.assign(**{KEY: key, UNREAD: call.unread, N_WINDOWS: len(call.windows)})
        for key, call in calls
    ]
    # Channels last: a shard counts only if both tables are there.
    cache.within(WINDOWS).put(name, join_tables(windows))
    cache.within(CHANNELS).put(name, join_tables(channels))


def store_inspections(
    cache: ShardStore, prefix: str, inspected: Iterable[tuple[str, Inspection]], *, size: int
) -> None:
    """Store inspected recordings as they are done; those before a failure are stored, too.

    Args:
        cache: The cache.
        prefix: Beginning of the names of the shards.
        inspected: Key and result of each recording.
        size: Recordings a shard.
    """
    store = cache.within(INSPECTIONS)
    pending: list[dict[str, Any]] = []

    def put() -> None:
        if pending:
            store.put(f"{prefix}{digest(*(row[KEY] for row in pending))}", pd.DataFrame(pending))

    try:
        for key, inspection in inspected:
            pending.append({KEY: key, **inspection.to_dict()})
            if len(pending) == size:
                put()
                pending = []
    finally:
        put()


def list_inspections(cache: ShardStore, prefix: str) -> pd.DataFrame:
    """List the stored keys with their shards, and whether their recordings could not be fetched."""
    stored = list_stored(cache.within(INSPECTIONS), prefix, [UNREAD]).astype({UNREAD: bool})
    return stored.sort_values(UNREAD, kind="stable").drop_duplicates(KEY)


def load_inspections(found: pd.DataFrame, cache: ShardStore) -> Iterator[Inspection]:
    """Yield the inspections in the order of ``found``: ``shard`` and ``place`` of each."""
    recent = lru_cache(RECENT)(cache.within(INSPECTIONS).load)
    for shard, place in zip(found["shard"], found["place"], strict=True):
        yield Inspection.from_dict(recent(shard).iloc[place].to_dict())


def list_calls(cache: ShardStore, prefix: str) -> pd.DataFrame:
    """List the stored keys with their shards, and whether their recordings could not be fetched.

    Shards whose two tables do not belong together are set aside.
    """
    stored = list_stored(cache.within(CHANNELS), prefix, [UNREAD, N_WINDOWS])
    stored = stored.astype({UNREAD: bool})
    windows = cache.within(WINDOWS)
    names = set(windows.names(prefix))
    whole = [
        name
        for name, calls in stored.groupby("shard")
        if name in names and _has_windows(windows, str(name), calls)
    ]
    stored = stored[stored["shard"].isin(whole)].drop(columns=N_WINDOWS)
    # Stored twice: by two runs at the same time, or because it could not be fetched before.
    return stored.sort_values(UNREAD, kind="stable").drop_duplicates(KEY)


def _has_windows(store: ShardStore, name: str, calls: pd.DataFrame) -> bool:
    """Whether the table of windows has as many rows of each call as the other table says."""
    try:
        found = store.load(name, [KEY])[KEY].value_counts()
        expected = calls.drop_duplicates(KEY).set_index(KEY)[N_WINDOWS]
        if expected.isna().any():
            return True  # of an older version
        expected = expected[expected > 0].astype(int)
        if expected.to_dict() != found.to_dict():
            raise store.set_aside(name, "it does not have the windows of its calls")
    except DamagedShard:
        return False
    return True


def gather_calls(
    found: pd.DataFrame, cache: ShardStore, *, size: int
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the channels and the windows of the calls in the order of ``found``.

    Args:
        found: ``key`` and ``shard`` of each call.
        cache: The cache.
        size: Calls in each pair of tables.
    """
    tables = (_gather(found, cache.within(kind), size=size) for kind in (CHANNELS, WINDOWS))
    return zip(*tables, strict=True)


def _gather(found: pd.DataFrame, store: ShardStore, *, size: int) -> Iterator[pd.DataFrame]:
    recent = lru_cache(RECENT)(store.load)
    for start in range(0, len(found), size):
        calls = found.iloc[start : start + size]
        tables = []
        for name, keys in calls.groupby("shard", sort=False)[KEY]:
            table = recent(name)
            tables.append(table[table[KEY].isin(keys)])
        rows = join_tables(tables)
        order = rows[KEY].map(dict(zip(calls[KEY], range(len(calls)), strict=True)))
        rows = rows.iloc[order.to_numpy(dtype=int).argsort(kind="stable")]
        yield rows.drop(columns=[KEY, UNREAD, N_WINDOWS], errors="ignore").reset_index(drop=True)


def join_tables(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate tables; those without rows have no useful types and only give the columns."""
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def without_empty(tables: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield the tables that have rows, or the last one if none has.

    A file takes its column types from the first table.
    """
    filled = False
    for table in tables:
        if len(table):
            filled = True
            yield table
    if not filled:
        yield table
