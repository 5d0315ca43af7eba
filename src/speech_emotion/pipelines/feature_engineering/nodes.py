"""Nodes of feature engineering: compute what is not in the cache, then gather it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from speech_emotion.datasets import ArrayBlocks
from speech_emotion.encoders import SpeechEncoder, find_encoder
from speech_emotion.features import (
    EmbeddingSettings,
    FeatureSettings,
    gather_embeddings,
    gather_features,
    index_embeddings,
    index_features,
    store_embeddings,
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


def load_encoder(settings: EmbeddingSettings) -> SpeechEncoder:
    """Load the pretrained encoder from disk or from the Hugging Face hub.

    Raises:
        ValueError: If no encoder is set.
        EncoderMissing: If the encoder does not exist or could not be downloaded.
    """
    if settings.encoder is None:
        raise ValueError("No encoder is set: write --params encoder=openai/whisper-base")
    return find_encoder(settings.encoder, layers=settings.layers, revision=settings.revision)


def encode_speech(
    utterances: pd.DataFrame,
    plan: pd.DataFrame,
    cache: ShardStore,
    encoder: SpeechEncoder,
    settings: EmbeddingSettings,
) -> pd.DataFrame:
    """Compute the embeddings of recordings and variants that are not in the cache.

    Returns:
        All recordings and variants with an embedding, with their keys in the cache.
    """
    index = index_embeddings(utterances, plan, settings)
    store_embeddings(index, encoder, cache)
    return index


def collect_embeddings(
    index: pd.DataFrame, cache: ShardStore, encoder: SpeechEncoder
) -> tuple[Iterator[pd.DataFrame], ArrayBlocks, pd.DataFrame]:
    """Gather the embeddings of these recordings and variants, block by block.

    Returns:
        Statistics with ``utterance_id`` and ``variant``; frames in the same order; sounds without
        embedding, with the reason.
    """
    stored = gather_embeddings(index, encoder, cache)
    frames = ArrayBlocks(stored.shape, stored.sequences, np.float16)
    return stored.statistics, frames, stored.rejected
