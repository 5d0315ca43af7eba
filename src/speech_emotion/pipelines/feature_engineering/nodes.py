"""Nodes of feature engineering: extract what is not stored yet, then put it together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import pandas as pd
from tqdm import tqdm

from speech_emotion.audio import NONE
from speech_emotion.datasets.array import ArrayBlocks
from speech_emotion.features import (
    FeatureSettings,
    extract_batch,
    feature_names,
    sequence_shape,
)
from speech_emotion.runtime import (
    KEY,
    RECENT,
    Shards,
    digest,
    fan_out,
    list_stored,
    locate,
    prefix_of,
)

SHARD_SIZE = 64
"""Utterances a shard and a worker's portion: what each worker computes again after an interruption."""
BLOCK = 1024
"""Rows that are put together at once."""


def extract_shards(
    utterances: pd.DataFrame,
    plan: pd.DataFrame,
    settings: FeatureSettings,
    stored: Shards,
    *,
    n_jobs: int = -1,
) -> Iterator[dict[str, pd.DataFrame]]:
    """Extract what is not stored yet; each shard is stored as soon as it is done.

    Args:
        utterances: All utterances.
        plan: Their variants.
        settings: What to extract.
        stored: Keys of what was extracted before.
        n_jobs: Processes where no cluster is used; the shards do not depend on it.
    """
    rows = _rows(utterances, plan)
    prefix = _prefix(settings)
    # Of all rows, so that a run after an interruption takes up the shards of the interrupted one.
    shard = pd.factorize(rows["utterance_id"])[0] // SHARD_SIZE
    missing = ~rows[KEY].isin(list_stored(stored, prefix)[KEY])
    parts = [part.reset_index(drop=True) for _, part in rows[missing].groupby(shard[missing])]
    # A generator node must give something, or Kedro stores nothing and tells nobody.
    yield {}
    calls = ((part.drop(columns=KEY),) for part in parts)
    tables = fan_out(extract_batch, calls, shared=(settings,), n_jobs=n_jobs)
    with tqdm(total=int(missing.sum()), desc="Extracting features") as bar:
        for part, table in zip(parts, tables, strict=True):
            table.insert(0, KEY, part[KEY])
            yield {f"{prefix}{digest(*part[KEY])}": table}
            bar.update(len(part))


def collect_features(
    utterances: pd.DataFrame,
    plan: pd.DataFrame,
    settings: FeatureSettings,
    keys: Shards,
    sequence_shards: Shards,
    shards: Shards,
) -> tuple[Iterator[pd.DataFrame], ArrayBlocks, pd.DataFrame]:
    """Put what belongs to these utterances and variants together, block by block.

    Args:
        utterances: All utterances.
        plan: Their variants.
        settings: What was extracted.
        keys: Columns ``key`` and ``reason`` of the shards.
        sequence_shards: Their column ``sequence``.
        shards: All of them.

    Returns:
        Statistics with ``utterance_id`` and ``variant``; sequences in the same order; sounds that
        could not be used, with the reason.

    Raises:
        ValueError: If something was not extracted.
    """
    # Two runs at the same time may have stored the same.
    stored = list_stored(keys, _prefix(settings), ["reason"]).drop_duplicates(KEY)
    remedy = "run the feature_engineering pipeline from extract_features on"
    found = locate(_rows(utterances, plan), stored, remedy=remedy)
    good = found[found["reason"] == ""]
    rejected = found.loc[found["reason"] != "", ["path", "variant", "reason"]]
    shape = sequence_shape(settings)
    names = feature_names(settings.feature_set, n_mfcc=settings.n_mfcc)

    def statistics_of(shard: pd.DataFrame) -> np.ndarray:
        return shard[names].to_numpy(dtype=np.float32)

    def sequences_of(shard: pd.DataFrame) -> np.ndarray:
        nothing = np.zeros(shape, dtype=np.float32)
        return np.stack(
            [nothing if one is None else one.reshape(shape) for one in shard["sequence"]]
        )

    sequences = _gathered(good, sequence_shards, sequences_of, shape)
    return (
        _tables(good, _gathered(good, shards, statistics_of, (len(names),)), names),
        ArrayBlocks((len(good), *shape), sequences),
        rejected,
    )


def _gathered(
    found: pd.DataFrame,
    shards: Shards,
    read: Callable[[pd.DataFrame], np.ndarray],
    shape: tuple[int, ...],
) -> Iterator[np.ndarray]:
    """Give what ``read`` takes of the shards in the order of ``found``, in blocks."""
    recent = lru_cache(RECENT)(lambda name: read(shards[name]()))
    for start in range(0, len(found), BLOCK):
        part = found.iloc[start : start + BLOCK]
        places = part["place"].to_numpy()
        block = np.empty((len(part), *shape), dtype=np.float32)
        for name, positions in part.groupby("shard").indices.items():
            block[positions] = recent(name)[places[positions]]
        yield block


def _tables(
    found: pd.DataFrame, blocks: Iterator[np.ndarray], names: list[str]
) -> Iterator[pd.DataFrame]:
    keys = found[["utterance_id", "variant"]].reset_index(drop=True)
    if keys.empty:
        yield keys.join(pd.DataFrame(columns=names, dtype=np.float32))
    start = 0
    for block in blocks:
        own = keys.iloc[start : start + len(block)].reset_index(drop=True)
        yield own.join(pd.DataFrame(block, columns=names))
        start += len(block)


def _rows(utterances: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """List recordings and variants, each with a digest of the sound and what is done to it."""
    facts = {"variant": 0, "transform": NONE, "value": 0.0, "seed": 0, "telephone": False}
    recordings = utterances[["utterance_id"]].assign(**facts)
    variants = plan.drop(columns="protocol").drop_duplicates(["utterance_id", "variant"])
    rows = pd.concat([recordings, variants], ignore_index=True)
    rows = rows.merge(utterances[["utterance_id", "path", "content_hash"]], on="utterance_id")
    rows = rows.sort_values(["utterance_id", "variant"], ignore_index=True)
    decisive = rows[["content_hash", "transform", "value", "seed", "telephone"]]
    keys = [digest(*sound) for sound in decisive.itertuples(index=False, name=None)]
    return rows.drop(columns="content_hash").assign(key=keys)


def _prefix(settings: FeatureSettings) -> str:
    return prefix_of(settings.model_dump_json())
