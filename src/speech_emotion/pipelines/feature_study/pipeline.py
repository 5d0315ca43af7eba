"""Features of recordings and copies → what each of them is worth."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.feature_study.nodes import (
    gather_material,
    study_augmentation,
    study_groups,
    study_importance,
    study_mfcc,
    study_seeds,
    study_telephone,
    write_study,
)

SECTIONS = ("ablation", "importance", "features", "mfcc", "augmentation", "telephone")
FIGURES = ("ablation", "importance", "mfcc", "augmentation", "telephone", "seeds")


def create_pipeline() -> Pipeline:
    """Study, on the training speakers alone, what helps a model that hears a stranger."""
    settings = ["params:selection", "params:study"]
    return Pipeline(
        [
            Node(
                gather_material,
                ["features", "sequences", "utterances", "splits", "params:study"],
                "study_material",
                name="gather_material",
            ),
            Node(
                study_groups,
                ["study_material", *settings],
                ["study_ablation_table", "study_ablation_figure"],
                name="study_groups",
            ),
            Node(
                study_importance,
                ["study_material", *settings],
                ["study_importance_table", "study_features_table", "study_importance_figure"],
                name="study_importance",
            ),
            Node(
                study_mfcc,
                [
                    "features",
                    "sequences",
                    "utterances",
                    "splits",
                    "params:features",
                    *settings,
                ],
                ["study_mfcc_table", "study_mfcc_figure"],
                name="study_mfcc",
            ),
            Node(
                study_augmentation,
                [
                    "study_material",
                    "augmentation_plan",
                    "params:augmentation",
                    *settings,
                ],
                ["study_augmentation_table", "study_augmentation_figure"],
                name="study_augmentation",
            ),
            Node(
                study_telephone,
                ["study_material", "augmentation_plan", *settings],
                ["study_telephone_table", "study_telephone_figure"],
                name="study_telephone",
            ),
            Node(
                study_seeds,
                ["study_material", "params:splits", *settings],
                ["study_seeds_table", "study_spread_table", "study_seeds_figure"],
                name="study_seeds",
            ),
            Node(
                write_study,
                {
                    "utterances": "utterances",
                    "study": "params:study",
                    "seeds": "study_spread_table",
                }
                | {name: f"study_{name}_table" for name in SECTIONS}
                | {f"{name}_figure": f"study_{name}_figure" for name in FIGURES},
                ["study_markdown", "study_page"],
                name="write_study",
            ),
        ],
        tags="feature_study",
        namespace="feature_study",
        prefix_datasets_with_namespace=False,
    )
