"""Predictions and leaderboard → tables, figures, report and model card."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.context import encoder_is_set
from speech_emotion.pipelines.reporting.nodes import (
    break_down_models,
    compare_with_champion,
    draw_augmentation,
    draw_comparison,
    draw_sounds,
    examine_champion,
    examine_detection,
    examine_lines,
    explain_pca,
    export_leaderboard,
    gather_evidence,
    write_markdown,
    write_model_card,
    write_report,
)

FIGURES = (
    "emotions",
    "leaderboard",
    "lines",
    "confusion",
    "breakdown",
    "detection",
    "reliability",
    "tuning",
    "learning_curves",
    "pca",
)
PICTURES = ("waveform", "mfcc", "augmentation")
INPUTS = {
    "utterances",
    "rejected_audio",
    "labels",
    "splits",
    "features",
    "rejected_features",
    "augmentation_plan",
    "predictions",
    "trials",
    "learning_curves",
    "leaderboard",
    "calibration",
    "choice",
    "registered_model",
}
OUTPUTS = {"html_report", "md_report", "model_card"}
PARAMETERS = {
    "params:selection",
    "params:detection",
    "params:features",
    "params:corpora",
    "params:splits",
}


def create_pipeline() -> Pipeline:
    """Report on a model selection: only the documents leave the namespace."""
    encoder = encoder_is_set()
    return Pipeline(
        [*_examining(), *_drawing(), *_writing(encoder=encoder)],
        namespace="reporting",
        inputs=INPUTS | {"encoder"} if encoder else INPUTS,
        outputs=OUTPUTS,
        parameters=PARAMETERS,
        tags="reporting",
    )


def _examining() -> list[Node]:
    return [
        Node(
            examine_champion,
            ["predictions", "utterances", "labels", "choice", "params:selection"],
            ["per_class_table", "breakdown_table", "confusion_figure", "breakdown_figure"],
            name="examine_champion",
        ),
        Node(
            examine_detection,
            ["predictions", "utterances", "choice", "params:selection", "params:detection"],
            ["detection_table", "detection_figure", "reliability_figure"],
            name="examine_detection",
        ),
        Node(
            compare_with_champion,
            ["predictions", "labels", "choice", "params:selection"],
            "paired_table",
            name="compare_with_champion",
        ),
        Node(
            examine_lines,
            ["predictions", "utterances", "labels", "choice", "params:selection"],
            ["lines_table", "lines_figure"],
            name="examine_lines",
        ),
        Node(
            break_down_models,
            ["predictions", "labels", "params:selection"],
            "by_corpus_table",
            name="break_down_models",
        ),
        Node(
            explain_pca,
            ["features", "splits", "params:selection"],
            "pca_variance_table",
            name="explain_pca",
        ),
        Node(
            export_leaderboard,
            ["leaderboard", "params:selection"],
            "leaderboard_table",
            name="export_leaderboard",
        ),
    ]


def _drawing() -> list[Node]:
    return [
        Node(
            draw_comparison,
            [
                "leaderboard",
                "trials",
                "learning_curves",
                "utterances",
                "splits",
                "labels",
                "pca_variance_table",
                "params:selection",
            ],
            [
                "leaderboard_figure",
                "emotions_figure",
                "tuning_figure",
                "learning_curves_figure",
                "pca_figure",
            ],
            name="draw_comparison",
        ),
        Node(
            draw_sounds,
            ["utterances", "params:features"],
            ["waveform_picture@figure", "mfcc_picture@figure"],
            name="draw_sounds",
        ),
        Node(
            draw_augmentation,
            ["utterances", "augmentation_plan", "params:features"],
            ["augmentation_sounds", "augmentation_picture@figure"],
            name="draw_augmentation",
        ),
    ]


def _writing(*, encoder: bool) -> list[Node]:
    return [
        Node(
            gather_evidence,
            [
                "utterances",
                "labels",
                "rejected_audio",
                "rejected_features",
                "leaderboard",
                "per_class_table",
                "breakdown_table",
                "detection_table",
                "paired_table",
                "lines_table",
                "calibration",
                "choice",
                "params:corpora",
                "params:features",
                "params:selection",
                "params:detection",
                "params:splits",
                *(["encoder"] if encoder else []),
            ],
            "evidence",
            name="gather_evidence",
        ),
        Node(
            write_report,
            {
                "evidence": "evidence",
                "sounds": "augmentation_sounds",
                "run": "run_info",
                "registered": "registered_model",
            }
            | {name: f"{name}_figure" for name in FIGURES}
            | {name: f"{name}_picture@image" for name in PICTURES},
            "html_report",
            name="write_report",
        ),
        Node(write_markdown, ["evidence", "by_corpus_table"], "md_report", name="write_markdown"),
        Node(
            write_model_card,
            ["evidence", "registered_model"],
            "model_card",
            name="write_model_card",
        ),
    ]
