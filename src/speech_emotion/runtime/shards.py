"""Results that are kept in shards: tables whose rows are found by a key of what they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import pandas as pd

from speech_emotion import __version__

__all__ = ["KEY", "RECENT", "Shards", "digest", "list_stored", "locate", "prefix_of"]

Shards: TypeAlias = Mapping[str, Callable[[], pd.DataFrame]]
"""What loads a shard, by the shard's name."""
KEY: Final = "key"
"""Column of the keys."""
RECENT: Final = 8
"""Shards at hand when rows are put together: several runs store neighbours in a few."""


def digest(*facts: object) -> str:
    """Make a key, or the name of a shard, from what decides its content."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]


def prefix_of(*facts: object) -> str:
    """Begin the names of shards with how they were made, by which version of the package."""
    return f"{digest(__version__, *facts)[:12]}-"


def list_stored(shards: Shards, prefix: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """List the rows of the shards whose names begin with ``prefix``.

    Args:
        shards: All shards.
        prefix: What :func:`prefix_of` gave.
        columns: Columns to take besides the key.

    Returns:
        ``key``, ``columns``, ``shard`` and ``place``, the number of the row in its shard. A key is
        there several times where several runs stored it.
    """
    names = [KEY, *columns]
    tables = [
        load()[names].assign(shard=name, place=lambda table: range(len(table)))
        for name, load in shards.items()
        if name.startswith(prefix)
    ]
    nothing = pd.DataFrame(columns=[*names, "shard", "place"])
    return pd.concat(tables, ignore_index=True) if tables else nothing


def locate(rows: pd.DataFrame, stored: pd.DataFrame, *, remedy: str) -> pd.DataFrame:
    """Add what is stored of each row, by its key.

    Args:
        rows: ``key`` and ``path`` of each.
        stored: Table of :func:`list_stored`, each key once.
        remedy: What to do where one is missing.

    Raises:
        ValueError: If one is missing.
    """
    found = rows.merge(stored, on=KEY, how="left")
    if (missing := found["shard"].isna()).any():
        raise ValueError(
            f"{missing.sum()} of {len(found)} results, that of {found['path'][missing].iloc[0]} among "
            f"them, are not stored: {remedy}"
        )
    return found.astype({"place": int})
