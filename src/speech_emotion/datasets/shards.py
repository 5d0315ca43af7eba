"""Partitions that need not be there yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedro.io import DatasetError
from kedro_datasets.partitions import PartitionedDataset

__all__ = ["ShardsDataset"]


class ShardsDataset(PartitionedDataset):
    """A partitioned dataset that loads as empty where nothing was stored.

    The parent takes an empty folder for an error, which it is not for a store that is filled
    piece by piece.
    """

    def load(self) -> dict[str, Callable[[], Any]]:
        """Return a loader for each partition that is there."""
        try:
            return super().load()
        except DatasetError:
            if self._list_partitions():
                raise
            return {}
