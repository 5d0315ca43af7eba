"""Content-addressed caches that nodes read and fill."""

from __future__ import annotations

from typing import Any, Never

from kedro.io import AbstractDataset, DatasetError

from speech_emotion.runtime import ShardStore

__all__ = ["CacheDataset"]


class CacheDataset(AbstractDataset[Never, ShardStore]):
    """A cache of results that several nodes and runs share.

    Loading returns the :class:`speech_emotion.runtime.ShardStore` itself, which nodes list, read and
    fill. It is an input of each node that uses it and the output of none: what a node returns does
    not depend on what was in the cache before.

    Example:
        >>> cache = CacheDataset(path="memory://features").load()
        >>> cache.names()
        []
    """

    def __init__(
        self,
        *,
        path: str,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        """Keep the cache in the folder ``path``.

        Args:
            path: Path or URL (``s3://…``) of the folder.
            credentials: Options of the file system.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._path = path
        self._credentials = credentials
        self.metadata = metadata

    def load(self) -> ShardStore:
        """Return the cache."""
        return ShardStore(self._path, storage_options=self._credentials)

    def save(self, data: Never) -> Never:
        """Refuse: nodes fill the cache that they load."""
        raise DatasetError("A cache is filled by the nodes that load it; it is not an output")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path}
