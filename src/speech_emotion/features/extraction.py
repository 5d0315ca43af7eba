"""Extract features and embeddings of a batch of recordings and their augmented variants."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from speech_emotion.audio import NO_LIMITS, NONE, AudioError, augment, load_audio, send_over_line
from speech_emotion.encoders import SpeechEncoder
from speech_emotion.features.embeddings import embed
from speech_emotion.features.feature_sets import FeatureSettings, extract, feature_names
from speech_emotion.runtime import UNREAD

__all__ = ["embed_batch", "extract_batch"]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def extract_batch(rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
    """Extract statistics and sequences of recordings and their variants, decoding each file once.

    Args:
        rows: Columns ``utterance_id``, ``path``, ``variant`` (0 for the recording itself),
            ``transform``, ``value``, ``seed`` and ``line`` (telephone line; empty for none). With a
            column ``content_hash``, recordings must have that content.
        settings: Feature set and frame sequences.

    Returns:
        Table aligned with ``rows``: ``utterance_id``, ``variant``, ``reason`` (empty unless the
        recording is rejected), ``unread`` (whether the reason lies outside of the recording),
        ``sequence`` (flattened) and the statistics.
    """
    rate = settings.sample_rate
    extracted, reasons, unread = _for_each(
        rows, rate, lambda sound: extract(sound, rate, settings=settings)
    )
    names = feature_names(settings.feature_set, n_mfcc=settings.n_mfcc)
    missing = np.full(len(names), np.nan, dtype=np.float32)
    statistics = [missing if result is None else result[0].to_numpy() for result in extracted]
    table = pd.DataFrame(np.stack(statistics), columns=names)
    table.insert(0, "reason", reasons)
    table.insert(1, UNREAD, unread)
    table.insert(2, "sequence", [result and result[1].ravel() for result in extracted])
    return rows[["utterance_id", "variant"]].reset_index(drop=True).join(table)


def embed_batch(rows: pd.DataFrame, encoder: SpeechEncoder) -> pd.DataFrame:
    """Compute embeddings of recordings and their variants, decoding each file once.

    Args:
        rows: Columns as in :func:`extract_batch`.
        encoder: The encoder.

    Returns:
        Table aligned with ``rows``: ``utterance_id``, ``variant``, ``reason`` (empty unless the
        recording is rejected), ``unread`` (as there), ``embedding`` and ``frames`` (flattened), see
        :class:`speech_emotion.features.Embedding`.
    """
    embedded, reasons, unread = _for_each(
        rows, encoder.card.sample_rate, lambda sound: embed(sound, encoder)
    )
    table = rows[["utterance_id", "variant"]].reset_index(drop=True)
    return table.assign(
        reason=reasons,
        unread=unread,
        embedding=[result and result.statistics for result in embedded],
        frames=[result and result.frames.ravel() for result in embedded],
    )


def _for_each(
    rows: pd.DataFrame, sample_rate: int, compute: Callable[[np.ndarray], Result]
) -> tuple[list[Result | None], list[str], list[bool]]:
    """Call ``compute`` with the samples of every row.

    Returns:
        Results, reasons of rejection, and whether another attempt can succeed.
    """
    results: list[Result | None] = [None] * len(rows)
    reasons, unread = [""] * len(rows), [False] * len(rows)
    for path, group in rows.reset_index(drop=True).groupby("path", sort=False):
        content = group["content_hash"].iloc[0] if "content_hash" in group else None
        try:
            recording = load_audio(str(path), sample_rate, limits=NO_LIMITS, content=content)
        except Exception as error:  # one recording never ends the others
            for position in group.index:
                reasons[position], unread[position] = _describe(error, str(path))
            continue
        for position, row in zip(group.index, group.itertuples(), strict=True):
            try:
                results[position] = compute(_variant(recording, row, sample_rate))
            except Exception as error:
                reason, unread[position] = _describe(error, str(path))
                reasons[position] = f"variant {row.variant} ({row.transform}): {reason}"
    return results, reasons, unread


def _describe(error: Exception, path: str) -> tuple[str, bool]:
    """Return the reason, and whether it lies outside of the recording."""
    if isinstance(error, AudioError):
        return error.reason, error.transient
    logger.error("%s: computing features failed", path, exc_info=error)
    return f"computing features failed ({type(error).__name__}: {error}); see the log", True


def _variant(samples: np.ndarray, row: Any, rate: int) -> np.ndarray:
    if row.transform != NONE:
        samples = augment(samples, rate, transform=row.transform, value=row.value, seed=row.seed)
    if row.line:
        samples = send_over_line(samples, rate, line=row.line, seed=row.seed)
    return samples
