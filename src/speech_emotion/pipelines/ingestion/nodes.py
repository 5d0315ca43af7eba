"""Nodes of ingestion: list the utterances and divide them into folds and test sets."""

from pathlib import Path

import pandas as pd

from speech_emotion.corpora import CorporaSettings, SplitSettings, assign_splits, ingest


def read_corpora(
    root: Path, settings: CorporaSettings
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """List the usable utterances under ``root``.

    Returns:
        Utterances; rejected files with the reason; all labels, in the order of label codes.
    """
    utterances, rejected = ingest(root, settings)
    return utterances, rejected, sorted(utterances["label"].unique())


def split_utterances(utterances: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Divide the utterances into folds and a test set under every protocol."""
    return assign_splits(utterances, settings)
