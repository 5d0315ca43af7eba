"""Fetch the freely available corpora from their official addresses, with pooch."""

from __future__ import annotations

import csv
import logging
import re
import shutil
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
from speech_emotion.corpora.ingestion import CORPORA

__all__ = ["DownloadError", "DownloadSettings", "download_corpora", "unpack"]

COMPLETE: Final = ".complete"
"""Marks a corpus folder whose download and unpacking ended."""

logger = logging.getLogger(__name__)


class DownloadError(RuntimeError):
    """A corpus could not be fetched or unpacked."""


class Archive(Settings):
    """A zip file with a whole corpus.

    Attributes:
        url: Its address.
        hash: Published checksum, ``md5:…`` or ``sha256:…``; ``None`` where none is published.
        size: Published size in bytes, ``None`` where none is published.
        recordings: Recordings that it holds at least. A Dataverse bundle over the server's limit
            comes without an error and with some files left out.
    """

    url: str
    hash: str | None = None
    size: int | None = None
    recordings: int | None = None


class FileList(Settings):
    """A corpus that is published file by file.

    Attributes:
        index_url: Address of a CSV whose column ``column`` names the recordings without suffix.
        column: That column.
        file_url: Address of a recording, with ``{name}`` for its name.
        extra_urls: Further files to fetch beside the recordings.
    """

    index_url: str
    column: str
    file_url: str
    extra_urls: tuple[str, ...] = ()


class DownloadSettings(Settings):
    """What is fetched, from where and to where.

    Attributes:
        folder: Folder that gets one sub-folder a corpus.
        archives: Corpora published as one zip file.
        file_lists: Corpora published file by file.
    """

    folder: Path
    archives: dict[str, Archive] = Field(default_factory=dict)
    file_lists: dict[str, FileList] = Field(default_factory=dict)


def download_corpora(settings: DownloadSettings, *, progress: bool = True) -> pd.DataFrame:
    """Fetch and unpack what is not there yet.

    A file is written under its own name only when it is whole and its checksum fits; a second call
    goes on where the first ended. A folder that a person has filled is left as it is. Corpora that
    only a person can get are listed with how.

    Args:
        settings: Addresses, checksums and target folder.
        progress: Show progress bars.

    Returns:
        Columns ``corpus``, ``status`` (``downloaded``, ``present``, ``failed`` or ``by hand``),
        ``files``, ``bytes``, ``folder`` and ``note``.
    """
    # pooch says three lines a file on stderr, through the progress bar.
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
                status, note = "present", "filled by hand and left as it is; not checked"
            elif name in settings.archives:
                _fetch_archive(settings.archives[name], folder, progress=progress)
            else:
                status, note = "by hand", f"Get it from: {corpus.source}"
        except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            status, note = "failed", f"{error}; run the download again"
            logger.error("%s could not be fetched: %s", corpus.title, error)
        files = _files(folder)
        size = sum(path.stat().st_size for path in files)
        rows.append((name, status, len(files), size, str(folder), note))
        logger.info("%s: %s. %s", corpus.title, status, note)
    return pd.DataFrame(rows, columns=["corpus", "status", "files", "bytes", "folder", "note"])


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != COMPLETE]


def _retrieve(url: str, path: Path, known_hash: str | None, *, progress: bool) -> Path:
    """Fetch one file; pooch writes beside it and moves it when it is whole and fits."""
    fetched = pooch.retrieve(
        url,
        known_hash=known_hash,
        fname=path.name,
        path=path.parent,
        downloader=pooch.HTTPDownloader(progressbar=progress, timeout=60),
    )
    return Path(fetched)


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
        path.unlink()  # kept, it would be taken for a good one without a checksum
        raise
    path.unlink()


def _fetch_files(listing: FileList, folder: Path, *, progress: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for url in (listing.index_url, *listing.extra_urls):
        _retrieve(url, folder / PurePosixPath(url).name, None, progress=False)
    index = folder / PurePosixPath(listing.index_url).name
    with index.open(newline="", encoding="utf-8-sig") as file:
        names = [row.get(listing.column) or "" for row in csv.DictReader(file)]
    strange = [name for name in names if not re.fullmatch(r"[\w-]+", name)]
    if strange or not names:
        index.unlink()  # kept, it would be taken for a good one the next time
        said = f"names {strange[0]!r}, which is no plain file name" if strange else "names no file"
        raise DownloadError(f"{listing.index_url} {said} in column {listing.column!r}")
    for name in tqdm(names, desc=folder.name, disable=None if progress else True):
        url = listing.file_url.format(name=name)
        _retrieve(url, folder / PurePosixPath(url).name, None, progress=False)
    (folder / COMPLETE).touch()


def unpack(archive: Path, folder: Path, *, recordings: int | None = None) -> None:
    """Unpack a zip file into ``folder``, which appears only when everything is unpacked.

    Args:
        archive: The zip file.
        folder: Target, absent or empty.
        recordings: Recordings that the archive must hold at least.

    Raises:
        DownloadError: If an entry would land outside of ``folder`` or is a link, or if recordings
            are missing.
        OSError: If ``folder`` holds anything.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with zipfile.ZipFile(archive) as file:
        for entry in file.infolist():
            _check_entry(entry, archive)
        held = sum(Path(name).suffix.lower() in AUDIO_SUFFIXES for name in file.namelist())
        if recordings is not None and held < recordings:
            raise DownloadError(f"{archive} holds {held} recordings instead of {recordings}")
        file.extractall(partial)
    (partial / COMPLETE).touch()
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)


def _check_entry(entry: zipfile.ZipInfo, archive: Path) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    escapes = path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1])
    nameless = entry.filename in {"", "."}
    if escapes or nameless or stat.S_ISLNK(entry.external_attr >> 16):
        raise DownloadError(f"{archive} holds {entry.filename!r}, which leaves the folder")
