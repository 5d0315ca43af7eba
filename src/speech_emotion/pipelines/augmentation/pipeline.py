"""Utterances and splits → augmentation plan."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.augmentation.nodes import plan_variants


def create_pipeline() -> Pipeline:
    """Plan the augmented variants of training utterances; features are extracted from them later."""
    return Pipeline(
        [
            Node(
                plan_variants,
                ["utterances", "splits", "params:augmentation"],
                "augmentation_plan",
                name="plan_variants",
            )
        ],
        tags="augmentation",
        namespace="augmentation",
        prefix_datasets_with_namespace=False,
    )
