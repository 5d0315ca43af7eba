"""Test calls with another line, noise or callers → how often monitoring raises an alarm."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.monitoring_simulation.nodes import score_changed_calls, simulate


def create_pipeline() -> Pipeline:
    """Score calls of test speakers once for each change, and compare periods drawn from them."""
    return Pipeline(
        [
            Node(
                score_changed_calls,
                [
                    "utterances",
                    "splits",
                    "scoring_model",
                    "params:calls",
                    "params:test_calls",
                    "params:selection",
                    "params:monitoring",
                    "params:monitoring_simulation",
                ],
                "scored_calls",
                name="score_changed_calls",
            ),
            Node(
                simulate,
                ["scored_calls", "params:monitoring", "params:monitoring_simulation"],
                "alarms_table",
                name="simulate",
            ),
        ],
        namespace="monitoring_simulation",
        inputs={"utterances", "splits", "scoring_model"},
        parameters={
            "params:calls",
            "params:test_calls",
            "params:selection",
            "params:monitoring",
            "params:monitoring_simulation",
        },
        tags="monitoring_simulation",
    )
