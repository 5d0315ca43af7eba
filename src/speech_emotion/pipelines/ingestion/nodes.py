"""Nodes of ingestion: which utterances there are, and who trains on them."""

from pathlib import Path

import pandas as pd

from speech_emotion.corpora import CorporaSettings, SplitSettings, assign_splits, ingest


def read_corpora(root: Path, settings: CorporaSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the usable utterances under ``root``, and what was rejected with its reason."""
    return ingest(root, settings)


def split_utterances(utterances: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Assign held-out utterances and folds under every protocol."""
    return assign_splits(utterances, settings)
