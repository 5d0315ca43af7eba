"""Recordings of calls → emotions over time, summaries, flagged passages."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.call_scoring import (
    collect_calls,
    estimate_line,
    identify_customers,
    index_recordings,
    inspect_calls,
    read_metadata,
    score_calls,
)
from speech_emotion.pipelines.call_scoring.nodes import export_calls

EXPORTS = ("summary_csv", "summary_jsonl", "parties_csv", "parties_jsonl")


def create_pipeline() -> Pipeline:
    """Score a folder of calls with the champion of the model registry, or with ``model_uri``.

    The nodes share the call cache. Recordings that were inspected or scored before with the same model
    and settings are not inspected or scored again.
    """
    return Pipeline(
        [
            Node(
                read_metadata,
                ["recordings", "call_metadata_rows", "params:calls"],
                ["call_metadata", "rejected_metadata"],
                name="read_metadata",
            ),
            Node(
                index_recordings,
                ["recordings", "scoring_model", "params:calls"],
                "call_index",
                name="index_recordings",
            ),
            Node(
                inspect_calls,
                ["call_index", "scoring_model", "call_cache", "params:calls"],
                "inspected_index",
                name="inspect_calls",
            ),
            Node(
                identify_customers,
                [
                    "inspected_index",
                    "call_metadata",
                    "scoring_model",
                    "call_cache",
                    "params:calls",
                ],
                "call_roles",
                name="identify_customers",
            ),
            Node(
                estimate_line,
                ["call_roles", "scoring_model", "call_cache", "params:calls"],
                "line",
                name="estimate_line",
            ),
            Node(
                score_calls,
                ["call_roles", "line", "scoring_model", "call_cache", "params:calls"],
                "scored_index",
                name="score_calls",
            ),
            Node(
                collect_calls,
                [
                    "scored_index",
                    "call_metadata",
                    "line",
                    "scoring_model",
                    "call_cache",
                    "params:calls",
                ],
                [
                    "call_emotions",
                    "call_summary",
                    "call_passages",
                    "call_parties",
                    "rejected_recordings",
                ],
                name="collect_calls",
            ),
            Node(
                export_calls,
                ["call_summary", "call_parties"],
                list(EXPORTS),
                name="export_calls",
            ),
        ],
        namespace="call_scoring",
        inputs={"recordings", "call_metadata_rows", "scoring_model", "call_cache"},
        outputs={
            "call_metadata",
            "rejected_metadata",
            "call_emotions",
            "call_summary",
            "call_passages",
            "call_parties",
            "rejected_recordings",
            *EXPORTS,
        },
        parameters={"params:calls"},
        tags="call_scoring",
    )
