"""Extract features of a batch of recordings and their augmented variants."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from speech_emotion.audio import NONE, AudioError, augment, load_audio, send_over_line
from speech_emotion.features.feature_sets import FeatureSettings, extract, feature_names

__all__ = ["extract_batch"]


class _Task(NamedTuple):
    variant: int
    transform: str
    value: float
    seed: int
    line: str


class _Extracted(NamedTuple):
    """Features of a variant, or the reason why it has none."""

    reason: str
    statistics: np.ndarray | None = None
    sequence: np.ndarray | None = None


def extract_batch(rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
    """Extract statistics and sequences of recordings and their variants, decoding each file once.

    Args:
        rows: Columns ``utterance_id``, ``path``, ``variant`` (0 for the recording itself),
            ``transform``, ``value``, ``seed`` and ``line`` (name of its telephone line, empty for none).
        settings: Feature set and frame sequences.

    Returns:
        Table aligned with ``rows``: ``utterance_id``, ``variant``, ``reason`` (empty unless the
        recording is rejected), ``sequence`` (flattened) and the statistics.
    """
    by_path = rows.groupby("path", sort=False)
    extracted: list[_Extracted] = []
    for path, group in by_path:
        tasks = [
            _Task(row.variant, row.transform, row.value, row.seed, row.line)
            for row in group.itertuples()
        ]
        extracted += _extract_file(str(path), tasks, settings)
    order = np.concatenate([group.index.to_numpy() for _, group in by_path])
    names = feature_names(settings.feature_set, n_mfcc=settings.n_mfcc)
    missing = np.full(len(names), np.nan, dtype=np.float32)
    statistics = np.stack(
        [missing if row.statistics is None else row.statistics for row in extracted]
    )
    table = pd.DataFrame(statistics, index=order, columns=names)
    table.insert(0, "reason", [row.reason for row in extracted])
    table.insert(1, "sequence", [row.sequence for row in extracted])
    return rows[["utterance_id", "variant"]].join(table).reset_index(drop=True)


def _extract_file(path: str, tasks: list[_Task], settings: FeatureSettings) -> list[_Extracted]:
    try:
        recording = load_audio(path, settings.sample_rate)
    except AudioError as error:
        return [_Extracted(error.reason) for _ in tasks]
    return [_extract_variant(recording, task, settings) for task in tasks]


def _extract_variant(recording: np.ndarray, task: _Task, settings: FeatureSettings) -> _Extracted:
    samples, rate = recording, settings.sample_rate
    if task.transform != NONE:
        samples = augment(samples, rate, transform=task.transform, value=task.value, seed=task.seed)
    if task.line:
        samples = send_over_line(samples, rate, line=task.line, seed=task.seed)
    try:
        statistics, sequence = extract(samples, rate, settings=settings)
    except AudioError as error:
        return _Extracted(f"variant {task.variant} ({task.transform}): {error.reason}")
    return _Extracted("", statistics.to_numpy(), sequence.ravel())
