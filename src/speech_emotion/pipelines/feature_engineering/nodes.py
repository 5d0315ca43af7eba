"""Nodes of feature engineering: extract what is not in the cache, then gather the features."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from speech_emotion.datasets import ArrayBlocks
from speech_emotion.features import (
    FeatureSettings,
    gather_features,
    index_features,
    store_features,
)
from speech_emotion.runtime import ShardStore


def extract_features(
    utterances: pd.DataFrame, plan: pd.DataFrame, cache: ShardStore, settings: FeatureSettings
) -> pd.DataFrame:
    """Extract the features of recordings and variants that are not in the cache.

    Returns:
        All recordings and variants, with their keys in the cache.
    """
    index = index_features(utterances, plan)
    store_features(index, settings, cache)
    return index


def collect_features(
    index: pd.DataFrame, cache: ShardStore, settings: FeatureSettings
) -> tuple[Iterator[pd.DataFrame], ArrayBlocks, pd.DataFrame]:
    """Gather the features of these recordings and variants, block by block.

    Returns:
        Statistics with ``utterance_id`` and ``variant``; sequences in the same order; sounds without
        features, with the reason.
    """
    stored = gather_features(index, settings, cache)
    return stored.statistics, ArrayBlocks(stored.shape, stored.sequences), stored.rejected
