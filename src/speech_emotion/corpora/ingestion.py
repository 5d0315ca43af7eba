"""Ingestion: list the recordings of all corpora with annotation, label and audio properties.

Every recording is in exactly one of two tables, the utterances or the rejected files.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from pydantic import Field, field_validator, model_validator
from tqdm import tqdm

from speech_emotion.audio import (
    SILENCE,
    AudioError,
    SoundLimits,
    content_digest,
    find_audio,
    read_samples,
    trim_silence,
)
from speech_emotion.config import NameList, Settings
from speech_emotion.corpora.entry import CORPORA, UNKNOWN, Annotation, CorpusEntry, UnknownName
from speech_emotion.corpora.folders import Located, locate
from speech_emotion.corpora.labels import check_label_set, label_of
from speech_emotion.corpora.schemas import UTTERANCES
from speech_emotion.corpora.speakers import read_sexes
from speech_emotion.corpora.tables import Row, TableError, check_rows, rows_of
from speech_emotion.runtime import is_url

__all__ = ["SYNTHETIC_MARK", "CorporaNotFound", "CorporaSettings", "ingest", "is_marked_synthetic"]

SYNTHETIC_MARK: Final = "SYNTHETIC.txt"
"""Name of a file that marks all recordings of a folder as synthetic."""

logger = logging.getLogger(__name__)


def is_marked_synthetic(path: str) -> bool:
    """Return whether a folder above a local file or folder has the mark of synthetic speech."""
    return not is_url(path) and any(
        (folder / SYNTHETIC_MARK).exists() for folder in Path(path).parents[:2]
    )


class CorporaNotFound(FileNotFoundError):
    """No corpus was found in the folder of the corpora."""


class CorporaSettings(Settings):
    """Which corpora are read, and which label each emotion gets.

    Attributes:
        select: Corpora to read; ``None`` for all that are found and enabled.
        entries: Corpora of your own by name, see :class:`CorpusEntry`. The name of a built-in one
            replaces it.
        label_set: Name of the label set to use.
        label_sets: Emotions of each label of each set, in the words of the corpora.
        trim_db: Level below the loudest frame, in dB, that is trimmed as silence.
        min_duration_s: Shortest duration in seconds; shorter recordings are rejected.
        limits: Largest accepted recording.
    """

    renamed: ClassVar[dict[str, str]] = {"shortest": "min_duration_s"}

    select: NameList | None = None
    entries: dict[str, CorpusEntry] = Field(default_factory=dict)
    label_set: str = "seven"
    label_sets: dict[str, dict[str, list[str]]]
    trim_db: float = Field(30.0, gt=0)
    min_duration_s: float = Field(0.2, gt=0)
    limits: SoundLimits = SoundLimits()

    @field_validator("entries", mode="before")
    @classmethod
    def _named(cls, entries: Any) -> Any:
        if not isinstance(entries, dict):
            return entries
        return {
            name: {"name": name, **values} if isinstance(values, dict) else values
            for name, values in entries.items()
        }

    @model_validator(mode="after")
    def _known(self) -> CorporaSettings:
        check_label_set(self.label_set, self.label_sets)
        for name in self.select or []:
            if name not in self.known:
                raise ValueError(
                    f"no corpus {name!r}; write some of: {', '.join(self.known)}; entries in conf/local "
                    "are read only if no --env is named"
                )
        return self

    @cached_property
    def known(self) -> dict[str, CorpusEntry]:
        """All entries by name, your own first."""
        return {**self.entries, **{k: v for k, v in CORPORA.items() if k not in self.entries}}

    @property
    def read(self) -> dict[str, CorpusEntry]:
        """Entries that are read."""
        if self.select is not None:
            return {name: self.known[name] for name in dict.fromkeys(self.select)}
        return {name: entry for name, entry in self.known.items() if entry.enabled}


def ingest(
    root: Path, settings: CorporaSettings, *, n_jobs: int = -1, progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the usable utterances of all corpora below ``root``.

    Args:
        root: Folder with corpora in sub-folders, or of one corpus; a ``upath.UPath`` for an object store.
        settings: Selected corpora, label set and thresholds.
        n_jobs: Decoding threads, ``-1`` for one a core; the result does not depend on it.
        progress: Show a progress bar.

    Returns:
        Utterances, see :data:`speech_emotion.corpora.UTTERANCES`, sorted by ``utterance_id``, and
        rejected files with ``path`` and ``reason``.

    Raises:
        CorporaNotFound: If there is no usable recording of any selected corpus, with instructions.
        TableError: If the table of an entry in ``settings.entries`` cannot be read or lacks a column.
    """
    files = pd.DataFrame(_annotations(root, settings), columns=ANNOTATIONS)
    if files["corpus"].eq("").all():
        raise CorporaNotFound(_how_to_get_corpora(root, files, settings))
    files["label"] = files["emotion"].map(label_of(settings.label_sets[settings.label_set]))
    _reject(
        files,
        files["label"].isna(),
        "emotion " + files["emotion"].map(repr) + f" is not in label set {settings.label_set!r}",
    )
    files = _with_audio_properties(files, settings, n_jobs=n_jobs, progress=progress)
    _reject_repetitions(files)
    usable = files["reason"].isna()
    rejected = files.loc[~usable, ["path", "reason"]].sort_values("path", ignore_index=True)
    rejected = rejected.astype(str)  # the dtype is object if no file is rejected
    columns = list(UTTERANCES.columns)
    utterances = files.loc[usable, columns].sort_values("utterance_id", ignore_index=True)
    integers = ["sample_rate", "channels", "n_samples", "n_samples_trimmed"]
    utterances = utterances.astype(dict.fromkeys(integers, int) | {"synthetic": bool})
    _log_summary(utterances, rejected)
    if utterances.empty:
        raise CorporaNotFound(
            f"None of the {len(rejected)} recordings below {root} is usable; the first: "
            f"{rejected['path'][0]}: {rejected['reason'][0]}"
        )
    return utterances, rejected


