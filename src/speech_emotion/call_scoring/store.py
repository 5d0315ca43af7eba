"""Scored calls in shards: put together before they are stored, and found again afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

import pandas as pd

from speech_emotion.call_scoring.scoring import ScoredCall
from speech_emotion.runtime import KEY, RECENT, Shards, digest, list_stored

__all__ = ["UNREAD", "gather_calls", "join_tables", "list_calls", "shard_calls", "without_empty"]

UNREAD: Final = "unread"
"""Column that tells recordings which could not be fetched."""


def shard_calls(
    prefix: str, scored: Iterable[tuple[str, ScoredCall]], *, size: int
) -> Iterator[tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]]:
    """Put calls together that come one by one; those before a failure are kept, too.

    Args:
        prefix: How the names of the shards begin.
        scored: Key and result of each call.
        size: Calls a shard.

    Yields:
        Windows and channels of a shard, each by its name.
    """
    part: list[tuple[str, ScoredCall]] = []
    try:
        for one in scored:
            part.append(one)
            if len(part) == size:
                yield _shard(prefix, part)
                part = []
    except Exception:
        if part:
            yield _shard(prefix, part)
        raise
    if part:
        yield _shard(prefix, part)


def _shard(
    prefix: str, part: list[tuple[str, ScoredCall]]
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    name = f"{prefix}{digest(*(key for key, _ in part))}"
    windows = [one.windows.assign(**{KEY: key}) for key, one in part]
    channels = [one.channels.assign(**{KEY: key, UNREAD: one.unread}) for key, one in part]
    return {name: join_tables(windows)}, {name: join_tables(channels)}


def list_calls(windows: Shards, channels: Shards, prefix: str) -> pd.DataFrame:
    """Find the shard of each key that is stored, and whether its recording could not be read."""
    whole = {name: load for name, load in channels.items() if name in windows}
    stored = list_stored(whole, prefix, [UNREAD]).astype({UNREAD: bool})
    # The same may be stored twice: by two runs at the same time, or because it was unread before.
    return stored.sort_values(UNREAD, kind="stable").drop_duplicates(KEY)


def gather_calls(found: pd.DataFrame, shards: Shards, *, size: int) -> Iterator[pd.DataFrame]:
    """Give the rows of the calls in the order of ``found``, ``size`` calls at a time."""
    recent = lru_cache(RECENT)(lambda name: shards[name]())
    for start in range(0, len(found), size):
        part = found.iloc[start : start + size]
        tables = []
        for name, keys in part.groupby("shard", sort=False)[KEY]:
            table = recent(name)
            tables.append(table[table[KEY].isin(keys)])
        rows = join_tables(tables)
        order = rows[KEY].map(dict(zip(part[KEY], range(len(part)), strict=True)))
        rows = rows.iloc[order.to_numpy(dtype=int).argsort(kind="stable")]
        yield rows.drop(columns=[KEY, UNREAD], errors="ignore").reset_index(drop=True)


def join_tables(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Put tables below one another; those without rows, whose types are anything, only say the columns."""
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def without_empty(tables: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Leave out tables without rows: a file takes its types from the first; give one at least."""
    given = False
    for table in tables:
        if len(table):
            given = True
            yield table
    if not given:
        yield table
