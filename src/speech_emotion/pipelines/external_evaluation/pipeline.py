"""Other corpora and a trained model → predictions, metrics, figures and one page."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.external_evaluation.nodes import (
    compare_with_training,
    count_data,
    draw,
    extract_features,
    predict,
    read_recordings,
    score,
    write_page,
)

FIGURES = ("confusion", "confusion_telephone", "groups", "detection", "reliability", "lines")


def create_pipeline() -> Pipeline:
    """Evaluate the champion, or ``model_uri``, on the corpora in ``corpora_dir``."""
    return Pipeline(
        [*_predicting(), *_reporting()],
        namespace="external_evaluation",
        inputs={"external_corpora", "scoring_model", "scoring_model_version", "feature_cache"},
        outputs={"external_predictions", "external_evaluation_page"},
        parameters={"params:corpora", "params:external_evaluation", "params:detection"},
        tags="external_evaluation",
    )


def _predicting() -> list[Node]:
    return [
        Node(
            read_recordings,
            ["external_corpora", "params:corpora"],
            ["utterances", "rejected_audio"],
            name="read_recordings",
        ),
        Node(
            compare_with_training,
            ["utterances", "scoring_model", "params:corpora"],
            ["tested", "left_out"],
            name="compare_with_training",
        ),
        Node(
            extract_features,
            ["tested", "scoring_model", "feature_cache", "params:external_evaluation"],
            "index",
            name="extract_features",
        ),
        Node(
            predict,
            ["index", "tested", "scoring_model", "feature_cache"],
            ["external_predictions", "rejected_sounds"],
            name="predict",
        ),
    ]


def _reporting() -> list[Node]:
    return [
        Node(
            score,
            [
                "external_predictions",
                "scoring_model",
                "params:external_evaluation",
                "params:detection",
            ],
            ["metrics_table", "classes_table", "confusion_table", "lines_table"],
            name="score",
        ),
        Node(
            count_data,
            ["tested", "left_out", "rejected_audio", "rejected_sounds"],
            ["data_table", "rejected_table"],
            name="count_data",
        ),
        Node(
            draw,
            [
                "external_predictions",
                "metrics_table",
                "lines_table",
                "tested",
                "scoring_model",
                "params:detection",
            ],
            [f"{name}_figure" for name in FIGURES],
            name="draw",
        ),
        Node(
            write_page,
            {
                "metrics": "metrics_table",
                "classes": "classes_table",
                "lines": "lines_table",
                "data": "data_table",
                "rejected": "rejected_table",
                "tested": "tested",
                "predictor": "scoring_model",
                "version": "scoring_model_version",
                "run": "run_info",
                "detection": "params:detection",
            }
            | {f"{name}_figure": f"{name}_figure" for name in FIGURES},
            "external_evaluation_page",
            name="write_page",
        ),
    ]
