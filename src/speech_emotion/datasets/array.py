"""Arrays in NumPy's own format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import AbstractDataset, DatasetError

__all__ = ["ArrayDataset"]


class ArrayDataset(AbstractDataset[np.ndarray, np.ndarray]):
    """Save and load one array as ``.npy``, without pickle, mapped from disk on load.

    A mapped array costs memory only for the rows that are taken from it.

    Example:
        >>> dataset = ArrayDataset(filepath="sequences.npy")  # doctest: +SKIP
        >>> dataset.save(np.zeros((10, 86, 57), dtype="float32"))  # doctest: +SKIP
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        """Store the array at ``filepath``.

        Args:
            filepath: Path of the ``.npy`` file.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: np.ndarray) -> None:
        """Write ``data`` beside the target first, so that no half file is ever read."""
        if data.dtype.hasobject:
            raise DatasetError(f"{self._filepath}: only plain arrays are stored, not {data.dtype}")
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        partial = self._filepath.with_suffix(".partial.npy")
        np.save(partial, data, allow_pickle=False)
        partial.replace(self._filepath)

    def load(self) -> np.ndarray:
        """Map the array read-only."""
        return np.load(self._filepath, mmap_mode="r", allow_pickle=False)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}
