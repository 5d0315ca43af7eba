"""Parquet tables that need not fit into memory to be saved."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from kedro.io.core import get_filepath_str
from kedro_datasets.pandas import ParquetDataset

__all__ = ["BlocksDataset"]


class BlocksDataset(ParquetDataset):
    """A Parquet table that is saved whole or block by block, and loaded whole.

    Example:
        >>> dataset = BlocksDataset(filepath="features.parquet")  # doctest: +SKIP
        >>> dataset.save(pd.DataFrame({"x": [start]}) for start in range(3))  # doctest: +SKIP
    """

    def save(self, data: pd.DataFrame | Iterable[pd.DataFrame]) -> None:
        """Write the blocks beside the target first, so that no half table is ever read.

        Args:
            data: The table, or at least one table; all with the columns and types of the first.
        """
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        tables = (
            pa.Table.from_pandas(block, preserve_index=False)
            for block in ([data] if isinstance(data, pd.DataFrame) else data)
        )
        path = get_filepath_str(self._get_save_path(), self._protocol)
        partial = f"{path}.partial"
        first = next(tables)
        with self._fs.open(partial, "wb") as file, ParquetWriter(file, first.schema) as writer:
            writer.write_table(first)
            for table in tables:
                writer.write_table(table)
        self._fs.mv(partial, path)
        self._invalidate_cache()
