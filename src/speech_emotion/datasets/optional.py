"""What may not be there."""

from __future__ import annotations

from typing import Any

from kedro.io import AbstractDataset, DatasetError

from speech_emotion.datasets.stored import save_atomically

__all__ = ["OptionalDataset"]


class OptionalDataset(AbstractDataset[Any, Any]):
    """Another dataset, or ``None`` where it was never saved or has no path.

    A node that can do without an input takes it from here; Kedro itself knows no optional inputs.

    Example:
        >>> dataset = OptionalDataset(
        ...     dataset={"type": "pandas.ParquetDataset", "filepath": "call_summary.parquet"}
        ... )
    """

    def __init__(
        self,
        *,
        dataset: dict[str, Any],
        must_exist: bool = False,
        metadata: dict[str, Any] | None = None,
    ):
        """Wrap a dataset.

        Args:
            dataset: Its configuration; without a ``filepath`` there is nothing to load.
            must_exist: Whether a path that is given and holds nothing is an error.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._must_exist = must_exist
        self._filepath = dataset.get("filepath")
        self._dataset = AbstractDataset.from_config("optional", dataset) if self._filepath else None
        self.metadata = metadata

    def load(self) -> Any:
        """Return what the dataset holds, or ``None``."""
        if self._dataset is None:
            return None
        if not self._dataset.exists():
            if self._must_exist:
                raise DatasetError(f"{self._filepath} does not exist; give the path of a file")
            return None
        return self._dataset.load()

    def save(self, data: Any) -> None:
        """Save into the dataset."""
        if self._dataset is None:
            raise DatasetError("There is no path to save to; set the dataset's filepath")
        save_atomically(self._dataset, data)

    def _exists(self) -> bool:
        return self._dataset is not None and self._dataset.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "must_exist": self._must_exist}
