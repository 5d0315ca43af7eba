"""A folder of recordings of calls."""

from __future__ import annotations

from typing import Any, Never

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from speech_emotion.runtime import exists

__all__ = ["RecordingsDataset"]


class RecordingsDataset(AbstractDataset[Never, pd.DataFrame]):
    """Recordings below a folder, listed by :func:`speech_emotion.call_scoring.find_recordings`.

    They stay where they are, and are opened one by one.
    """

    def __init__(
        self, *, filepath: str | float | None = None, metadata: dict[str, Any] | None = None
    ):
        """Take recordings from ``filepath``.

        Args:
            filepath: Path or URL (``s3://…``) of the folder with recordings.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        # --params turns a name that looks like a number into one.
        self._was_number = isinstance(filepath, int | float)
        self._folder = None if filepath is None else str(filepath)
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Find the recordings."""
        from speech_emotion.call_scoring import find_recordings

        if self._folder is None:
            raise DatasetError("No folder of recordings is given: add --params recordings_dir=PATH")
        if self._was_number and not exists(self._folder):
            raise DatasetError(
                f"recordings_dir was read as the number {self._folder}, which is not a folder: write "
                f"--params recordings_dir=./NAME"
            )
        return find_recordings(self._folder)

    def save(self, data: Never) -> Never:
        """Refuse: recordings are never written."""
        raise DatasetError("Recordings are read, never written")

    def _exists(self) -> bool:
        return self._folder is not None and exists(self._folder)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._folder}
