"""Scored calls → sounds to play, timelines, and the page of the batch."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.reporting.calls import encode_sounds, write_details, write_page

SETTINGS = ["params:call_report", "params:calls"]


def create_pipeline() -> Pipeline:
    """Show scored calls, and make them audible."""
    return Pipeline(
        [
            Node(
                encode_sounds,
                ["call_summary", "call_files", *SETTINGS],
                "call_sounds",
                name="encode_sounds",
            ),
            Node(
                write_details,
                [
                    "call_summary",
                    "call_emotions",
                    "call_passages",
                    "call_sounds",
                    "call_files",
                    "params:call_report",
                ],
                None,
                name="write_details",
            ),
            Node(
                write_page,
                ["call_summary", "rejected_recordings", "call_files", *SETTINGS],
                "calls_page",
                name="write_page",
            ),
        ],
        tags="call_report",
        namespace="call_report",
        prefix_datasets_with_namespace=False,
    )
