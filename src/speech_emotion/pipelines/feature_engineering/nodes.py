"""Nodes of feature engineering: extract in shards, then put the shards together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from tqdm import tqdm

from speech_emotion import __version__
from speech_emotion.audio import FeatureSettings, extract_batch, feature_names, sequence_shape

Shards = dict[str, Callable[[], pd.DataFrame]]
SHARD_SIZE = 256
"""Utterances a shard: the most that is computed again after an interruption."""


def extract_shards(
    utterances: pd.DataFrame, plan: pd.DataFrame, settings: FeatureSettings, on_disk: Shards
) -> Iterator[dict[str, pd.DataFrame]]:
    """Extract what is not on disk yet; each shard is stored as soon as it is done."""
    shards = _shards(utterances, plan, settings)
    missing = {name: rows for name, rows in shards.items() if name not in on_disk}
    # A generator node must give something, or Kedro stores nothing and tells nobody.
    yield {}
    with tqdm(total=sum(map(len, missing.values())), desc="Extracting features") as bar:
        for name, rows in missing.items():
            yield {name: extract_batch(rows, settings)}
            bar.update(len(rows))


def collect_features(
    utterances: pd.DataFrame, plan: pd.DataFrame, settings: FeatureSettings, shards: Shards
) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Put the shards of this plan together.

    Returns:
        Statistics with ``utterance_id`` and ``variant``; sequences in the same order; sounds that
        could not be used, with the reason.
    """
    tables, sequences, rejected = [], [], []
    shape = sequence_shape(settings)
    names = feature_names(settings.feature_set, n_mfcc=settings.n_mfcc)
    for name in _shards(utterances, plan, settings):
        shard = shards[name]()
        good = shard["reason"] == ""
        rejected.append(shard.loc[~good, ["utterance_id", "variant", "reason"]])
        table = shard.loc[good, ["utterance_id", "variant", *names]]
        tables.append(table.astype(dict.fromkeys(names, np.float32)))
        flat = shard.loc[good, "sequence"]
        sequences += [np.asarray(row, dtype=np.float32).reshape(shape) for row in flat]
    paths = utterances[["utterance_id", "path"]]
    reasons = pd.concat(rejected).merge(paths, on="utterance_id")[["path", "variant", "reason"]]
    return pd.concat(tables, ignore_index=True), np.stack(sequences), reasons


def _shards(
    utterances: pd.DataFrame, plan: pd.DataFrame, settings: FeatureSettings
) -> dict[str, pd.DataFrame]:
    """Divide recordings and variants; a shard's name is a digest of all that decides its content.

    The package's version is part of it: another version may extract otherwise.
    """
    recordings = utterances[["utterance_id"]].assign(variant=0, transform="none", value=0.0, seed=0)
    variants = plan.drop(columns="protocol").drop_duplicates(["utterance_id", "variant"])
    rows = pd.concat([recordings, variants], ignore_index=True)
    rows = rows.merge(utterances[["utterance_id", "path", "content_hash"]], on="utterance_id")
    rows = rows.sort_values(["utterance_id", "variant"], ignore_index=True)
    number = pd.factorize(rows["utterance_id"])[0] // SHARD_SIZE
    return {
        _shard_name(part, settings): part.drop(columns="content_hash").reset_index(drop=True)
        for _, part in rows.groupby(number)
    }


def _shard_name(rows: pd.DataFrame, settings: FeatureSettings) -> str:
    content = (__version__, settings.model_dump_json(), rows.drop(columns="path").to_csv())
    return hashlib.sha256(repr(content).encode()).hexdigest()[:24]
