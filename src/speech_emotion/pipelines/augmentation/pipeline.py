"""Utterances → augmentation plan and examples."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.augmentation.nodes import draw_examples, plan_variants


def create_pipeline() -> Pipeline:
    """Plan the augmented variants of training utterances, and show what the transforms do."""
    return Pipeline(
        [
            Node(
                plan_variants,
                ["utterances", "splits", "params:augmentation"],
                "augmentation_plan",
                name="plan_variants",
            ),
            Node(
                draw_examples,
                ["utterances", "augmentation_plan"],
                ["augmentation_sounds", "augmentation_picture@figure"],
                name="draw_augmentation_examples",
            ),
        ],
        tags="augmentation",
        namespace="augmentation",
        prefix_datasets_with_namespace=False,
    )
