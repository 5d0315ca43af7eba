"""Content-addressed cache of results: tables whose rows are found by a key of what they depend on."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Sequence
from typing import Final

import fsspec
import pandas as pd
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from speech_emotion.runtime.parquet import CHECKED, CHECKSUMS, is_damage
from speech_emotion.runtime.writing import replacing

__all__ = [
    "KEY",
    "RECENT",
    "UNREAD",
    "DamagedShard",
    "ShardStore",
    "digest",
    "list_stored",
    "locate",
    "prefix_of",
]

KEY: Final = "key"
"""Column of the keys."""
RECENT: Final = 8
"""Shards that stay in memory while rows are gathered: several runs store neighbors in a few shards."""

UNREAD: Final = "unread"
"""Column that marks rows without a result for a reason outside of the recording: they are tried again."""

SUFFIX: Final = ".parquet"
DAMAGED: Final = ".damaged"

logger = logging.getLogger(__name__)


class DamagedShard(ValueError):
    """A shard cannot be read or has other rows than were stored; it was set aside."""


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
        """Load a shard, or those of the columns that it has.

        Raises:
            DamagedShard: If it cannot be read; then it is set aside, and a later run makes it anew.
            OSError: If the file system fails.
        """
        try:
            with self._fs.open(self._path(name), "rb") as file:
                stored = ParquetFile(file, **CHECKED)
                found = set(stored.schema_arrow.names)
                wanted = None if columns is None else [one for one in columns if one in found]
                return stored.read(columns=wanted).to_pandas()
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            if isinstance(error, OSError) and not is_damage(error):
                raise
            raise self.set_aside(name, str(error).splitlines()[0]) from error

    def check(self, name: str) -> None:
        """Read all of a shard, without converting it.

        Raises:
            DamagedShard: As :meth:`load`.
        """
        try:
            with self._fs.open(self._path(name), "rb") as file:
                stored = ParquetFile(file, **CHECKED)
                for group in range(stored.num_row_groups):
                    stored.read_row_group(group)
        except (pa.ArrowException, OSError) as error:
            if not is_damage(error):
                raise
            raise self.set_aside(name, str(error).splitlines()[0]) from error

    def set_aside(self, name: str, problem: str) -> DamagedShard:
        """Rename a damaged shard, so that it is made anew, and return the error."""
        # Hidden from readers of whole folders, such as pandas.
        aside = f"{self._folder}/_{name}{SUFFIX}{DAMAGED}"
        if self._fs.exists(self._path(name)):
            self._fs.mv(self._path(name), aside)
        error = DamagedShard(
            f"{self._path(name)} was damaged ({problem}) and is now {aside}, which can be deleted; run "
            "the command again, which makes it anew"
        )
        logger.warning("%s", error)
        return error

    def put(self, name: str, table: pd.DataFrame) -> None:
        """Store a shard, which replaces one of the same name."""
        with replacing(self._path(name), self._fs) as partial, self._fs.open(partial, "wb") as file:
            table.to_parquet(file, **CHECKSUMS)

    def remove(self, name: str) -> None:
        """Delete a shard; another run may have been faster."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

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
        several runs stored occurs several times. Damaged shards are set aside and left out; a column
        that older shards lack is missing in their rows.
    """
    wanted = [KEY, *columns]
    tables = []
    for name in store.names(prefix):
        try:
            table = store.load(name, wanted)
        except DamagedShard:
            continue  # its rows are computed again
        except FileNotFoundError:  # another run has just set it aside
            continue
        tables.append(
            table.assign(shard=name, place=range(len(table))).reindex(
                columns=[*wanted, "shard", "place"]
            )
        )
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
