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
from speech_emotion.runtime import replacing_folder

__all__ = ["DownloadError", "DownloadSettings", "download_corpora", "unpack"]

COMPLETE: Final = ".complete"
"""Name of a file that marks a completely downloaded corpus folder."""

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
    """

    folder: Path
    archives: dict[str, Archive] = Field(default_factory=dict)
    file_lists: dict[str, FileList] = Field(default_factory=dict)


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
                _fetch_files(settings.file_lists[name], folder, progress=progress)
            elif _files(folder):
                status, note = "present", "filled by hand; not checked and not changed"
            elif name in settings.archives:
                _fetch_archive(settings.archives[name], folder, progress=progress)
            else:
                status, note = "by hand", f"Get it from: {corpus.source}"
        except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            status, note = "failed", f"{error}; run the download again"
            logger.error("%s could not be downloaded: %s", corpus.title, error)
        files = _files(folder)
        size = sum(path.stat().st_size for path in files)
        rows.append((name, status, len(files), size, str(folder), note))
        logger.info("%s: %s. %s", corpus.title, status, note)
    return pd.DataFrame(rows, columns=["corpus", "status", "files", "bytes", "folder", "note"])


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != COMPLETE]


def _retrieve(url: str, path: Path, known_hash: str | None, *, progress: bool) -> Path:
    """Download one file. pooch renames it only when it is complete and its checksum matches."""
    retrieved = pooch.retrieve(
        url,
        known_hash=known_hash,
        fname=path.name,
        path=path.parent,
        downloader=pooch.HTTPDownloader(progressbar=progress, timeout=60),
    )
    return Path(retrieved)


def _fetch_archive(archive: Archive, folder: Path, *, progress: bool) -> None:
    target = folder.parent / f"{folder.name}.zip"
    path = _retrieve(archive.url, target, archive.hash, progress=progress)
    if archive.size is not None and path.stat().st_size != archive.size:
        size = path.stat().st_size
        path.unlink()
        raise DownloadError(f"{archive.url} sent {size} bytes instead of {archive.size}")
    try:
        unpack(path, folder, recordings=archive.recordings)
    except (DownloadError, zipfile.BadZipFile):
        path.unlink()  # without a checksum, the next call would accept it
        raise
    path.unlink()


def _fetch_files(listing: FileList, folder: Path, *, progress: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for url in (listing.index_url, *listing.extra_urls):
        _retrieve(url, folder / PurePosixPath(url).name, None, progress=False)
    index = folder / PurePosixPath(listing.index_url).name
    with index.open(newline="", encoding="utf-8-sig") as file:
        names = [row.get(listing.column) or "" for row in csv.DictReader(file)]
    invalid = [name for name in names if not re.fullmatch(r"[\w-]+", name)]
    if invalid or not names:
        index.unlink()  # the next call would accept it
        problem = (
            f"contains {invalid[0]!r}, which is not a file name," if invalid else "lists no file"
        )
        raise DownloadError(f"{listing.index_url} {problem} in column {listing.column!r}")
    for name in tqdm(names, desc=folder.name, disable=None if progress else True):
        url = listing.file_url.format(name=name)
        _retrieve(url, folder / PurePosixPath(url).name, None, progress=False)
    (folder / COMPLETE).touch()


def unpack(archive: Path, folder: Path, *, recordings: int | None = None) -> None:
    """Unpack a zip file into ``folder``, which is created only when all files are unpacked.

    Args:
        archive: The zip file.
        folder: Target folder, missing or empty.
        recordings: Smallest number of recordings in the archive.

    Raises:
        DownloadError: If an entry is a link or would be outside of ``folder``, or recordings are
            missing.
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
