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
