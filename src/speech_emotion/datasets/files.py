"""The folder of a page, which nodes list and fill."""

from __future__ import annotations

from typing import Any, Never

from kedro.io import AbstractDataset, DatasetError

from speech_emotion.runtime import FileStore

__all__ = ["FilesDataset"]


class FilesDataset(AbstractDataset[Never, FileStore]):
    """Files beside a page: sounds, and data that the page loads when they are needed.

    Loading returns the :class:`speech_emotion.runtime.FileStore` itself. It is an input of each node that
    fills it, because a node looks for what is there already.

    Example:
        >>> FilesDataset(path="memory://page").load().names("sounds")
        set()
    """

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None):
        """Keep the files in the folder ``path``.

        Args:
            path: Path or URL (``s3://…``) of the folder.
            metadata: Ignored by Kedro, read by its plugins.
        """
        self._path = path
        self.metadata = metadata

    def load(self) -> FileStore:
        """Return the folder."""
        return FileStore(self._path)

    def save(self, data: Never) -> Never:
        """Refuse: nodes fill the folder that they load."""
        raise DatasetError("The files of a page are written by the nodes that load their folder")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path}