ANNOTATIONS: Final = (
    "corpus",
    "path",
    "synthetic",
    "utterance_id",
    "speaker",
    "sex",
    "emotion",
    "intensity",
    "statement",
    "language",
    "weight",
    "reason",
)


class _Tree:
    """Files below a folder: recordings, other files, and what cannot be read."""

    def __init__(self, folder: str):
        self.folder = folder.rstrip("/") if is_url(folder) else os.path.abspath(folder)
        self.recordings: list[str] = []
        self.others: list[str] = []
        self.unreadable: list[tuple[str, str]] = []
        if not is_url(folder) and not os.path.isdir(folder):
            return
        found = find_audio(self.folder)
        self.recordings = found.recordings["name"].sort_values().tolist()
        self.others = sorted(found.others)
        self.unreadable = list(zip(found.rejected["path"], found.rejected["reason"], strict=True))
        logger.info("%s: %s", self.folder, found.describe())
        for reason, group in found.rejected.groupby("reason", sort=False)["path"]:
            shown = ", ".join(group.head(3)) + (", …" if len(group) > 3 else "")
            logger.warning("%d not read: %s: %s", len(group), shown, reason)

    def path(self, file: str) -> str:
        """Whole path or URL of a file. Tables store text only, so other bytes are escaped."""
        return os.fsencode(f"{self.folder}/{file}").decode(errors="backslashreplace")

    @cached_property
    def synthetic_folders(self) -> list[str]:
        """Beginnings of the paths of recordings that are marked as synthetic."""
        marks = [file for file in self.others if PurePosixPath(file).name == SYNTHETIC_MARK]
        if not is_url(self.folder) and is_marked_synthetic(self.folder):
            return [""]
        return [mark.removesuffix(SYNTHETIC_MARK) for mark in marks]

    def is_synthetic(self, file: str) -> bool:
        return any(file.startswith(folder) for folder in self.synthetic_folders)


