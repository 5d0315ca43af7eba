"""Nodes of ingestion: list the utterances and divide them into folds and test sets."""

from pathlib import Path

import pandas as pd

from speech_emotion.corpora import (
    CorporaSettings,
    SplitSettings,
    assign_splits,
    ingest,
    summarize_corpora,
)


def read_corpora(
    root: Path, settings: CorporaSettings
) -> tuple[pd.DataFrame, pd.DataFrame, list[str], pd.DataFrame]:
    """List the usable utterances under ``root``.

    Returns:
        Utterances; rejected files with the reason; all labels, in the order of label codes; one row a
        corpus.
    """
    utterances, rejected = ingest(root, settings)
    labels = sorted(utterances["label"].unique())
    return utterances, rejected, labels, summarize_corpora(utterances, settings)


def split_utterances(utterances: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Divide the utterances into folds and a test set under every protocol."""
    return assign_splits(utterances, settings)
