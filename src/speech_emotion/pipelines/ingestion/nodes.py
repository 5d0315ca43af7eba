"""Nodes of ingestion: list the utterances and divide them into folds and test sets."""

from pathlib import Path
from typing import Any

import pandas as pd

from speech_emotion.corpora import (
    CorporaSettings,
    SplitError,
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


def split_utterances(
    utterances: pd.DataFrame, settings: SplitSettings, selection: Any
) -> pd.DataFrame:
    """Divide the utterances into folds and a test set under every protocol.

    Args:
        utterances: The utterances.
        settings: Number of folds, size of the test set, or published folds.
        selection: Settings of the selection, whose protocol needs splits. Their class would import all
            models, so they are a mapping if nothing else of the run needs them.

    Raises:
        SplitError: If the utterances cannot be divided, or the selecting protocol needs other folds.
    """
    selecting = selection["protocol"] if isinstance(selection, dict) else selection.protocol
    splits = assign_splits(utterances, settings)
    present = list(splits["protocol"].unique())
    if selecting not in present:
        other = present[0]
        raise SplitError(
            f"There are no splits for the selecting protocol {selecting!r}"
            + (f", because the folds of {settings.file} share speakers" if settings.file else "")
            + f"; there are: {', '.join(present)}. To use one, with its name beside every score, add "
            f'--params "selection.protocol={other},selection.compared={other};random_split"'
        )
    return splits
