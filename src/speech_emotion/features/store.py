"""Cache of extracted features: keys, extraction of what is missing, and gathering.

A recording or variant is found by a digest of its sound and of what is done to it, so that renamed or
copied files are not extracted again. Shards are named after :data:`EXTRACTION_VERSION` and the settings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from speech_emotion.audio import NONE, TELEPHONE_TEST
from speech_emotion.encoders import SpeechEncoder
from speech_emotion.features.embeddings import (
    EMBEDDING_VERSION,
    ENCODER_FRAMES,
    EmbeddingSettings,
    embedding_names,
)
from speech_emotion.features.extraction import embed_batch, extract_batch
from speech_emotion.features.feature_sets import FeatureSettings, feature_names, sequence_shape
from speech_emotion.runtime import (
    KEY,
    RECENT,
    UNREAD,
    DamagedShard,
    ShardStore,
    digest,
    fan_out,
    join,
    list_stored,
    locate,
    prefix_of,
)

__all__ = [
    "EXTRACTION_VERSION",
    "StoredFeatures",
    "gather_embeddings",
    "gather_features",
    "index_embeddings",
    "index_features",
    "store_embeddings",
    "store_features",
]

EXTRACTION_VERSION: Final = "3"
"""Version of the code that turns sound into features, part of the key of everything in the cache.

