"""Utterances and augmentation plan → features, and embeddings of a pretrained encoder if one is set."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.context import encoder_is_set
from speech_emotion.pipelines.feature_engineering.nodes import (
    collect_embeddings,
    collect_features,
    encode_speech,
    extract_features,
    load_encoder,
)


def create_pipeline(encoder: bool | None = None) -> Pipeline:
    """Extract statistics, frame sequences and embeddings of recordings and their variants.

    All nodes share the feature cache: the first one of each kind fills it, the second one reads it.
    Sounds that were extracted before with the same settings are not extracted again.

    Args:
        encoder: Whether there are nodes for embeddings; by default, if the configuration names an encoder.
    """
    if encoder is None:
        encoder = encoder_is_set()
    nodes = [
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
    ]
    outputs = {"features", "sequences", "rejected_features"}
    parameters = {"params:features"}
    if encoder:
        nodes += [
            Node(load_encoder, "params:embeddings", "encoder", name="load_encoder"),
            Node(
                encode_speech,
                [
                    "utterances",
                    "augmentation_plan",
                    "feature_cache",
                    "encoder",
                    "params:embeddings",
                ],
                "embedding_index",
                name="encode_speech",
            ),
            Node(
                collect_embeddings,
                ["embedding_index", "feature_cache", "encoder"],
                ["embeddings", "encoder_frames", "rejected_embeddings"],
                name="collect_embeddings",
            ),
        ]
        outputs |= {"encoder", "embeddings", "encoder_frames", "rejected_embeddings"}
        parameters |= {"params:embeddings"}
    return Pipeline(
        nodes,
        namespace="feature_engineering",
        inputs={"utterances", "augmentation_plan", "feature_cache"},
        outputs=outputs,
        parameters=parameters,
        tags="feature_engineering",
    )
