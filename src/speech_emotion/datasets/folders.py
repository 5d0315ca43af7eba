"""Files and folders that libraries read and write on disk only, wherever they belong."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fsspec.core import url_to_fs

__all__ = ["Place"]


class Place:
    """A file or folder on disk or in an object store.

    Args:
        path: Its path, or its URL (``s3://…``).
    """

    def __init__(self, path: str):
        self._fs, self._path = url_to_fs(path)
        self._is_local = "file" in self._fs.protocol
        self._name = path

    def __str__(self) -> str:
        return self._name

    def exists(self) -> bool:
        """Whether there is anything."""
        self._fs.invalidate_cache()
        return self._fs.exists(self._path)

    @contextmanager
    def to_write(self) -> Iterator[Path]:
        """Give the path to write to; from there it replaces what is at the place."""
        if self._is_local:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            yield Path(self._path)
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(self._path).name
            yield local
            if self.exists():
                self._fs.rm(self._path, recursive=True)
            self._fs.put(str(local), self._path, recursive=local.is_dir())

    @contextmanager
    def to_read(self) -> Iterator[Path]:
        """Give a path to read from, until the end of the block."""
        if self._is_local:
            yield Path(self._path)
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(self._path).name
            self._fs.get(self._path, str(local), recursive=self._fs.isdir(self._path))
            yield local
