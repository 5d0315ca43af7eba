"""Verdicts of reviewers → metrics on the center's own calls, and a recalibrated version of the model."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.feedback.nodes import (
    collect_corpus,
    collect_verdicts,
    cut_clips,
    describe_changes,
    draw_reliability,
    evaluate,
    propose_challenger,
    recalibrate_model,
    write_page,
)

SETTINGS = ["params:calls", "params:feedback"]


def create_pipeline() -> Pipeline:
    """Evaluate flags with verdicts; recalibrate with one half of the calls, test with the other."""
    return Pipeline(
        [
            Node(
                collect_verdicts,
                ["verdicts", "call_summary", "scoring_model", *SETTINGS],
                ["items", "hours", "excluded_table"],
                name="collect_verdicts",
            ),
            Node(
                collect_corpus,
                ["verdicts", "call_summary", "call_emotions", *SETTINGS],
                ["corpus", "without_emotion"],
                name="collect_corpus",
            ),
            Node(
                cut_clips,
                ["corpus", "without_emotion", "reviewed_files", "params:calls"],
                ["reviewed_calls", "left_out_table"],
                name="cut_clips",
            ),
            Node(
                recalibrate_model,
                ["items", "hours", "call_emotions", "call_summary", "scoring_model", *SETTINGS],
                "operations",
                name="recalibrate_model",
            ),
            Node(
                evaluate,
                ["items", "hours", "operations", "call_emotions", *SETTINGS],
                "metrics_table",
                name="evaluate",
            ),
            Node(
                describe_changes,
                ["operations", "metrics_table"],
                "changes_table",
                name="describe_changes",
            ),
            Node(
                draw_reliability,
                ["items", "operations", "params:feedback"],
                "reliability_figure",
                name="draw_reliability",
            ),
            Node(
                write_page,
                [
                    "metrics_table",
                    "changes_table",
                    "excluded_table",
                    "left_out_table",
                    "reviewed_calls",
                    "reliability_figure",
                    "operations",
                ],
                "feedback_page",
                name="write_page",
            ),
            Node(
                propose_challenger,
                ["operations", "metrics_table", "scoring_model", "scoring_model_version"],
                "recalibrated_model",
                name="register_challenger",
            ),
        ],
        namespace="feedback",
        inputs={
            "verdicts",
            "call_summary",
            "call_emotions",
            "reviewed_files",
            "scoring_model",
            "scoring_model_version",
        },
        outputs={"feedback_page", "recalibrated_model", "reviewed_calls"},
        parameters=set(SETTINGS),
        tags="feedback",
    )
