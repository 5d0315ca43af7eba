"""Download the freely available corpora from their official addresses, with pooch."""

from __future__ import annotations

import csv
import logging
import re
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

import pandas as pd
import pooch
from pydantic import Field
from tqdm import tqdm

from speech_emotion.audio import AUDIO_SUFFIXES
from speech_emotion.config import Settings
from speech_emotion.corpora.entry import CORPORA
from speech_emotion.runtime import redact, replacing_folder

__all__ = ["DownloadError", "DownloadSettings", "download_corpora", "unpack"]

COMPLETE: Final = ".complete"
"""Name of a file that marks a completely downloaded corpus folder."""
CHUNK: Final = 1 << 16
"""Bytes that are fetched at once."""
BLOCK: Final = 4096
"""Bytes that even an empty file takes on a disk."""

logger = logging.getLogger(__name__)


class DownloadError(RuntimeError):
    """A corpus could not be downloaded or unpacked."""


class Archive(Settings):
    """A corpus published as one zip file.

    Attributes:
        url: Address of the file.
        hash: Published checksum, ``md5:…`` or ``sha256:…``; ``None`` if none is published.
        size: Published size in bytes; ``None`` if none is published.
        recordings: Smallest number of recordings. A Dataverse bundle above the size limit of its server
            arrives without an error, but with files missing.
    """

    url: str
    hash: str | None = None
    size: int | None = None
    recordings: int | None = None


class FileList(Settings):
    """A corpus published file by file.

    Attributes:
        index_url: Address of a CSV file that lists the recordings.
        column: Its column with the names of the recordings, without suffix.
        file_url: Address of a recording, with ``{name}`` for its name.
        extra_urls: Addresses of further files.
    """

    index_url: str
    column: str
    file_url: str
    extra_urls: tuple[str, ...] = ()


class DownloadSettings(Settings):
    """Addresses of the corpora, and the target folder.

    Attributes:
        folder: Target folder, with one sub-folder per corpus.
        archives: Corpora published as one zip file.
        file_lists: Corpora published file by file.
        max_bytes: Largest file that is fetched; the transfer ends there.
        max_unpacked_bytes: Most bytes that an archive may unpack to.
    """

    folder: Path
    archives: dict[str, Archive] = Field(default_factory=dict)
    file_lists: dict[str, FileList] = Field(default_factory=dict)
    max_bytes: int = Field(2_000_000_000, ge=1)
    max_unpacked_bytes: int = Field(8_000_000_000, ge=1)


class _Meter:
    """A progress bar of pooch that ends a transfer above a limit; servers may send more than they say."""

    def __init__(self, url: str, max_bytes: int, progress: bool):
        self._url, self._max_bytes, self._bytes = url, max_bytes, 0
        self._bar = tqdm(unit="B", unit_scale=True, ncols=79, disable=None if progress else True)

    @property
    def total(self) -> int:
        """Size that the server declares."""
        return int(self._bar.total or 0)

    @total.setter
    def total(self, size: int) -> None:
        self._bar.total = size
        self._check(size)

    def update(self, size: int) -> None:
        """Count bytes."""
        self._bytes += size
        self._check(self._bytes)
        self._bar.update(size)

    def reset(self) -> None:
        """Start again; pooch then counts the whole file once more."""
        self._bytes = 0
        self._bar.reset()

    def close(self) -> None:
        """Close the bar."""
        self._bar.close()

    def _check(self, size: int) -> None:
        if size > self._max_bytes + CHUNK:  # pooch counts the last chunk as full
            self._bar.close()
            raise DownloadError(
                f"{self._url} sends more than the limit of {self._max_bytes} bytes; set max_bytes"
            )


def download_corpora(settings: DownloadSettings, *, progress: bool = True) -> pd.DataFrame:
    """Download and unpack the corpora that are missing.

    A file gets its final name only when it is complete and its checksum matches, and a second call resumes
    the first. Folders that contain files from elsewhere are not changed. Corpora without an address are
    listed with instructions.

    Args:
        settings: Addresses, checksums and target folder.
        progress: Show progress bars.

    Returns:
        Columns ``corpus``, ``status`` (``downloaded``, ``present``, ``failed`` or ``by hand``),
        ``files``, ``bytes``, ``folder`` and ``note``.
    """
    # pooch prints three lines per file to stderr, which breaks the progress bar.
    pooch.get_logger().setLevel(logging.WARNING)
    rows = []
    for name, corpus in CORPORA.items():
        folder = settings.folder / name
        status, note = "downloaded", corpus.licence
        try:
            if (folder / COMPLETE).exists():
                status = "present"
            elif name in settings.file_lists:
                _fetch_files(settings.file_lists[name], folder, settings, progress=progress)
            elif _files(folder):
                status, note = "present", "filled by hand; not checked and not changed"
            elif name in settings.archives:
                _fetch_archive(settings.archives[name], folder, settings, progress=progress)
            else:
                status, note = "by hand", f"Get it from: {corpus.source}"
        except Exception as error:  # one corpus never ends the others
            status, note = (
                "failed",
                redact(f"{error or type(error).__name__}; run the download again"),
            )
            logger.error("%s could not be downloaded: %s", corpus.title, redact(str(error)))
        files = _files(folder)
        size = sum(path.stat().st_size for path in files)
        rows.append((name, status, len(files), size, str(folder), note))
        logger.info("%s: %s. %s", corpus.title, status, note)
    return pd.DataFrame(rows, columns=["corpus", "status", "files", "bytes", "folder", "note"])


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != COMPLETE]


