"""Scored calls of two periods → drift of sound and scores, alarms, one page."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.monitoring.nodes import (
    compare,
    compare_training,
    compute_weeks,
    draw,
    measure,
    write_page,
)


def create_pipeline() -> Pipeline:
    """Compare the calls of a period with those of the one before."""
    return Pipeline(
        [
            Node(
                measure,
                ["call_summary", "call_emotions", "params:calls"],
                "measured_calls",
                name="measure_calls",
            ),
            Node(
                compare,
                ["measured_calls", "params:monitoring"],
                ["drift_table", "periods"],
                name="compare_periods",
            ),
            Node(
                compare_training,
                ["measured_calls", "periods", "scoring_model"],
                "training_table",
                name="compare_with_training",
            ),
            Node(compute_weeks, "measured_calls", "weeks_table", name="compute_weeks"),
            Node(
                draw,
                ["drift_table", "weeks_table", "measured_calls", "periods"],
                ["drift_figure", "weeks_figure"],
                name="draw_drift",
            ),
            Node(
                write_page,
                [
                    "drift_table",
                    "training_table",
                    "weeks_table",
                    "drift_figure",
                    "weeks_figure",
                    "measured_calls",
                    "call_summary",
                    "periods",
                ],
                "monitoring_page",
                name="write_page",
            ),
        ],
        namespace="monitoring",
        inputs={"call_summary", "call_emotions", "scoring_model"},
        outputs={"monitoring_page"},
        parameters={"params:calls", "params:monitoring"},
        tags="monitoring",
    )
