"""Test calls and simulated reviewers → how precision rises with the number of verdicts."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.feedback_simulation.nodes import (
    report,
    score_test_calls,
    simulate,
)

SETTINGS = ["params:calls", "params:feedback_simulation", "params:selection", "params:test_calls"]


def create_pipeline() -> Pipeline:
    """Simulate learning from verdicts on calls of test speakers, with the champion or ``model_uri``."""
    return Pipeline(
        [
            Node(
                score_test_calls,
                [
                    "utterances",
                    "splits",
                    "scoring_model",
                    "params:calls",
                    "params:test_calls",
                    "params:selection",
                ],
                "windows",
                name="score_test_calls",
            ),
            Node(
                simulate,
                ["windows", "scoring_model", "params:calls", "params:feedback_simulation"],
                "rounds_table",
                name="simulate",
            ),
            Node(
                report,
                ["rounds_table", "utterances", "params:feedback_simulation"],
                ["rounds_figure", "feedback_simulation_page"],
                name="report",
            ),
        ],
        namespace="feedback_simulation",
        inputs={"utterances", "splits", "scoring_model"},
        outputs={"feedback_simulation_page"},
        parameters=set(SETTINGS),
        tags="feedback_simulation",
    )
