"""Scored calls → timelines, passages to hear, and the page of the batch."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.call_report.nodes import cut_passages, draw_timelines, read_waveforms
from speech_emotion.reporting.calls import calls_page


def create_pipeline() -> Pipeline:
    """Show scored calls, and make their flagged passages audible."""
    return Pipeline(
        [
            Node(
                read_waveforms,
                ["call_summary", "params:call_report"],
                "call_waveforms",
                name="read_waveforms",
            ),
            Node(
                cut_passages,
                ["call_passages", "params:call_report"],
                ["passage_sounds", "passage_sounds_table"],
                name="cut_passages",
            ),
            Node(
                draw_timelines,
                [
                    "call_summary",
                    "call_emotions",
                    "call_passages",
                    "call_waveforms",
                    "params:call_report",
                ],
                "call_timelines",
                name="draw_timelines",
            ),
            Node(
                calls_page,
                [
                    "call_summary",
                    "call_emotions",
                    "passage_sounds_table",
                    "call_waveforms",
                    "rejected_recordings",
                    "params:call_report",
                ],
                "calls_page",
                name="write_page",
            ),
        ],
        tags="call_report",
        namespace="call_report",
        prefix_datasets_with_namespace=False,
    )
