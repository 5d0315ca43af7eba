"""Predictions and leaderboard → tables, figures, report and model card."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.models import FAMILIES
from speech_emotion.pipelines.reporting.nodes import (
    break_down_models,
    compare_with_champion,
    draw_comparison,
    draw_sounds,
    examine_champion,
    examine_detection,
    gather_evidence,
    measure_pca,
    write_figures,
    write_model_card,
    write_report,
)

FIGURES = (
    "emotions",
    "leaderboard",
    "confusion",
    "breakdown",
    "detection",
    "reliability",
    "tuning",
    "learning_curves",
    "pca",
)
PICTURES = ("waveform", "mfcc", "augmentation")


def create_pipeline() -> Pipeline:
    """Report on a model selection."""
    return Pipeline(
        [
            Node(
                examine_champion,
                ["predictions", "utterances", "choice", "params:selection"],
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
                ["predictions", "utterances", "choice", "params:selection"],
                "paired_table",
                name="compare_with_champion",
            ),
            Node(
                break_down_models,
                ["predictions", "utterances", "params:selection"],
                "by_corpus_table",
                name="break_down_models",
            ),
            Node(
                measure_pca,
                ["features", "splits", "utterances", "params:selection"],
                ["pca_variance_table", "pca_figure"],
                name="measure_pca",
            ),
            Node(
                draw_comparison,
                {
                    "leaderboard": "leaderboard",
                    "utterances": "utterances",
                    "splits": "splits",
                    "selection": "params:selection",
                    "curves": "conv1d_learning_curves",
                }
                | {family: f"{family}_trials" for family in FAMILIES},
                [
                    "leaderboard_figure",
                    "emotions_figure",
                    "tuning_figure",
                    "learning_curves_figure",
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
                gather_evidence,
                [
                    "utterances",
                    "rejected_audio",
                    "rejected_features",
                    "leaderboard",
                    "per_class_table",
                    "breakdown_table",
                    "detection_table",
                    "paired_table",
                    "calibration",
                    "choice",
                    "params:corpora",
                    "params:features",
                    "params:selection",
                ],
                "evidence",
                name="gather_evidence",
            ),
            Node(
                write_report,
                {"evidence": "evidence", "sounds": "augmentation_sounds"}
                | {name: f"{name}_figure" for name in FIGURES}
                | {name: f"{name}_picture@image" for name in PICTURES},
                "html_report",
                name="write_report",
            ),
            Node(
                write_figures,
                ["evidence", "by_corpus_table"],
                "md_report",
                name="write_figures",
            ),
            Node(write_model_card, ["evidence"], "model_card", name="write_model_card"),
        ],
        tags="reporting",
        namespace="reporting",
        prefix_datasets_with_namespace=False,
    )
