"""Utterances and augmentation plan → features."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.feature_engineering.nodes import collect_features, extract_features


def create_pipeline() -> Pipeline:
    """Extract statistics and frame sequences of recordings and their variants.

    Both nodes share the feature cache: the first one fills it, the second one reads it. Sounds that
    were extracted before with the same settings are not extracted again.
    """
    return Pipeline(
        [
            Node(
                extract_features,
                ["utterances", "augmentation_plan", "feature_cache", "params:features"],
                "feature_index",
                name="extract_features",
            ),
            Node(
                collect_features,
                ["feature_index", "feature_cache", "params:features"],
                ["features", "sequences", "rejected_features"],
                name="collect_features",
            ),
        ],
        namespace="feature_engineering",
        inputs={"utterances", "augmentation_plan", "feature_cache"},
        outputs={"features", "sequences", "rejected_features"},
        parameters={"params:features"},
        tags="feature_engineering",
    )
