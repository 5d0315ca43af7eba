"""Parquet tables with checksums: a file that is damaged is an error that names it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any, BinaryIO, Final

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = [
    "CHECKED",
    "CHECKSUMS",
    "DamagedTable",
    "is_damage",
    "naming_damage",
    "open_table",
    "parquet_file",
    "read_table",
]

CHECKSUMS: Final[dict[str, Any]] = {"write_page_checksum": True}
"""Options of PyArrow's writers; without them, changed bytes can be read as other values."""
CHECKED: Final[dict[str, Any]] = {"page_checksum_verification": True}
"""Options of PyArrow's readers. Tables without checksums are read as they are."""


class DamagedTable(ValueError):
    """A table cannot be read, or does not have the values that were written.

    Attributes:
        path: Path or URL of the table; empty if it is not known.
    """

    def __init__(self, message: str, path: str = ""):
        super().__init__(message)
        self.path = path


def is_damage(error: Exception) -> bool:
    """Return whether an error of PyArrow is about the content of a file, not about its file system."""
    # Arrow's own OSErrors have no number; the others are of the description of the table, which is JSON.
    bare = type(error) is OSError and error.errno is None
    return bare or isinstance(error, pa.ArrowException | JSONDecodeError | UnicodeDecodeError)


@contextmanager
def naming_damage(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn errors of PyArrow about the content of a file into :class:`DamagedTable`."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        if not is_damage(error):
            raise
        reason = str(error).splitlines()[0]
        raise DamagedTable(f"{path} is damaged ({reason})", os.fspath(path)) from error


def parquet_file(file: BinaryIO) -> pq.ParquetFile:
    """Open a Parquet file whose pages are checked when they are read, and check its description."""
    opened = pq.ParquetFile(file, **CHECKED)
    opened.schema_arrow.pandas_metadata  # noqa: B018 # parses it
    return opened


@contextmanager
def open_table(path: str | os.PathLike[str]) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file by path or URL, to read parts of it.

    Raises:
        DamagedTable: If it cannot be read.
        OSError: If there is no such file, or the file system fails.
    """
    files, stored = fsspec.core.url_to_fs(os.fspath(path))
    with files.open(stored, "rb") as file, naming_damage(path):
        yield parquet_file(file)


def read_table(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file by path or URL.

    Raises:
        DamagedTable: If it cannot be read.
        OSError: If there is no such file, or the file system fails.
    """
    with open_table(path) as stored:
        return stored.read(columns=None if columns is None else list(columns))
