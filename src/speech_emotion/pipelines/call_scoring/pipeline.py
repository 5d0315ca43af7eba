"""Recordings of calls → emotions over time, summaries, flagged passages."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.call_scoring.nodes import (
    collect_calls,
    estimate_line,
    index_recordings,
    score_calls,
)


def create_pipeline() -> Pipeline:
    """Score a folder of calls with the champion of the model registry, or with ``model_uri``.

    The nodes share the call cache: the first one fills it, the second one reads it. Recordings
    that were scored before with the same model and settings are not scored again.
    """
    return Pipeline(
        [
            Node(
                index_recordings,
                ["recordings", "scoring_model", "params:calls"],
                "call_index",
                name="index_recordings",
            ),
            Node(
                estimate_line,
                ["call_index", "scoring_model", "call_cache", "params:calls"],
                "line",
                name="estimate_line",
            ),
            Node(
                score_calls,
                ["call_index", "line", "scoring_model", "call_cache", "params:calls"],
                "scored_index",
                name="score_calls",
            ),
            Node(
                collect_calls,
                ["scored_index", "line", "scoring_model", "call_cache", "params:calls"],
                ["call_emotions", "call_summary", "call_passages", "rejected_recordings"],
                name="collect_calls",
            ),
        ],
        namespace="call_scoring",
        inputs={"recordings", "scoring_model", "call_cache"},
        outputs={"call_emotions", "call_summary", "call_passages", "rejected_recordings"},
        parameters={"params:calls"},
        tags="call_scoring",
    )
