"""Files and folders on disk and in object stores, by path or URL (``s3://bucket/name``).

Local paths are :class:`pathlib.Path`, URLs are :class:`upath.UPath`, which has the same methods and
supports every file system of fsspec.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

from speech_emotion.runtime.redaction import redact
from speech_emotion.runtime.services import check_service
from speech_emotion.runtime.writing import replacing_folder

if TYPE_CHECKING:
    from upath import UPath

__all__ = [
    "REPEATED_LINK",
    "FetchError",
    "FileState",
    "ListedFile",
    "check_store",
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
REPEATED_LINK: Final = "a link to a folder that is listed under its own name"
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


def check_store(files: Any, needed_for: str) -> None:
    """Check that an object store or web server answers.

    fsspec takes a web server that does not answer for an empty folder, and clients of S3 try it for long.

    Args:
        files: File system of fsspec.
        needed_for: URL or dataset that is to be read or written.

    Raises:
        ServiceUnreachable: If it does not answer.
    """
    protocols = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
    address = None
    if protocols & {"http", "https"}:
        address = needed_for
    elif "s3" in protocols:  # without an endpoint, it is that of Amazon
        address = (
            getattr(files, "endpoint_url", None)
            or getattr(files, "client_kwargs", {}).get("endpoint_url")
            or os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL")
        )
    if address:
        remedy = f"start it, or correct the address; it is needed for {redact(needed_for)}"
        check_service(address, name="The object store", remedy=remedy)


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


class ListedFile(NamedTuple):
    """A file below a folder, or a part of the folder that cannot be listed.

    Attributes:
        below: Path below the folder, with ``/`` between names.
        path: Whole path or URL.
        state: Size and version; 0 and empty if it cannot be opened.
        problem: Why it cannot be opened, with the remedy; :data:`REPEATED_LINK` for a link to a folder
            that is listed under its own name; empty for a regular file.
        is_folder: Whether it is a folder that cannot be listed, or may be one.
    """

    below: str
    path: str
    state: FileState
    problem: str = ""
    is_folder: bool = False


NO_STATE: Final = FileState(0, "")


def list_files(folder: str | os.PathLike[str]) -> Iterator[ListedFile]:
    """List the files below a folder, at any depth and in any order.

    Links to folders are followed, but each folder is listed once. Nothing is left out: folders that
    cannot be read, broken links and files that are not regular are listed with their problem.

    Raises:
        ServiceUnreachable: If the object store or web server does not answer.
    """
    if not is_url(str(folder)):
        yield from _list_local(os.fspath(folder))
        return
    remote = _remote(str(folder))
    files, root = remote.fs, remote.path.rstrip("/")
    check_store(files, str(folder))
    files.invalidate_cache()
    for name, info in files.find(root, detail=True).items():
        below = name.removeprefix(root).lstrip("/")
        state = FileState(int(info["size"]), _version(info))
        yield ListedFile(below, files.unstrip_protocol(name), state)


def _list_local(root: str) -> Iterator[ListedFile]:
    folders, links = [(root, "")], list[tuple[str, str]]()
    seen: set[tuple[int, int]] = set()
    while folders or links:
        linked = (
            not folders
        )  # so that a folder is listed under its own name if it has one below root
        path, below = folders.pop() if folders else links.pop(0)
        try:
            status = os.stat(path)
            if (identity := (status.st_dev, status.st_ino)) in seen:
                if linked:
                    yield ListedFile(below, path, NO_STATE, REPEATED_LINK, is_folder=True)
                continue
            seen.add(identity)
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            reason = f"the folder cannot be read ({error.strerror}); allow this user to read it"
            yield ListedFile(below, path, NO_STATE, reason, is_folder=True)
            continue
        inside = list[tuple[str, str]]()
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            try:
                if entry.is_dir():
                    (links if entry.is_symlink() else inside).append((entry.path, name))
                    continue
                yield _list_file(entry.path, name)
            except OSError as error:
                reason = f"cannot be opened ({error.strerror}); allow this user to read it"
                yield ListedFile(name, entry.path, NO_STATE, reason)
        folders += reversed(inside)  # the last one is listed next: mostly in the order of the paths


def _list_file(path: str, below: str) -> ListedFile:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        reason = "a link that leads nowhere; restore what it leads to, or delete it"
        return ListedFile(below, path, NO_STATE, reason, is_folder="." not in below[-6:])
    if not stat.S_ISREG(status.st_mode):
        return ListedFile(below, path, NO_STATE, "not a regular file; copy its content into one")
    return ListedFile(below, path, FileState(status.st_size, str(status.st_mtime_ns)))


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
    """Give a local path, where nothing is yet, to write a file or folder to; it replaces ``path``."""
    if not is_url(path):
        with replacing_folder(path) as partial:
            yield partial
        return
    remote = _remote(path)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / Path(remote.path).name
        yield local
        if not local.is_dir():
            remote.fs.put_file(str(local), remote.path)
            return
        # Older files are deleted last: a reader in between notices a mixture by its checksums.
        names = [file.relative_to(local).as_posix() for file in local.rglob("*") if file.is_file()]
        remote.fs.invalidate_cache()
        older = remote.fs.find(remote.path) if remote.fs.exists(remote.path) else []
        for name in names:
            remote.fs.makedirs(f"{remote.path}/{name}".rpartition("/")[0], exist_ok=True)
            remote.fs.put_file(str(local / name), f"{remote.path}/{name}")
        for file in older:
            if not any(file.endswith(f"{remote.path.lstrip('/')}/{name}") for name in names):
                remote.fs.rm_file(file)


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
