"""Features of recordings and copies → what each of them is worth."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.feature_study.nodes import (
    study_augmentation,
    study_groups,
    study_importance,
    study_mfcc,
    study_networks,
    study_seeds,
    study_telephone,
    write_study,
)

SECTIONS = ("ablation", "importance", "features", "mfcc", "augmentation", "telephone", "networks")
FIGURES = ("ablation", "importance", "mfcc", "augmentation", "telephone", "networks", "seeds")


def create_pipeline() -> Pipeline:
    """Study, on the training speakers alone, what helps a model that hears a stranger."""
    table = ["features", "utterances", "splits"]
    settings = ["params:selection", "params:study"]
    return Pipeline(
        [
            Node(
                study_groups,
                [*table, *settings],
                ["study_ablation_table", "study_ablation_figure"],
                name="study_groups",
            ),
            Node(
                study_importance,
                [*table, *settings],
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
                    "features",
                    "augmentation_plan",
                    "utterances",
                    "splits",
                    "params:augmentation",
                    *settings,
                ],
                ["study_augmentation_table", "study_augmentation_figure"],
                name="study_augmentation",
            ),
            Node(
                study_telephone,
                ["features", "augmentation_plan", "utterances", "splits", *settings],
                ["study_telephone_table", "study_telephone_figure"],
                name="study_telephone",
            ),
            Node(
                study_networks,
                ["features", "sequences", "utterances", "splits", *settings],
                ["study_networks_table", "study_networks_figure"],
                name="study_networks",
            ),
            Node(
                study_seeds,
                ["features", "sequences", "utterances", "splits", "params:splits", *settings],
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
                ["ablation_markdown", "ablation_page"],
                name="write_study",
            ),
        ],
        tags="feature_study",
        namespace="feature_study",
        prefix_datasets_with_namespace=False,
    )
