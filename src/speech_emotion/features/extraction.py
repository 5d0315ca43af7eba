"""Extract features and embeddings of a batch of recordings and their augmented variants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from speech_emotion.audio import NO_LIMITS, NONE, AudioError, augment, load_audio, send_over_line
from speech_emotion.encoders import SpeechEncoder
from speech_emotion.features.embeddings import embed
from speech_emotion.features.feature_sets import FeatureSettings, extract, feature_names

__all__ = ["embed_batch", "extract_batch"]

Result = TypeVar("Result")


def extract_batch(rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
    """Extract statistics and sequences of recordings and their variants, decoding each file once.

    Args:
        rows: Columns ``utterance_id``, ``path``, ``variant`` (0 for the recording itself),
            ``transform``, ``value``, ``seed`` and ``line`` (telephone line; empty for none).
        settings: Feature set and frame sequences.

    Returns:
        Table aligned with ``rows``: ``utterance_id``, ``variant``, ``reason`` (empty unless the
        recording is rejected), ``sequence`` (flattened) and the statistics.
    """
    rate = settings.sample_rate
    extracted, reasons = _for_each(
        rows, rate, lambda sound: extract(sound, rate, settings=settings)
    )
    names = feature_names(settings.feature_set, n_mfcc=settings.n_mfcc)
    missing = np.full(len(names), np.nan, dtype=np.float32)
    statistics = [missing if result is None else result[0].to_numpy() for result in extracted]
    table = pd.DataFrame(np.stack(statistics), columns=names)
    table.insert(0, "reason", reasons)
    table.insert(1, "sequence", [result and result[1].ravel() for result in extracted])
    return rows[["utterance_id", "variant"]].reset_index(drop=True).join(table)


def embed_batch(rows: pd.DataFrame, encoder: SpeechEncoder) -> pd.DataFrame:
    """Compute embeddings of recordings and their variants, decoding each file once.

    Args:
        rows: Columns as in :func:`extract_batch`.
        encoder: The encoder.

    Returns:
        Table aligned with ``rows``: ``utterance_id``, ``variant``, ``reason`` (empty unless the
        recording is rejected), ``embedding`` and ``frames`` (flattened), see
        :class:`speech_emotion.features.Embedding`.
    """
    embedded, reasons = _for_each(
        rows, encoder.card.sample_rate, lambda sound: embed(sound, encoder)
    )
    table = rows[["utterance_id", "variant"]].reset_index(drop=True)
    return table.assign(
        reason=reasons,
        embedding=[result and result.statistics for result in embedded],
        frames=[result and result.frames.ravel() for result in embedded],
    )


def _for_each(
    rows: pd.DataFrame, sample_rate: int, compute: Callable[[np.ndarray], Result]
) -> tuple[list[Result | None], list[str]]:
    """Call ``compute`` with the samples of every row; return results and reasons of rejection."""
    results: list[Result | None] = [None] * len(rows)
    reasons = [""] * len(rows)
    for path, group in rows.reset_index(drop=True).groupby("path", sort=False):
        try:
            recording = load_audio(str(path), sample_rate, limits=NO_LIMITS)
        except AudioError as error:
            for position in group.index:
                reasons[position] = error.reason
            continue
        for position, row in zip(group.index, group.itertuples(), strict=True):
            try:
                results[position] = compute(_variant(recording, row, sample_rate))
            except AudioError as error:
                reasons[position] = f"variant {row.variant} ({row.transform}): {error.reason}"
    return results, reasons


def _variant(samples: np.ndarray, row: Any, rate: int) -> np.ndarray:
    if row.transform != NONE:
        samples = augment(samples, rate, transform=row.transform, value=row.value, seed=row.seed)
    if row.line:
        samples = send_over_line(samples, rate, line=row.line, seed=row.seed)
    return samples