def _annotations(root: Path, settings: CorporaSettings) -> Iterator[dict[str, Any]]:
    """Yield a row for each recording and each row of a table; without a corpus, only its reason."""
    read = settings.read
    elsewhere = {name: entry for name, entry in read.items() if entry.path}
    found: set[str] = set()
    trees = [(_Tree(str(root)), [entry for entry in settings.known.values() if not entry.path])]
    trees += [(_Tree(str(entry.path)), [entry]) for entry in elsewhere.values()]
    for number, (tree, entries) in enumerate(trees):
        entries.sort(key=lambda entry: entry.name not in read)
        located = locate(tree.folder, tree.recordings, tree.others, entries)
        for path, reason in tree.unreadable:
            yield {"corpus": "", "path": path, "reason": reason}
        for name, file, reason in located.problems:
            if name in settings.entries and name in read:
                raise TableError(tree.path(file), reason)
            logger.warning("%s: %s", tree.path(file), reason)
            yield {"corpus": "", "path": tree.path(file), "reason": reason}
        others = [other.folder for at, (other, _) in enumerate(trees) if at not in (0, number)]
        yield from _unassigned(tree, located, others)
        for entry in entries:
            recordings = located.recordings[entry.name]
            if entry.name not in read:
                _say_it_is_not_read(entry, len(recordings))
            elif recordings or entry.name in located.tables:
                found.add(entry.name)
                yield from _of_corpus(tree, entry, recordings, located)
    _say_what_is_missing(root, settings, found)


