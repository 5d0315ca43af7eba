"""Files and folders on disk and in object stores, by path or URL (``s3://bucket/name``).

Local paths are :class:`pathlib.Path`, URLs are :class:`upath.UPath`, which has the same methods and
supports every file system of fsspec.
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

if TYPE_CHECKING:
    from upath import UPath

__all__ = [
    "FetchError",
    "FileState",
    "download",
    "exists",
    "file_state",
    "is_url",
    "list_files",
    "open_binary",
    "to_path",
    "upload",
]

URL: Final = "://"
BLOCK_BYTES: Final = 1 << 22
"""Bytes of a remote file that are fetched and held in memory at once."""
VERSION_KEYS: Final = (
    "ETag",
    "etag",
    "mtime",
    "LastModified",
    "last_modified",
    "updated",
    "created",
)
"""Keys under which fsspec's file systems report a file's version, the most reliable first."""


logger = logging.getLogger(__name__)


class FetchError(OSError):
    """An object store failed to answer. The file itself may be intact, so a retry can succeed."""

    def __init__(self, url: str, error: Exception):
        super().__init__(f"{url}: fetching it failed ({error!r}); run it again")


class FileState(NamedTuple):
    """Size of a file in bytes, and its version: an ETag or the time of the last change."""

    size: int
    version: str


def is_url(path: object) -> bool:
    """Return whether a path is a URL, that is, lies in an object store.

    Example:
        >>> is_url("s3://bucket/call.wav"), is_url("calls/call.wav")
        (True, False)
    """
    return isinstance(path, str) and URL in path


def to_path(path: str) -> Path:
    """Return a path object: a :class:`pathlib.Path`, or a :class:`upath.UPath` for a URL.

    Example:
        >>> to_path("corpora") / "ravdess"
        PosixPath('corpora/ravdess')
    """
    return cast(Path, _remote(path)) if is_url(path) else Path(path)


def exists(path: str) -> bool:
    """Return whether there is a file or folder, asking the object store anew."""
    if not is_url(path):
        return Path(path).exists()
    remote = _remote(path)
    remote.fs.invalidate_cache()
    return remote.exists()


def file_state(path: str | os.PathLike[str]) -> FileState:
    """Return size and version of a file.

    Raises:
        OSError: If there is no such file.
        FetchError: If the object store fails.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.wav").write_bytes(b"RIFF")
        ...     file_state(Path(folder, "a.wav")).size
        4
    """
    if not is_url(path):
        stat = os.stat(path)
        return FileState(stat.st_size, str(stat.st_mtime_ns))
    with _fetch_errors(str(path)):
        remote = _remote(str(path))
        remote.fs.invalidate_cache(str(remote.fs._parent(remote.path)))
        info = remote.fs.info(remote.path)
    return FileState(int(info["size"]), _version(info))


def list_files(
    folder: str | os.PathLike[str], *, on_unreadable: Callable[[str, str], None] | None = None
) -> Iterator[tuple[str, str, FileState]]:
    """List the files below a folder, at any depth and in any order.

    Links to folders are followed. A folder that is reached twice, directly and by a link, is listed
    once, by its own path, so a link to a folder above it does no harm.

    Args:
        folder: Path, or URL in an object store.
        on_unreadable: Called with the path of a folder that cannot be listed and the reason; by default
            a warning is logged.

    Yields:
        Path below the folder with ``/`` between names, whole path or URL, and state. A broken link has
        size 0 and an empty version.
    """
    if is_url(folder):
        remote = _remote(str(folder))
        files, root = remote.fs, remote.path.rstrip("/")
        files.invalidate_cache()
        for name, info in files.find(root, detail=True).items():
            below = name.removeprefix(root).lstrip("/")
            state = FileState(int(info["size"]), _version(info))
            yield below, files.unstrip_protocol(name), state
        return
    for path in _walk(Path(folder), on_unreadable or _warn_of_unreadable):
        state = file_state(path) if path.exists() else FileState(0, "")
        yield path.relative_to(folder).as_posix(), str(path), state


def _walk(folder: Path, on_unreadable: Callable[[str, str], None]) -> Iterator[Path]:
    """Yield what is no folder; folders before links to folders, each real folder once."""
    visited: set[str] = set()
    folders, links = [folder], list[Path]()
    while folders or links:
        current = folders.pop() if folders else links.pop(0)
        real = os.path.realpath(current)
        if real in visited:
            continue
        visited.add(real)
        try:
            entries = sorted(current.iterdir())
        except OSError as error:
            on_unreadable(str(current), f"this folder cannot be read ({error.strerror})")
            continue
        for entry in entries:
            if not entry.is_dir():
                yield entry
            elif entry.is_symlink():
                links.append(entry)
            else:
                folders.append(entry)


def _warn_of_unreadable(folder: str, reason: str) -> None:
    logger.warning("%s: %s; its files are left out. Change its permissions.", folder, reason)


@contextmanager
def open_binary(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to read; of a remote one, blocks are fetched as they are needed.

    Libraries such as libsndfile cannot pass on an exception of ``read`` and take it for the end of
    the file. A failure of an object store is therefore raised when the block is left.

    Raises:
        FileNotFoundError: If there is no such file.
        FetchError: If the object store fails.
    """
    if not is_url(path):
        with open(path, "rb") as file:
            yield file
        return
    with _fetch_errors(str(path)):
        # fsspec's own option, which pathlib's signature does not have.
        options: dict[str, Any] = {"block_size": BLOCK_BYTES}
        content = _RemoteFile(_remote(str(path)).open("rb", **options))
    try:
        yield content
    finally:
        content.close()
        if content.error:
            raise FetchError(str(path), content.error)


@contextmanager
def download(path: str) -> Iterator[Path]:
    """Give a local path to a file or folder; one from an object store is copied until the end."""
    if not is_url(path):
        yield Path(path)
        return
    remote = _remote(path)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / Path(remote.path).name
        remote.fs.get(remote.path, str(local), recursive=remote.is_dir())
        yield local


@contextmanager
def upload(path: str) -> Iterator[Path]:
    """Give a local path to write a file or folder to; at the end it replaces what is at ``path``."""
    if not is_url(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        yield Path(path)
        return
    remote = _remote(path)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / Path(remote.path).name
        yield local
        if exists(path):
            remote.fs.rm(remote.path, recursive=True)
        remote.fs.put(str(local), remote.path, recursive=local.is_dir())


def _remote(url: str) -> UPath:
    from upath import UPath

    return UPath(url)


def _version(info: dict[str, Any]) -> str:
    return next((str(info[key]) for key in VERSION_KEYS if info.get(key)), "")


@contextmanager
def _fetch_errors(url: str) -> Iterator[None]:
    """Raise the errors of any object store as :class:`FetchError`."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        raise FetchError(url, error) from error


class _RemoteFile(io.BufferedIOBase, BinaryIO):
    """A remote file that stores the first error of a read and then reports the end of the file."""

    def __init__(self, file: Any):
        self._file = file
        self.error: Exception | None = None

    def read(self, size: int | None = -1) -> bytes:
        try:
            return self._file.read(-1 if size is None else size)
        except Exception as error:
            self.error = error
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()
