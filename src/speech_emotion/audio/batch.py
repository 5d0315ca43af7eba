"""Features of many utterances: every file is decoded once, its variants are made from memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from speech_emotion.audio.augment import augment
from speech_emotion.audio.features import FeatureSettings, extract, feature_names
from speech_emotion.audio.io import AudioError, load_audio

__all__ = ["extract_batch"]


class _Task(NamedTuple):
    variant: int
    transform: str
    value: float
    seed: int


class _Described(NamedTuple):
    """What was extracted, or the reason why nothing was."""

    reason: str
    statistics: np.ndarray | None = None
    sequence: np.ndarray | None = None


def extract_batch(
    rows: pd.DataFrame, settings: FeatureSettings, *, n_jobs: int = -1
) -> pd.DataFrame:
    """Extract statistics and sequences of recordings and their variants.

    Args:
        rows: Columns ``utterance_id``, ``path``, ``variant`` (0 for the recording itself),
            ``transform``, ``value``, ``seed``.
        settings: What to extract.
        n_jobs: Processes; -1 for all cores. The result does not depend on it.

    Returns:
        One row a row of ``rows``, in their order: ``utterance_id``, ``variant``, ``reason`` (empty
        unless the sound cannot be used), ``sequence`` (flattened) and the statistics.
    """
    by_path = rows.groupby("path", sort=False)
    tasks = (
        delayed(_extract_file)(
            str(path),
            [_Task(row.variant, row.transform, row.value, row.seed) for row in part.itertuples()],
            settings,
        )
        for path, part in by_path
    )
    results = Parallel(n_jobs=n_jobs)(tasks)
    order = np.concatenate([part.index.to_numpy() for _, part in by_path])
    described = [row for file_rows in results for row in file_rows]
    names = feature_names(settings.feature_set, n_mfcc=settings.n_mfcc)
    unknown = np.full(len(names), np.nan, dtype=np.float32)
    statistics = np.stack([unknown if row.reason else row.statistics for row in described])
    table = pd.DataFrame(statistics, index=order, columns=names)
    table.insert(0, "reason", [row.reason for row in described])
    table.insert(1, "sequence", [row.sequence for row in described])
    return rows[["utterance_id", "variant"]].join(table).reset_index(drop=True)


def _extract_file(path: str, tasks: list[_Task], settings: FeatureSettings) -> list[_Described]:
    try:
        recording = load_audio(path, settings.sample_rate)
    except AudioError as error:
        return [_Described(error.reason) for _ in tasks]
    # Sums over threads differ in their last digits: one thread a process, whatever their number.
    with threadpool_limits(1):
        return [_extract_variant(recording, task, settings) for task in tasks]


def _extract_variant(recording: np.ndarray, task: _Task, settings: FeatureSettings) -> _Described:
    samples, rate = recording, settings.sample_rate
    if task.variant != 0:
        samples = augment(samples, rate, transform=task.transform, value=task.value, seed=task.seed)
    try:
        statistics, sequence = extract(samples, rate, settings=settings)
    except AudioError as error:
        return _Described(f"variant {task.variant} ({task.transform}): {error.reason}")
    return _Described("", statistics.to_numpy(), sequence.ravel())
