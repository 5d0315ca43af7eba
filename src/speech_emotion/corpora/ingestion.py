"""Ingestion: list the recordings of all corpora with annotation, label and audio properties.

Every recording is in exactly one of two tables, the utterances or the rejected files.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from pydantic import Field, model_validator
from tqdm import tqdm

from speech_emotion.audio import (
    AUDIO_SUFFIXES,
    SILENCE,
    AudioError,
    read_samples,
    trim_silence,
)
from speech_emotion.config import NameList, Settings
from speech_emotion.corpora.base import Corpus, UnknownName
from speech_emotion.corpora.crema_d import CREMA_D, read_sexes
from speech_emotion.corpora.labels import check_label_set, label_of
from speech_emotion.corpora.ravdess import RAVDESS
from speech_emotion.corpora.savee import SAVEE
from speech_emotion.corpora.schemas import UTTERANCES
from speech_emotion.corpora.tess import TESS

__all__ = ["CORPORA", "SYNTHETIC_MARK", "CorporaNotFound", "CorporaSettings", "ingest"]

CORPORA: Final[dict[str, Corpus]] = {
    corpus.name: corpus for corpus in (RAVDESS, TESS, SAVEE, CREMA_D)
}
SYNTHETIC_MARK: Final = "SYNTHETIC.txt"
"""Name of a file that marks all corpora of a folder, or one corpus folder, as synthetic."""

logger = logging.getLogger(__name__)


class CorporaNotFound(FileNotFoundError):
    """No corpus was found in the folder of the corpora."""


class CorporaSettings(Settings):
    """Which corpora are read, and which label each emotion gets.

    Attributes:
        select: Corpora to read; ``None`` for all corpora found.
        label_set: Name of the label set to use.
        label_sets: Emotions of each label of each set, in the words of the corpora.
        trim_db: Level below the loudest frame, in dB, that is trimmed as silence.
        min_duration_s: Shortest duration in seconds; shorter recordings are rejected.
    """

    renamed: ClassVar[dict[str, str]] = {"shortest": "min_duration_s"}

    select: NameList | None = None
    label_set: str = "seven"
    label_sets: dict[str, dict[str, list[str]]]
    trim_db: float = Field(30.0, gt=0)
    min_duration_s: float = Field(0.2, gt=0)

    @model_validator(mode="after")
    def _known(self) -> CorporaSettings:
        check_label_set(self.label_set, self.label_sets)
        for name in self.select or []:
            if name not in CORPORA:
                raise ValueError(f"no corpus {name!r}; write some of: {', '.join(CORPORA)}")
        return self


def ingest(
    root: Path, settings: CorporaSettings, *, n_jobs: int = -1, progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the usable utterances of all corpora below ``root``.

    Args:
        root: Folder with one or more of the sub-folders ``ravdess``, ``tess``, ``savee``, ``crema_d``; a
            ``upath.UPath`` for an object store.
        settings: Selected corpora, label set and thresholds.
        n_jobs: Decoding threads, ``-1`` for one a core; the result does not depend on it.
        progress: Show a progress bar.

    Returns:
        Utterances, see :data:`speech_emotion.corpora.UTTERANCES`, sorted by ``utterance_id``, and
        rejected files with ``path`` and ``reason``.

    Raises:
        CorporaNotFound: If there is no usable recording of any selected corpus, with instructions.
    """
    files = pd.DataFrame(_annotations(root, settings), columns=ANNOTATIONS)
    if files.empty:
        raise CorporaNotFound(_how_to_get_corpora(root))
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
    utterances = utterances.astype(dict.fromkeys(integers, int))
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
    "reason",
)


def _annotations(root: Path, settings: CorporaSettings) -> Iterator[dict[str, Any]]:
    for name in dict.fromkeys(settings.select or CORPORA):
        corpus = CORPORA[name]
        folders = {folder: _recordings(folder) for folder in _folders(root, name)}
        if not any(folders.values()):
            logger.warning(
                "%s: no %s files in %s; the corpus is skipped. Expected: %s. Get it from: %s",
                corpus.title,
                ", ".join(AUDIO_SUFFIXES),
                root / name,
                corpus.layout,
                corpus.source,
            )
        for folder, paths in folders.items():
            sexes = read_sexes(folder) if corpus is CREMA_D and paths else {}
            synthetic = any((parent / SYNTHETIC_MARK).exists() for parent in (root, folder))
            for path in paths:
                # Tables store text only, so bytes that are not UTF-8 are escaped.
                text = os.fsencode(str(path.absolute())).decode(errors="backslashreplace")
                annotation = _annotate(corpus, path, sexes)
                yield {"corpus": name, "path": text, "synthetic": synthetic, **annotation}


def _folders(root: Path, name: str) -> list[Path]:
    """Folders of a corpus: several if their names differ only in case."""
    if not root.is_dir():
        return []
    return [path for path in sorted(root.iterdir()) if path.name.lower() == name and path.is_dir()]


def _recordings(folder: Path) -> list[Path]:
    """Paths with the suffix of an audio file at any depth, broken links included."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.is_dir()
    ]


def _annotate(corpus: Corpus, path: Path, sexes: dict[str, str]) -> dict[str, Any]:
    try:
        str(path.absolute()).encode()
        annotation = corpus.parse(path)
    except UnicodeEncodeError:
        return {"reason": "the name of the file or of a folder above it is not UTF-8; rename it"}
    except UnknownName as error:
        return {"reason": str(error)}
    row = asdict(annotation)
    key, speaker = row.pop("key"), row.pop("speaker")
    return row | {
        "utterance_id": f"{corpus.name}:{key}",
        "speaker": f"{corpus.name}_{speaker}",
        "sex": sexes.get(speaker, annotation.sex),
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
        delayed(_audio_properties)(path, settings.trim_db, settings.min_duration_s)
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


def _audio_properties(path: str, trim_db: float, min_duration_s: float) -> dict[str, Any]:
    try:
        samples, rate = read_samples(path)
    except AudioError as error:
        return {"unusable": error.reason}
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
    digest = hashlib.sha256(f"{rate} {samples.shape}".encode())
    digest.update(samples.tobytes())
    values = (
        rate,
        samples.shape[1],
        len(mono),
        seconds,
        len(trimmed),
        peak,
        float(np.sqrt(np.mean(np.square(mono, dtype=np.float64)))),
        digest.hexdigest(),
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


def _how_to_get_corpora(root: Path) -> str:
    lines = [f"No corpus was found below {root.absolute()}. Expected are one or more of:"]
    lines += [f"  {corpus.layout}\n    from {corpus.source}" for corpus in CORPORA.values()]
    lines.append(
        "Set their folder with --params corpora_dir=PATH, or download the free corpora with "
        "`kedro run --env full --pipeline download`."
    )
    return "\n".join(lines)
