"""Parquet tables that need not fit into memory to be saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Final

import pandas as pd
from kedro.io import DatasetError
from kedro.io.core import get_filepath_str

from speech_emotion.datasets.stored import ParquetDataset
from speech_emotion.runtime import CHECKSUMS, naming_damage, parquet_file, replacing

__all__ = ["BlocksDataset", "BlockwiseDataset", "TableBlocks"]

ROWS: Final = 65_536
"""Rows of a table that are in memory at once."""


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
        first = next(tables)
        with (
            replacing(path, self._fs) as partial,
            self._fs.open(partial, "wb") as file,
            ParquetWriter(file, first.schema, **CHECKSUMS) as writer,
        ):
            writer.write_table(first)
            for table in tables:
                writer.write_table(table)
        self._invalidate_cache()


class TableBlocks:
    """A stored table that is read block by block, as often as it is iterated over.

    Args:
        open_file: Opens the Parquet file.
        path: Its path, for messages.
    """

    def __init__(self, open_file: Callable[[], BinaryIO], path: str):
        self._open, self._path = open_file, path

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield the table in pieces; one without rows gives one piece without rows.

        Raises:
            DamagedTable: If the file cannot be read.
        """
        with self._open() as file, naming_damage(self._path):
            stored = parquet_file(file)
            if stored.metadata.num_rows == 0:
                yield stored.read().to_pandas()
            for batch in stored.iter_batches(batch_size=ROWS):
                yield batch.to_pandas()

    def to_pandas(self) -> pd.DataFrame:
        """Return the whole table."""
        return pd.concat(self, ignore_index=True)


class BlockwiseDataset(BlocksDataset):
    """A Parquet table that is saved and loaded block by block.

    Example:
        >>> dataset = BlockwiseDataset(filepath="emotions.parquet")  # doctest: +SKIP
        >>> for block in dataset.load():  # doctest: +SKIP
        ...     print(len(block))
    """

    def load(self) -> TableBlocks:
        """Return the table as blocks."""
        path = get_filepath_str(self._get_load_path(), self._protocol)
        if not self._fs.exists(path):
            raise DatasetError(f"There is no table at {path}: run the pipeline that writes it")
        return TableBlocks(lambda: self._fs.open(path, "rb"), path)

    def preview(self, nrows: int = 5) -> dict[str, Any]:
        """Return the first rows for kedro-viz."""
        return next(iter(self.load())).head(nrows).to_dict(orient="split")
