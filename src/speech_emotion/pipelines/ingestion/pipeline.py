"""Corpora → utterances, labels and splits."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.ingestion.nodes import read_corpora, split_utterances


def create_pipeline() -> Pipeline:
    """Read the corpora and divide their utterances into training and test sets."""
    return Pipeline(
        [
            Node(
                read_corpora,
                ["corpora", "params:corpora"],
                ["utterances", "rejected_audio", "labels", "corpora_found"],
                name="read_corpora",
            ),
            Node(
                split_utterances,
                ["utterances", "params:splits", "params:selection"],
                "splits",
                name="split_utterances",
            ),
        ],
        tags="ingestion",
        namespace="ingestion",
        prefix_datasets_with_namespace=False,
    )
