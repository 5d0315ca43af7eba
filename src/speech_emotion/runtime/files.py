"""A folder of files that belong to a page, on disk or in an object store."""

from __future__ import annotations

import fsspec

from speech_emotion.runtime.writing import PARTIAL, write_bytes

__all__ = ["FileStore"]


class FileStore:
    """Files below a folder, by their path in it.

    Args:
        path: Path or URL (``s3://…``) of the folder; it need not exist.

    Example:
        >>> store = FileStore("memory://page")
        >>> store.put("data/a.js", b"1")
        >>> store.names("data"), store.remove("data/a.js"), store.names("data")
        ({'data/a.js'}, None, set())
    """

    def __init__(self, path: str):
        self.path = path.rstrip("/")
        self._fs, self._folder = fsspec.core.url_to_fs(self.path)

    def names(self, folder: str) -> set[str]:
        """Return the files in a subfolder, at any depth."""
        self._fs.invalidate_cache(f"{self._folder}/{folder}")
        found = self._fs.find(f"{self._folder}/{folder}")
        names = (path[path.index(self._folder) + len(self._folder) + 1 :] for path in found)
        return {name for name in names if not name.endswith(PARTIAL)}

    def put(self, name: str, content: bytes) -> None:
        """Write a file; it appears when it is complete."""
        write_bytes(f"{self._folder}/{name}", content, self._fs)

    def remove(self, name: str) -> None:
        """Delete a file."""
        self._fs.rm_file(f"{self._folder}/{name}")