def _retrieve(
    url: str, path: Path, known_hash: str | None, *, max_bytes: int, progress: bool
) -> Path:
    """Download one file. pooch renames it only when it is complete and its checksum matches."""
    meter = _Meter(url, max_bytes, progress)
    retrieved = pooch.retrieve(
        url,
        known_hash=known_hash,
        fname=path.name,
        path=path.parent,
        downloader=pooch.HTTPDownloader(progressbar=meter, chunk_size=CHUNK, timeout=60),
    )
    return Path(retrieved)


def _fetch_archive(
    archive: Archive, folder: Path, settings: DownloadSettings, *, progress: bool
) -> None:
    target = folder.parent / f"{folder.name}.zip"
    if archive.hash is None:
        target.unlink(
            missing_ok=True
        )  # of a run that was interrupted while unpacking; nothing proves it
    most = settings.max_bytes if archive.size is None else min(archive.size, settings.max_bytes)
    path = _retrieve(archive.url, target, archive.hash, max_bytes=most, progress=progress)
    try:
        if archive.size is not None and path.stat().st_size != archive.size:
            raise DownloadError(
                f"{archive.url} sent {path.stat().st_size} bytes instead of {archive.size}"
            )
        unpack(
            path,
            folder,
            recordings=archive.recordings or 1,
            max_bytes=settings.max_unpacked_bytes,
        )
    finally:
        path.unlink(missing_ok=True)


def _fetch_files(
    listing: FileList, folder: Path, settings: DownloadSettings, *, progress: bool
) -> None:
    folder.mkdir(parents=True, exist_ok=True)

    def fetch(url: str) -> Path:
        target = folder / PurePosixPath(url).name
        path = _retrieve(url, target, None, max_bytes=settings.max_bytes, progress=False)
        if problem := _is_another_file(path):
            path.unlink()  # the next call would accept it
            raise DownloadError(f"{url} sent {problem}")
        return path

    for url in listing.extra_urls:
        fetch(url)
    index = fetch(listing.index_url)
    try:
        names = _read_index(index, listing)
    except (DownloadError, UnicodeError, csv.Error):
        index.unlink()
        raise
    for name in tqdm(names, desc=folder.name, disable=None if progress else True):
        fetch(listing.file_url.format(name=name))
    (folder / COMPLETE).touch()


def _is_another_file(path: Path) -> str:
    """Say what a server sent instead of a file that has no published checksum."""
    with path.open("rb") as file:
        head = file.read(256)
    if not head:
        return "nothing"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a page instead of the file"
    if path.suffix.lower() == ".wav" and not head.startswith(b"RIFF"):
        return "no WAV file"
    return ""


def _read_index(index: Path, listing: FileList) -> list[str]:
    with index.open(newline="", encoding="utf-8-sig") as file:
        names = [row.get(listing.column) or "" for row in csv.DictReader(file)]
    invalid = [name for name in names if not re.fullmatch(r"[\w-]+", name)]
    if invalid or not names:
        problem = (
            f"contains {invalid[0]!r}, which is not a file name," if invalid else "lists no file"
        )
        raise DownloadError(f"{listing.index_url} {problem} in column {listing.column!r}")
    return names


def unpack(
    archive: Path,
    folder: Path,
    *,
    recordings: int | None = None,
    max_bytes: int | None = None,
) -> None:
    """Unpack a zip file into ``folder``, which is created only when all files are unpacked.

    Args:
        archive: The zip file.
        folder: Target folder, missing or empty.
        recordings: Smallest number of recordings in the archive.
        max_bytes: Most bytes that the files may take; ``None`` for no limit.

    Raises:
        DownloadError: If an entry is a link or would be outside of ``folder``, recordings are missing, or
            the files are larger than the limit.
        OSError: If ``folder`` is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise OSError(f"{folder} is not empty")
    with zipfile.ZipFile(archive) as file:
        for entry in file.infolist():
            _check_entry(entry, archive)
        found = sum(Path(name).suffix.lower() in AUDIO_SUFFIXES for name in file.namelist())
        if recordings is not None and found < recordings:
            raise DownloadError(f"{archive} contains {found} recordings instead of {recordings}")
        # No entry unpacks to more than it declares: zipfile stops there.
        size = sum(max(entry.file_size, BLOCK) for entry in file.infolist())
        if max_bytes is not None and size > max_bytes:
            raise DownloadError(
                f"{archive} unpacks to {size} bytes, more than the limit of {max_bytes}; set "
                "max_unpacked_bytes"
            )
        with replacing_folder(folder) as partial:
            file.extractall(partial)
            (partial / COMPLETE).touch()


def _check_entry(entry: zipfile.ZipInfo, archive: Path) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1])
    nameless = entry.filename in {"", "."}
    if outside or nameless or stat.S_ISLNK(entry.external_attr >> 16):
        raise DownloadError(
            f"{archive} contains {entry.filename!r}, which is outside of the folder"
        )
