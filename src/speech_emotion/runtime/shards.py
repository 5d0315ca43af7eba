"""Content-addressed cache of results: tables whose rows are found by a key of what they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

import fsspec
import pandas as pd

__all__ = ["KEY", "RECENT", "ShardStore", "digest", "list_stored", "locate", "prefix_of"]

KEY: Final = "key"
"""Column of the keys."""
RECENT: Final = 8
"""Shards that stay in memory while rows are gathered: several runs store neighbors in a few shards."""

SUFFIX: Final = ".parquet"


class ShardStore:
    """A folder of tables (shards), on disk or in an object store.

    Several runs may fill one store at the same time: a shard is written under another name first and
    appears when it is complete, and shards of the same name have the same content.

    Args:
        path: Path or URL (``s3://…``) of the folder; it need not exist.
        storage_options: Options of the file system.

    Example:
        >>> store = ShardStore("memory://example")
        >>> store.put("first", pd.DataFrame({"key": ["a", "b"], "value": [1, 2]}))
        >>> store.names()
        ['first']
        >>> store.load("first", columns=["value"])["value"].tolist()
        [1, 2]
    """

    def __init__(self, path: str, *, storage_options: dict[str, object] | None = None):
        self.path = path.rstrip("/")
        self._options = storage_options or {}
        self._fs, self._folder = fsspec.core.url_to_fs(self.path, **self._options)

    def within(self, name: str) -> ShardStore:
        """Return the store in the subfolder ``name``."""
        return ShardStore(f"{self.path}/{name}", storage_options=self._options)

    def names(self, prefix: str = "") -> list[str]:
        """List the shards whose names start with ``prefix``."""
        self._fs.invalidate_cache(self._folder)
        try:
            paths = self._fs.ls(self._folder, detail=False)
        except FileNotFoundError:
            return []
        names = (path.rsplit("/", 1)[-1] for path in paths if path.endswith(SUFFIX))
        return sorted(name.removesuffix(SUFFIX) for name in names if name.startswith(prefix))

    def load(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Load a shard, or some of its columns."""
        with self._fs.open(self._path(name), "rb") as file:
            return pd.read_parquet(file, columns=None if columns is None else list(columns))

    def put(self, name: str, table: pd.DataFrame) -> None:
        """Store a shard, which replaces one of the same name."""
        self._fs.makedirs(self._folder, exist_ok=True)
        partial = f"{self._path(name)}.{uuid4().hex}.partial"
        with self._fs.open(partial, "wb") as file:
            table.to_parquet(file)
        self._fs.mv(partial, self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}{SUFFIX}"


def digest(*values: object) -> str:
    """Return a key, or the name of a shard, from the values that its content depends on."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:24]


def prefix_of(*values: object) -> str:
    """Return the beginning of the names of shards: a digest of code version and settings."""
    return f"{digest(*values)[:12]}-"


def list_stored(store: ShardStore, prefix: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """List the rows of the shards whose names start with ``prefix``.

    Args:
        store: The store.
        prefix: Result of :func:`prefix_of`.
        columns: Columns to load besides the key.

    Returns:
        ``key``, ``columns``, ``shard`` and ``place``, the number of the row in its shard. A key that
        several runs stored occurs several times.
    """
    wanted = [KEY, *columns]
    tables = [
        store.load(name, wanted).assign(shard=name, place=lambda table: range(len(table)))
        for name in store.names(prefix)
    ]
    nothing = pd.DataFrame(columns=[*wanted, "shard", "place"])
    return pd.concat(tables, ignore_index=True) if tables else nothing


def locate(rows: pd.DataFrame, stored: pd.DataFrame, *, remedy: str) -> pd.DataFrame:
    """Add shard and place of each row, by its key.

    Args:
        rows: ``key`` and ``path`` of each row.
        stored: Table of :func:`list_stored`, each key once.
        remedy: What to do if a key is missing.

    Raises:
        ValueError: If a key is missing.
    """
    found = rows.merge(stored, on=KEY, how="left")
    if (missing := found["shard"].isna()).any():
        raise ValueError(
            f"{missing.sum()} of {len(found)} results, that of {found['path'][missing].iloc[0]} among "
            f"them, are not stored: {remedy}"
        )
    return found.astype({"place": int})
