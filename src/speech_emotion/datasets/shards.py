"""Partitions that need not be there yet, and are never there by half."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedro.io import DatasetError
from kedro_datasets.partitions import PartitionedDataset

__all__ = ["ShardsDataset"]

PARTIAL = ".partial"


class ShardsDataset(PartitionedDataset):
    """A partitioned dataset for a store that is filled piece by piece.

    An empty store loads as such, which the parent takes for an error. A partition is written under
    another name first: what an interrupted run leaves behind is not taken for a partition.
    """

    def load(self) -> dict[str, Callable[[], Any]]:
        """Return a loader for each partition that is there."""
        try:
            partitions = super().load()
        except DatasetError:
            if self._list_partitions():
                raise
            return {}
        return {name: load for name, load in partitions.items() if not name.endswith(PARTIAL)}

    def save(self, data: dict[str, Any]) -> None:
        """Store partitions, each of which appears when it is complete."""
        for name, content in data.items():
            super().save({name + PARTIAL: content})
            written, final = map(self._partition_to_path, (name + PARTIAL, name))
            self._filesystem.mv(written, final)
            self._invalidate_caches()
