"""A folder of recordings of calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Never

from kedro.io import AbstractDataset, DatasetError

__all__ = ["RecordingsDataset"]


class RecordingsDataset(AbstractDataset[Never, dict[str, Path]]):
    """Recordings below a folder: the path of each by its path relative to the folder.

    They stay where they are, and are opened one by one.
    """

    def __init__(self, *, filepath: str | None = None, metadata: dict[str, Any] | None = None):
        """Take recordings from ``filepath``.

        Args:
            filepath: Folder with recordings.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._folder = Path(filepath) if filepath else None
        self.metadata = metadata

    def load(self) -> dict[str, Path]:
        """Find the recordings."""
        from speech_emotion.calls import find_recordings

        if self._folder is None:
            raise DatasetError("No folder of recordings is given: add --params recordings_dir=PATH")
        found = find_recordings(self._folder)
        return {path.relative_to(self._folder).as_posix(): path for path in found}

    def save(self, data: Never) -> Never:
        """Refuse: recordings are never written."""
        raise DatasetError("Recordings are read, never written")

    def _exists(self) -> bool:
        return self._folder is not None and self._folder.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}