Increase it when a change of code or of a library changes stored values; ``tests/features`` has the
values of each version and fails otherwise. The version of the package is not part of the key: most
releases change no feature, and extraction is the most expensive step on real corpora.
"""

logger = logging.getLogger(__name__)

SHARD_SIZE = 64
"""Utterances a shard, and what a worker extracts at once: the most that an interruption loses."""
BLOCK = 1024
"""Rows that are gathered at once."""


class StoredFeatures(NamedTuple):
    """Features or embeddings from the cache, in the order of the index and in blocks that fit into memory.

    Attributes:
        statistics: Tables with ``utterance_id``, ``variant`` and one column a feature or coefficient.
        sequences: Arrays ``(n_rows, n_frames, n_channels)`` for the same rows.
        shape: Shape of all sequences together.
        rejected: ``path``, ``variant`` and ``reason`` of sounds without features.
    """

    statistics: Iterator[pd.DataFrame]
    sequences: Iterator[np.ndarray]
    shape: tuple[int, ...]
    rejected: pd.DataFrame


def index_features(utterances: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """List all recordings and variants with their keys.

    Args:
        utterances: Columns ``utterance_id``, ``path`` and ``content_hash``.
        plan: Augmentation plan, with columns ``utterance_id``, ``protocol``, ``variant``,
            ``transform``, ``value``, ``seed`` and ``line``.

    Returns:
        ``utterance_id``, ``variant`` (0 for the recording), ``transform``, ``value``, ``seed``,
        ``line``, ``path``, ``content_hash`` and ``key``, sorted by utterance and variant.
    """
    original = {"variant": 0, "transform": NONE, "value": 0.0, "seed": 0, "line": ""}
    recordings = utterances[["utterance_id"]].assign(**original)
    variants = plan.drop(columns="protocol").drop_duplicates(["utterance_id", "variant"])
    rows = pd.concat([recordings, variants], ignore_index=True)
    rows = join(
        rows,
        utterances[["utterance_id", "path", "content_hash"]],
        "utterance_id",
        names=("augmentation_plan", "utterances"),
        remedy="the plan is older than the utterances; run the augmentation pipeline again",
    )
    rows = rows.sort_values(["utterance_id", "variant"], ignore_index=True)
    decisive = rows[["content_hash", "transform", "value", "seed", "line"]]
    keys = [digest(*sound) for sound in decisive.itertuples(index=False, name=None)]
    return rows.assign(**{KEY: keys})


def index_embeddings(
    utterances: pd.DataFrame, plan: pd.DataFrame, settings: EmbeddingSettings
) -> pd.DataFrame:
    """List the recordings and variants that are encoded, with their keys.

    Args:
        utterances: Columns as in :func:`index_features`.
        plan: Augmentation plan, as in :func:`index_features`.
        settings: Largest augmented copy. Telephone versions of larger copies are left out, too; test
            copies are always encoded.

    Returns:
        Rows of the result of :func:`index_features`.
    """
    index = index_features(utterances, plan)
    if settings.copies is None:
        return index
    variant = index["variant"]
    chosen = variant.between(-1 - settings.copies, settings.copies) | (variant == TELEPHONE_TEST)
    return index[chosen].reset_index(drop=True)


def store_features(
    index: pd.DataFrame, settings: FeatureSettings, store: ShardStore, *, n_jobs: int = -1
) -> None:
    """Extract the features that are not in the cache; each shard is stored as soon as it is done.

    Args:
        index: Result of :func:`index_features`.
        settings: Feature set and its options.
        store: The cache.
        n_jobs: Processes if no cluster is used. The shards do not depend on it.
    """
    _fill(
        index,
        store,
        _prefix(settings),
        extract_batch,
        settings,
        "Extracting features",
        n_jobs=n_jobs,
    )


def store_embeddings(
    index: pd.DataFrame, encoder: SpeechEncoder, store: ShardStore, *, n_jobs: int = -1
) -> None:
    """Compute the embeddings that are not in the cache; each shard is stored as soon as it is done.

    Args:
        index: Rows of the result of :func:`index_features`.
        encoder: The encoder.
        store: The cache.
        n_jobs: Processes if no cluster is used. The shards do not depend on it.
    """
    _fill(
        index,
        store,
        _embedding_prefix(encoder),
        embed_batch,
        encoder,
        "Encoding speech",
        n_jobs=n_jobs,
    )


def _fill(
    index: pd.DataFrame,
    store: ShardStore,
    prefix: str,
    compute: Callable[..., pd.DataFrame],
    shared: object,
    title: str,
    *,
    n_jobs: int,
) -> None:
    """Compute the rows of the index that no shard with the prefix contains.

    Rows that could not be computed for a reason outside of the recording are stored with it, and computed
    again by the next run.
    """
    # Divided before stored rows are dropped, so that a resumed run forms the shards of the first one.
    shard = pd.factorize(index["utterance_id"])[0] // SHARD_SIZE
    stored = _stored(store, prefix)
    stored = stored[~stored[UNREAD] & stored[KEY].isin(index[KEY])]
    damaged = [name for name in stored["shard"].unique() if not _is_whole(store, name)]
    missing = ~index[KEY].isin(stored.loc[~stored["shard"].isin(damaged), KEY])
    batches = [batch.reset_index(drop=True) for _, batch in index[missing].groupby(shard[missing])]
    calls = ((batch.drop(columns=KEY),) for batch in batches)
    tables = fan_out(compute, calls, shared=(shared,), n_jobs=n_jobs)
    not_done: list[str] = []
    with tqdm(total=int(missing.sum()), desc=title) as bar:
        for batch, table in zip(batches, tables, strict=True):
            table.insert(0, KEY, batch[KEY])
            store.put(f"{prefix}{digest(*batch[KEY].unique())}", table)
            not_done += [f"{row.path}: {row.reason}" for row in _unread(batch, table)]
            bar.update(len(batch))
    if not_done:
        logger.warning(
            "%d of %d sounds could not be used now; the next run tries them again. The first: %s",
            len(not_done),
            len(index),
            not_done[0],
        )


def _unread(batch: pd.DataFrame, table: pd.DataFrame) -> Iterator[Any]:
    rows = table[["reason", UNREAD]].assign(path=batch["path"])
    return rows[rows[UNREAD]].itertuples()


def _is_whole(store: ShardStore, name: str) -> bool:
    try:
        store.check(name)
    except DamagedShard:
        return False
    return True


def _stored(store: ShardStore, prefix: str) -> pd.DataFrame:
    """List the stored rows, each key once: runs at the same time may have stored it twice."""
    stored = list_stored(store, prefix, ["reason", UNREAD])
    stored[UNREAD] = stored[UNREAD].eq(True)  # shards of older versions lack the column
    return stored.sort_values(UNREAD, kind="stable").drop_duplicates(KEY)


def gather_features(
    index: pd.DataFrame, settings: FeatureSettings, store: ShardStore
) -> StoredFeatures:
    """Gather the features of all recordings and variants of the index.

    Raises:
        ValueError: If features are missing from the cache.
    """
    found, usable = _find(index, store, _prefix(settings), "extract_features")
    shape = sequence_shape(settings)
    names = feature_names(settings.feature_set, n_mfcc=settings.n_mfcc)

    def statistics_of(shard: str) -> np.ndarray:
        return store.load(shard, names)[names].to_numpy(dtype=np.float32)

    def sequences_of(shard: str) -> np.ndarray:
        return _arrays(store, shard, "sequence", shape)

    return StoredFeatures(
        statistics=_tables(usable, _gather(usable, statistics_of, (len(names),)), names),
        sequences=_gather(usable, sequences_of, shape),
        shape=(len(usable), *shape),
        rejected=found.loc[found["reason"] != "", ["path", "variant", "reason"]],
    )


def gather_embeddings(
    index: pd.DataFrame, encoder: SpeechEncoder, store: ShardStore
) -> StoredFeatures:
    """Gather the embeddings of all recordings and variants of the index.

    Raises:
        ValueError: If embeddings are missing from the cache.
    """
    found, usable = _find(index, store, _embedding_prefix(encoder), "encode_speech")
    names = embedding_names(encoder.card.slug, tuple(encoder.layers), encoder.card.width)

    def embeddings_of(shard: str) -> np.ndarray:
        return _arrays(store, shard, "embedding", (len(names),))

    shape = (ENCODER_FRAMES, len(encoder.layers) * encoder.card.width)

    def frames_of(shard: str) -> np.ndarray:
        return _arrays(store, shard, "frames", shape, np.float16)

    return StoredFeatures(
        statistics=_tables(usable, _gather(usable, embeddings_of, (len(names),)), names),
        sequences=_gather(usable, frames_of, shape, dtype=np.float16),
        shape=(len(usable), *shape),
        rejected=found.loc[found["reason"] != "", ["path", "variant", "reason"]],
    )


def _find(
    index: pd.DataFrame, store: ShardStore, prefix: str, node: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Locate the rows of the index in the shards; return all of them, and those without reason."""
    stored = _stored(store, prefix)
    remedy = f"run the feature_engineering pipeline from {node} on"
    found = locate(index, stored, remedy=remedy)
    return found, found[found["reason"] == ""]


