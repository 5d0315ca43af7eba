"""Recordings of calls → emotions over time, summaries, passages."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.call_scoring.nodes import collect_calls, index_recordings, score_calls


def create_pipeline() -> Pipeline:
    """Score a folder of calls with the champion of the model registry, or with ``model_uri``.

    Recordings that were scored before with the same model and settings are taken as they are.
    """
    shared = ["call_index", "scoring_model", "params:calls"]
    return Pipeline(
        [
            Node(
                index_recordings,
                ["recordings", "scoring_model", "params:calls"],
                "call_index",
                name="index_recordings",
            ),
            Node(
                score_calls,
                [*shared, "call_window_shards_on_disk", "call_channel_shards_on_disk"],
                ["call_window_shards", "call_channel_shards"],
                name="score_calls",
            ),
            Node(
                collect_calls,
                [*shared, "call_window_shards", "call_channel_shards"],
                ["call_emotions", "call_summary", "call_passages", "rejected_recordings"],
                name="collect_calls",
            ),
        ],
        tags="call_scoring",
        namespace="call_scoring",
        prefix_datasets_with_namespace=False,
    )
