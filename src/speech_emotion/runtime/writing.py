"""Write files and folders so that readers see the old content or the new one, and never a part.

Everything is written beside its target under a name that no other writer has. It replaces the target when
it is complete and on the disk, and is deleted if writing fails. Whatever a killed process left is deleted
by a later writer of the same target.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

__all__ = ["PARTIAL", "replacing", "replacing_folder", "write_bytes"]

PARTIAL: Final = ".partial"
"""End of the names of files and folders that are being written."""
ABANDONED_S: Final = 86_400.0
"""Seconds without a change after which no process still writes a partial file."""


@contextmanager
def replacing(path: str | os.PathLike[str], files: Any = None) -> Iterator[str]:
    """Give the path of a file to write, which replaces ``path`` at the end.

    Args:
        path: Path or URL of the file; its folder is created.
        files: File system of fsspec in which ``path`` is a path; by default that of ``path``.

    Example:
        >>> with replacing("memory://replacing_example/a.txt") as partial:
        ...     _ = fsspec.filesystem("memory").pipe(partial, b"complete")
        >>> fsspec.filesystem("memory").ls("replacing_example", detail=False)
        ['/replacing_example/a.txt']
    """
    target = os.fspath(path)
    if files is None:
        files, target = fsspec.core.url_to_fs(target)
    folder, _, name = target.rpartition("/")
    if folder:
        files.makedirs(folder, exist_ok=True)
    is_local = isinstance(files, LocalFileSystem)
    if is_local:
        _remove_abandoned(Path(target))
    partial = f"{folder}/" * bool(folder) + _partial_name(name)
    try:
        yield partial
        if is_local:
            _flush(Path(partial))
            os.replace(partial, target)
        else:
            files.mv(partial, target)
    except BaseException:
        if files.exists(partial):
            files.rm_file(partial)
        raise


def write_bytes(path: str | os.PathLike[str], content: bytes, files: Any = None) -> None:
    """Write a file whole, see :func:`replacing`."""
    if files is None:
        files, path = fsspec.core.url_to_fs(os.fspath(path))
    with replacing(path, files) as partial, files.open(partial, "wb") as file:
        file.write(content)


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the path of a folder, which does not exist yet, to write; it replaces ``path`` at the end.

    What is written may also be a file. Of writers at the same time, the last one wins.

    Args:
        path: Local path.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    partial = target.with_name(_partial_name(target.name))
    try:
        yield partial
        for file in [partial, *partial.rglob("*")]:
            if file.is_file():
                _flush(file)
        while not _moved(partial, target):
            _remove(target)
    except BaseException:
        _remove(partial)
        raise


def _partial_name(name: str) -> str:
    # Hidden, so that readers of whole folders, such as pandas, pass it by.
    return f".{name}.{uuid4().hex}{PARTIAL}"


def _moved(source: Path, target: Path) -> bool:
    try:
        os.replace(source, target)
    except OSError as error:
        in_the_way = {errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR}
        if error.errno not in in_the_way:
            raise
        return False
    return True


def _remove(path: Path) -> None:
    """Delete a file or a folder; a folder disappears at once."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    aside = path.with_name(_partial_name(path.name))
    try:
        path.rename(aside)
    except FileNotFoundError:  # another writer was faster
        return
    shutil.rmtree(aside, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(target: Path) -> None:
    now = time.time()
    for left in target.parent.glob(f".{_escaped(target.name)}.*{PARTIAL}"):
        try:
            if now - left.stat().st_mtime > ABANDONED_S:
                _remove(left)
        except FileNotFoundError:  # its writer has just finished
            continue


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
