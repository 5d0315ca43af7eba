"""Nodes of feature engineering: extract what is not stored yet, then put it together."""

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
KEY = "key"


def extract_shards(
    utterances: pd.DataFrame, plan: pd.DataFrame, settings: FeatureSettings, stored: Shards
) -> Iterator[dict[str, pd.DataFrame]]:
    """Extract what is not stored yet; each shard is stored as soon as it is done.

    Args:
        utterances: All utterances.
        plan: Their variants.
        settings: What to extract.
        stored: Keys of what was extracted before.
    """
    rows = _rows(utterances, plan)
    prefix = _prefix(settings)
    known = [load()[KEY] for name, load in stored.items() if name.startswith(prefix)]
    missing = rows[~rows[KEY].isin(set().union(*known))].reset_index(drop=True)
    # A generator node must give something, or Kedro stores nothing and tells nobody.
    yield {}
    shard = pd.factorize(missing["utterance_id"])[0] // SHARD_SIZE
    with tqdm(total=len(missing), desc="Extracting features") as bar:
        for _, part in missing.groupby(shard):
            table = extract_batch(part.drop(columns=KEY).reset_index(drop=True), settings)
            table.insert(0, KEY, part[KEY].to_numpy())
            yield {f"{prefix}{_digest(*part[KEY])}": table}
            bar.update(len(part))


def collect_features(
    utterances: pd.DataFrame, plan: pd.DataFrame, settings: FeatureSettings, shards: Shards
) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Put what belongs to these utterances and variants together.

    Returns:
        Statistics with ``utterance_id`` and ``variant``; sequences in the same order; sounds that
        could not be used, with the reason.

    Raises:
        ValueError: If something was not extracted.
    """
    rows = _rows(utterances, plan)
    place = pd.Index(rows[KEY])
    names = feature_names(settings.feature_set, n_mfcc=settings.n_mfcc)
    values = np.full((len(rows), len(names)), np.nan, dtype=np.float32)
    sequences = np.zeros((len(rows), *sequence_shape(settings)), dtype=np.float32)
    reasons = np.full(len(rows), None, dtype=object)
    prefix = _prefix(settings)
    for name, load in shards.items():
        if not name.startswith(prefix):
            continue
        shard = load()
        wanted = place.get_indexer(pd.Index(shard[KEY]))
        shard, wanted = shard[wanted >= 0], wanted[wanted >= 0]
        reasons[wanted] = shard["reason"]
        good = (shard["reason"] == "").to_numpy()
        values[wanted[good]] = shard.loc[good, names]
        for position, sequence in zip(wanted[good], shard.loc[good, "sequence"], strict=True):
            sequences[position] = sequence.reshape(sequences.shape[1:])
    if (missing := pd.isna(reasons)).any():
        raise ValueError(
            f"{missing.sum()} recordings or variants, {rows['path'][missing].iloc[0]} among them, were "
            "not extracted: run the feature_engineering pipeline from extract_features on"
        )
    good = reasons == ""
    keys = rows.loc[good, ["utterance_id", "variant"]].reset_index(drop=True)
    rejected = rows.loc[~good, ["path", "variant"]].assign(reason=reasons[~good])
    return keys.join(pd.DataFrame(values[good], columns=names)), sequences[good], rejected


def _rows(utterances: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """List recordings and variants, each with a digest of the sound and what is done to it."""
    recordings = utterances[["utterance_id"]].assign(variant=0, transform="none", value=0.0, seed=0)
    variants = plan.drop(columns="protocol").drop_duplicates(["utterance_id", "variant"])
    rows = pd.concat([recordings, variants], ignore_index=True)
    rows = rows.merge(utterances[["utterance_id", "path", "content_hash"]], on="utterance_id")
    rows = rows.sort_values(["utterance_id", "variant"], ignore_index=True)
    sounds = rows[["content_hash", "transform", "value", "seed"]].itertuples(index=False, name=None)
    return rows.drop(columns="content_hash").assign(key=[_digest(*sound) for sound in sounds])


def _prefix(settings: FeatureSettings) -> str:
    """Mark shards by how they were extracted; another version of the package may do it otherwise."""
    return f"{_digest(__version__, settings.model_dump_json())[:12]}-"


def _digest(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]
