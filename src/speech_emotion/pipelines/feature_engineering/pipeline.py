"""Utterances and augmentation plan → features."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.feature_engineering.nodes import collect_features, extract_shards


def create_pipeline() -> Pipeline:
    """Extract statistics and frame sequences of recordings and their variants.

    Sounds that were extracted before with the same settings are not extracted again.
    """
    shared = ["utterances", "augmentation_plan", "params:features"]
    return Pipeline(
        [
            Node(
                extract_shards,
                [*shared, "feature_keys"],
                "feature_shards",
                name="extract_features",
            ),
            Node(
                collect_features,
                [*shared, "feature_keys", "sequence_shards", "feature_shards"],
                ["features", "sequences", "rejected_features"],
                name="collect_features",
            ),
        ],
        tags="feature_engineering",
        namespace="feature_engineering",
        prefix_datasets_with_namespace=False,
    )
