"""Utterances of the test set → test calls on one channel → errors of separated voices."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.separation_evaluation.nodes import (
    measure_separation,
    separate_test_calls,
)


def create_pipeline() -> Pipeline:
    """Measure how well the champion, or ``model_uri``, separates two voices on one channel."""
    return Pipeline(
        [
            Node(
                separate_test_calls,
                [
                    "utterances",
                    "splits",
                    "scoring_model",
                    "params:calls",
                    "params:mixed_calls",
                    "params:selection",
                ],
                "separated_test_calls",
                name="separate_test_calls",
            ),
            Node(
                measure_separation,
                ["separated_test_calls", "utterances", "params:selection"],
                "separation_table",
                name="measure_separation",
            ),
        ],
        tags="separation_evaluation",
        namespace="separation_evaluation",
        prefix_datasets_with_namespace=False,
    )
