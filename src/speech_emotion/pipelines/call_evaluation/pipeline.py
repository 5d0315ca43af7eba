"""Utterances of the test set → test calls → metrics of the flags."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.call_evaluation.nodes import flag_test_calls, measure_flags


def create_pipeline() -> Pipeline:
    """Measure the champion, or ``model_uri``, on calls whose angry passages are known."""
    return Pipeline(
        [
            Node(
                flag_test_calls,
                [
                    "utterances",
                    "splits",
                    "scoring_model",
                    "params:calls",
                    "params:test_calls",
                    "params:selection",
                ],
                "flagged_test_calls",
                name="flag_test_calls",
            ),
            Node(
                measure_flags,
                ["flagged_test_calls", "utterances", "params:calls", "params:selection"],
                ["call_evaluation_table", "call_evaluation_figure"],
                name="measure_flags",
            ),
        ],
        tags="call_evaluation",
        namespace="call_evaluation",
        prefix_datasets_with_namespace=False,
    )
