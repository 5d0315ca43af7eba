"""Training and test set of a protocol, as MLflow's dataset inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.data.pandas_dataset import PandasDataset

__all__ = ["TEST_SET", "TRAINING_SET", "describe_inputs"]

TRAINING_SET: Final = "training"
TEST_SET: Final = "test"


def describe_inputs(
    utterances: pd.DataFrame, splits: pd.DataFrame, protocol: str
) -> dict[str, PandasDataset]:
    """Describe the utterances of the training set and of the test set to MLflow.

    Args:
        utterances: All utterances.
        splits: Table of :func:`speech_emotion.corpora.assign_splits`.
        protocol: Protocol whose sets are described.

    Returns:
        The datasets by their context, ``training`` and ``test``; without a test set only the first.
    """
    from mlflow.data.pandas_dataset import from_pandas

    from speech_emotion.corpora import TEST, TRAIN

    rows = splits[splits["protocol"] == protocol]
    in_test = rows["split"] == TEST
    members = {TRAINING_SET: rows[rows["split"] == TRAIN], TEST_SET: rows[in_test]}
    data = "synthetic sample" if utterances["synthetic"].any() else "corpora"
    return {
        context: from_pandas(
            utterances[utterances["utterance_id"].isin(subset["utterance_id"])],
            name=f"{data}, {context} set",
            targets="label",
        )
        for context, subset in members.items()
        if len(subset)
    }
