"""Tables and documents of kedro-datasets, written so that no reader sees half of one."""

from __future__ import annotations

import copy
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from kedro.io import AbstractVersionedDataset
from kedro.io.core import get_filepath_str
from kedro_datasets import json, pandas, partitions, text

from speech_emotion.runtime import CHECKED, CHECKSUMS, replacing
from speech_emotion.text_tables import neutralize_formulas

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "CSVDataset",
    "JSONDataset",
    "JSONLinesDataset",
    "ParquetDataset",
    "PartitionedDataset",
    "TextDataset",
    "save_atomically",
]


def save_atomically(dataset: Any, data: Any) -> None:
    """Save with a dataset of kedro-datasets that has one file, see :func:`speech_emotion.runtime.replacing`.

    Datasets of this package write so by themselves.
    """
    if not isinstance(dataset, AbstractVersionedDataset) or isinstance(dataset, _Atomic):
        dataset.save(data)
        return
    stored: Any = dataset
    path = get_filepath_str(stored._get_save_path(), stored._protocol)
    with replacing(path, stored._fs) as partial:
        beside = copy.copy(stored)
        beside._filepath = PurePosixPath(partial)
        beside.save(data)
    dataset.release()


class _Atomic:
    """Saves with the dataset that it is combined with, first under another name."""

    def save(self, data: Any) -> None:
        """Write the file beside the target; it replaces the target when it is complete."""
        dataset: Any = self
        path = get_filepath_str(dataset._get_save_path(), dataset._protocol)
        with replacing(path, dataset._fs) as partial:
            beside = copy.copy(dataset)
            beside._filepath = PurePosixPath(partial)
            super(_Atomic, beside).save(data)  # type: ignore[misc]  # of the other base class
        dataset.release()


class ParquetDataset(_Atomic, pandas.ParquetDataset):
    """A Parquet table, written as a whole, with checksums that are compared when it is read.

    Example:
        >>> dataset = ParquetDataset(filepath="utterances.parquet")
    """

    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = CHECKSUMS
    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = CHECKED


class CSVDataset(_Atomic, pandas.CSVDataset):
    """A CSV table, written as a whole, without formulas.

    Example:
        >>> dataset = CSVDataset(filepath="leaderboard.csv")
    """

    def save(self, data: DataFrame) -> None:
        """Write the table; cells that a spreadsheet would run become text."""
        super().save(neutralize_formulas(data))


class JSONLinesDataset(_Atomic, pandas.JSONDataset):
    """A table as JSON, written as a whole.

    Example:
        >>> dataset = JSONLinesDataset(filepath="calls.jsonl")
    """


class JSONDataset(_Atomic, json.JSONDataset):
    """A JSON document, written as a whole.

    Example:
        >>> dataset = JSONDataset(filepath="labels.json")
    """


class TextDataset(_Atomic, text.TextDataset):
    """A text, written as a whole.

    Example:
        >>> dataset = TextDataset(filepath="legend.txt")
    """


class PartitionedDataset(partitions.PartitionedDataset):
    """Files of a folder, of which those that are not saved again are deleted last.

    Example:
        >>> dataset = PartitionedDataset(path="tables", dataset="pandas.ParquetDataset")
    """

    def save(self, data: dict[str, Any]) -> None:
        """Write each file as a whole; with ``overwrite``, delete the others."""
        settings: Any = self
        overwrite, settings._overwrite = settings._overwrite, False
        try:
            super().save(data)
        finally:
            settings._overwrite = overwrite
        if overwrite:
            for path in self._list_partitions():
                if self._path_to_partition(path) not in data:
                    self._filesystem.rm_file(path)
            self.release()