def _unassigned(tree: _Tree, located: Located, others: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Recordings that belong to no corpus, with a warning for each folder of them.

    Those below the folder of an entry with a place of its own, ``others``, are left to that entry.
    """
    files = [
        file
        for file in located.unassigned
        if not any(tree.path(file).startswith(f"{other}/") for other in others)
    ]
    tops = Counter(file.rpartition("/")[0].partition("/")[0] for file in files)
    for top, count in tops.items():
        example = next(file for file in files if file.startswith(f"{top}/" if top else ""))
        logger.warning(
            "%s: %d recordings (%s) belong to no known corpus and are left out. Rename the folder to one "
            "of %s, or describe the corpus under corpora.entries.",
            tree.path(top) if top else tree.folder,
            count,
            PurePosixPath(example).name,
            ", ".join(CORPORA),
        )
    for file in files:
        reason = "belongs to no known corpus: rename its folder or describe it in corpora.entries"
        yield {"corpus": "", "path": tree.path(file), "reason": reason}


def _say_it_is_not_read(entry: CorpusEntry, count: int) -> None:
    if count:
        logger.info(
            "%s: %d recordings are not read; add %s to corpora.select",
            entry.shown,
            count,
            entry.name,
        )


def _say_what_is_missing(root: Path, settings: CorporaSettings, found: set[str]) -> None:
    absent = [entry for name, entry in settings.read.items() if name not in found]
    for entry in absent:
        if settings.select is None and entry.name not in settings.entries:
            continue
        logger.warning(
            "%s: nothing found in %s; the corpus is skipped. Expected: %s. Get it from: %s",
            entry.shown,
            entry.path or root,
            entry.layout or entry.table or entry.pattern[0],
            entry.source,
        )
    if absent and settings.select is None:
        logger.info("Corpora not found: %s", ", ".join(entry.name for entry in absent))


def _of_corpus(
    tree: _Tree, entry: CorpusEntry, recordings: list[str], located: Located
) -> Iterator[dict[str, Any]]:
    """Rows of one corpus below one folder."""
    sexes = read_sexes(entry, tree.folder, tree.others) if recordings else {}
    if not entry.table:
        for file in recordings:
            row = {
                "corpus": entry.name,
                "path": tree.path(file),
                "synthetic": tree.is_synthetic(file),
            }
            try:
                f"{tree.folder}/{file}".encode()
                annotation = entry.parse(PurePosixPath(file))
                group = {"file": annotation.key, "folder": PurePosixPath(file).parent.name}
                yield row | _described(entry, annotation, group.get(entry.groups or "", ""), sexes)
            except UnicodeEncodeError:
                reason = "the name of the file or of a folder above it is not UTF-8; rename it"
                yield row | {"reason": reason}
            except UnknownName as error:
                yield row | {"reason": str(error)}
        return
    yield from _of_tables(tree, entry, recordings, located, sexes)


def _of_tables(
    tree: _Tree,
    entry: CorpusEntry,
    recordings: list[str],
    located: Located,
    sexes: dict[str, str],
) -> Iterator[dict[str, Any]]:
    """Rows of the tables of a corpus, and its recordings that no table lists."""
    rows: list[Row] = []
    for table in located.tables.get(entry.name, []):
        path = tree.path(table.file)
        try:
            rows += rows_of(entry, path, table.file, table.audio_folder, recordings)
        except TableError as error:
            yield {"corpus": entry.name, "path": path, "reason": error.reason}
    listed = {row.file for row in rows}
    for row, reason in check_rows(rows):
        if reason:
            yield {"corpus": entry.name, "path": row.place, "reason": reason}
            continue
        assert row.annotation is not None
        base = {"corpus": entry.name, "synthetic": tree.is_synthetic(row.file)}
        try:
            described = _described(entry, row.annotation, row.group, sexes)
            yield base | {"path": row.path(tree.path(row.file))} | described
        except UnknownName as error:
            yield base | {"path": row.place, "reason": f"{row.file}: {error}"}
    for file in recordings:
        if file not in listed:
            reason = "no table of its corpus lists this recording"
            yield {"corpus": entry.name, "path": tree.path(file), "reason": reason}


def _described(
    entry: CorpusEntry, annotation: Annotation, group: str, sexes: dict[str, str]
) -> dict[str, Any]:
    """Columns of an annotation.

    Raises:
        UnknownName: If the corpus names speakers, but this recording has neither speaker nor group.
    """
    row = asdict(annotation)
    key, speaker = row.pop("key"), row.pop("speaker")
    if speaker == UNKNOWN and entry.groups:
        if not group:
            raise UnknownName(f"neither speaker nor {entry.groups} is given")
        speaker = f"{entry.groups}_{group}"
    elif speaker == UNKNOWN and entry.names_speakers:
        raise UnknownName(
            f"no speaker is given; write it, or set corpora.entries.{entry.name}.groups"
        )
    return row | {
        "utterance_id": f"{entry.name}:{key}",
        "speaker": f"{entry.speakers_of or entry.name}_{speaker}",
        "sex": sexes.get(annotation.speaker, annotation.sex),
        "reason": None,
    }


def _reject(files: pd.DataFrame, where: pd.Series | np.ndarray, reasons: Any) -> None:
    """Add reasons to files that have none yet."""
    fresh = where & files["reason"].isna()
    files.loc[fresh, "reason"] = reasons[fresh] if isinstance(reasons, pd.Series) else reasons


def _with_audio_properties(
    files: pd.DataFrame, settings: CorporaSettings, *, n_jobs: int, progress: bool
) -> pd.DataFrame:
    usable = files.loc[files["reason"].isna(), "path"]
    jobs = (
        delayed(_audio_properties)(path, settings.trim_db, settings.min_duration_s, settings.limits)
        for path in usable
    )
    # Threads, because decoding is C code and processes take longer to start.
    decoded = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(jobs)
    bar = tqdm(
        decoded, total=len(usable), desc="Reading recordings", disable=None if progress else True
    )
    properties = pd.DataFrame(list(bar), index=usable.index)
    files = files.join(properties.reindex(columns=[*AUDIO_PROPERTIES, "unusable"]))
    _reject(files, files["unusable"].notna(), files["unusable"])
    return files.drop(columns="unusable")


AUDIO_PROPERTIES: Final = (
    "sample_rate",
    "channels",
    "n_samples",
    "seconds",
    "n_samples_trimmed",
    "peak",
    "rms",
    "content_hash",
)


def _audio_properties(
    path: str, trim_db: float, min_duration_s: float, limits: SoundLimits
) -> dict[str, Any]:
    try:
        samples, rate = read_samples(path, limits=limits)
    except AudioError as error:
        return {"unusable": error.reason}
    except Exception as error:  # one file never ends the others
        logger.exception("%s: reading failed", path)
        return {"unusable": f"reading it failed ({type(error).__name__}: {error}); see the log"}
    mono = samples.mean(axis=1)
    peak = float(np.abs(mono).max())
    seconds = len(mono) / rate
    if peak < SILENCE:
        return {"unusable": f"silent: the peak amplitude is {peak:.1g}, below {SILENCE:g}"}
    if seconds < min_duration_s:
        return {
            "unusable": f"too short: {seconds:.3f} s, corpora.min_duration_s is {min_duration_s} s"
        }
    trimmed = trim_silence(mono, trim_db)
    values = (
        rate,
        samples.shape[1],
        len(mono),
        seconds,
        len(trimmed),
        peak,
        float(np.sqrt(np.mean(np.square(mono, dtype=np.float64)))),
        content_digest(samples, rate),
    )
    return dict(zip(AUDIO_PROPERTIES, values, strict=True))


def _reject_repetitions(files: pd.DataFrame) -> None:
    """Reject duplicates of audio and second recordings of an utterance.

    Equal audio under different labels or speakers is rejected entirely.
    """
    for copies in _repeated(files, "content_hash"):
        if copies["label"].nunique() > 1 or copies["speaker"].nunique() > 1:
            names = ", ".join(
                f"{Path(row.path).name} ({row.speaker}, {row.label})" for row in copies.itertuples()
            )
            reason = f"equal audio under different labels or speakers: {names}"
            _reject(files, files.index.isin(copies.index), reason)
    # Before the duplicates, so that no file is the duplicate of a rejected one.
    for recordings in _repeated(files, "utterance_id"):
        others = recordings.index[recordings["content_hash"] != recordings["content_hash"].iloc[0]]
        reason = f"second recording of the utterance {recordings['path'].iloc[0]}; remove one"
        _reject(files, files.index.isin(others), reason)
    for copies in _repeated(files, "content_hash"):
        reason = f"duplicate of {copies['path'].iloc[0]} (equal audio)"
        _reject(files, files.index.isin(copies.index[1:]), reason)


def _repeated(files: pd.DataFrame, column: str) -> list[pd.DataFrame]:
    """Groups of usable files with equal values in a column, sorted by utterance and path."""
    usable = files[files["reason"].isna()].sort_values(["utterance_id", "path"])
    repeated = usable[usable.duplicated(column, keep=False)]
    return [group for _, group in repeated.groupby(column, sort=False)]


def _log_summary(utterances: pd.DataFrame, rejected: pd.DataFrame) -> None:
    counts = utterances.groupby("corpus")["speaker"].agg(["size", "nunique"])
    by_corpus = ", ".join(
        f"{corpus}: {row['size']} of {row['nunique']} speakers" for corpus, row in counts.iterrows()
    )
    logger.info("%d utterances (%s), %d rejected files", len(utterances), by_corpus, len(rejected))
    if utterances["synthetic"].any():
        logger.warning(
            "These utterances are SYNTHETIC: metrics computed on them say nothing about real speech"
        )


def _how_to_get_corpora(root: Path, files: pd.DataFrame, settings: CorporaSettings) -> str:
    lines = [f"No corpus was found below {root.absolute()}."]
    lines += [f"  {row.path}: {row.reason}" for row in files.head(3).itertuples()]
    lines.append("Expected are one or more of:")
    lines += [
        f"  {entry.layout or entry.table or entry.pattern[0]}\n    from {entry.source}"
        for entry in settings.read.values()
    ]
    lines.append(
        "Set their folder with --params corpora_dir=PATH, or download the free corpora with "
        "`kedro run --env full --pipelines download`."
    )
    return "\n".join(lines)