def _gather(
    found: pd.DataFrame,
    load: Callable[[str], np.ndarray],
    shape: tuple[int, ...],
    dtype: type[np.floating] = np.float32,
) -> Iterator[np.ndarray]:
    """Yield the rows of the shards in the order of ``found``, in blocks."""
    recent = lru_cache(RECENT)(load)
    for start in range(0, len(found), BLOCK):
        rows = found.iloc[start : start + BLOCK]
        places = rows["place"].to_numpy()
        block = np.empty((len(rows), *shape), dtype=dtype)
        for shard, positions in rows.groupby("shard").indices.items():
            block[positions] = recent(shard)[places[positions]]
        yield block


def _arrays(
    store: ShardStore,
    shard: str,
    column: str,
    shape: tuple[int, ...],
    dtype: type[np.floating] = np.float32,
) -> np.ndarray:
    """Return the arrays of a column of a shard; those of rejected sounds are zero."""
    empty = np.zeros(shape, dtype=dtype)
    stored = store.load(shard, [column])[column]
    return np.stack([empty if one is None else one.reshape(shape) for one in stored])


def _tables(
    found: pd.DataFrame, blocks: Iterator[np.ndarray], names: list[str]
) -> Iterator[pd.DataFrame]:
    keys = found[["utterance_id", "variant"]].reset_index(drop=True)
    if keys.empty:
        yield keys.join(pd.DataFrame(columns=names, dtype=np.float32))
    start = 0
    for block in blocks:
        rows = keys.iloc[start : start + len(block)].reset_index(drop=True)
        yield rows.join(pd.DataFrame(block, columns=names))
        start += len(block)


def _prefix(settings: FeatureSettings) -> str:
    return prefix_of(EXTRACTION_VERSION, settings.model_dump_json())


def _embedding_prefix(encoder: SpeechEncoder) -> str:
    return prefix_of("embeddings", EMBEDDING_VERSION, EXTRACTION_VERSION, encoder.digest)
