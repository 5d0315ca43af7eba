"""Arrays in NumPy's own format."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import fsspec
import numpy as np
from kedro.io import AbstractDataset, DatasetError
from kedro.io.core import get_filepath_str, get_protocol_and_path

from speech_emotion.runtime import replacing

__all__ = ["ArrayBlocks", "ArrayDataset"]

MARK: Final = b"CRC-32: "
"""Precedes the checksum of the values, which follows them. NumPy ignores what follows the values."""
BLOCK_BYTES: Final = 1 << 22


class ArrayBlocks(NamedTuple):
    """An array that comes in blocks along its first axis.

    Attributes:
        shape: Shape of the whole.
        blocks: Arrays whose rows are those of the whole, in order.
        dtype: Type of all blocks.
    """

    shape: tuple[int, ...]
    blocks: Iterable[np.ndarray]
    dtype: type[np.generic] = np.float32


class ArrayDataset(AbstractDataset[np.ndarray | ArrayBlocks, np.ndarray]):
    """Save and load one array as ``.npy``, without pickle, mapped from disk on load.

    A mapped array costs memory only for the rows that are taken from it. What lies in an object store
    is copied to this machine first. A checksum follows the values, so that a damaged file is found.

    Example:
        >>> dataset = ArrayDataset(filepath="sequences.npy")  # doctest: +SKIP
        >>> dataset.save(np.zeros((10, 86, 57), dtype="float32"))  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        filepath: str,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        """Store the array at ``filepath``.

        Args:
            filepath: Path or URL of the ``.npy`` file.
            credentials: Options of the file system.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._protocol, path = get_protocol_and_path(filepath)
        self._filepath = get_filepath_str(PurePosixPath(path), self._protocol)
        self._fs = fsspec.filesystem(self._protocol, **(credentials or {}))
        self._copies: tempfile.TemporaryDirectory[str] | None = None
        self.metadata = metadata

    def save(self, data: np.ndarray | ArrayBlocks) -> None:
        """Write ``data`` beside the target first, so that no half file is ever read."""
        blocks: Iterable[np.ndarray]
        if isinstance(data, np.ndarray):
            if data.dtype.hasobject:
                raise DatasetError(
                    f"{self._filepath}: only numeric arrays are stored, not {data.dtype}"
                )
            dtype, shape, blocks = data.dtype, data.shape, [np.ascontiguousarray(data)]
        else:
            dtype, shape, blocks = np.dtype(data.dtype), data.shape, data.blocks
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        }
        with (
            replacing(self._filepath, self._fs) as partial,
            self._fs.open(partial, "wb") as file,
        ):
            np.lib.format.write_array_header_2_0(file, header)
            checksum = 0
            for block in blocks:
                values = block.tobytes()
                checksum = zlib.crc32(values, checksum)
                file.write(values)
            file.write(MARK + struct.pack("<I", checksum))

    def load(self) -> np.ndarray:
        """Map the array read-only.

        Raises:
            DatasetError: If the file is cut, or its values are not those that were saved.
        """
        path = self._filepath
        if self._protocol != "file":
            self._copies = tempfile.TemporaryDirectory()
            path = str(Path(self._copies.name) / Path(path).name)
            self._fs.get_file(self._filepath, path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        _check(path, array.offset, array.nbytes)
        return array

    def _exists(self) -> bool:
        return self._fs.exists(self._filepath)

    def _release(self) -> None:
        self._fs.invalidate_cache(self._filepath)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}


def _check(path: str, offset: int, n_bytes: int) -> None:
    """Compare the values with the checksum that follows them; arrays of other programs have none."""
    with open(path, "rb") as file:
        file.seek(offset + n_bytes)
        mark, stored = file.read(len(MARK)), file.read()
        if mark != MARK:
            return
        file.seek(offset)
        checksum = 0
        for start in range(0, n_bytes, BLOCK_BYTES):
            checksum = zlib.crc32(file.read(min(BLOCK_BYTES, n_bytes - start)), checksum)
    if struct.pack("<I", checksum) != stored:
        raise ValueError("the values are not those that were saved (their checksum differs)")
