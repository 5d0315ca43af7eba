"""A file as it is."""

from __future__ import annotations

from typing import Any, Never

from kedro.io import AbstractDataset, DatasetError

from speech_emotion.runtime import exists, to_path

__all__ = ["RawFileDataset"]


class RawFileDataset(AbstractDataset[Never, bytes]):
    """The bytes of a file that somebody else wrote; a node interprets them.

    Example:
        >>> dataset = RawFileDataset(filepath="export.csv")
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        """Read ``filepath``.

        Args:
            filepath: Path or URL (``s3://…``) of the file.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._filepath = str(filepath)
        self.metadata = metadata

    def load(self) -> bytes:
        """Return the content of the file."""
        return to_path(self._filepath).read_bytes()

    def save(self, data: Never) -> Never:
        """Refuse: the file is read, never written."""
        raise DatasetError(f"{self._filepath} is read, never written")

    def _exists(self) -> bool:
        return exists(self._filepath)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
