"""Features of recordings and copies → effect of each group of features, copy and option."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.context import encoder_is_set
from speech_emotion.pipelines.ablation.nodes import (
    compare_augmentation,
    compare_groups,
    compare_importance,
    compare_layers,
    compare_mfcc,
    compare_networks,
    compare_seeds,
    compare_telephone,
    write_documents,
)

DATA = ["utterances", "splits", "labels"]
SETTINGS = ["params:selection", "params:ablation"]
# Sections of the documents, by the table of each.
SECTIONS = {
    "ablation": "groups",
    "importance": "importance",
    "features": "features",
    "mfcc": "mfcc",
    "augmentation": "augmentation",
    "telephone": "telephone",
    "networks": "networks",
    "seeds": "spread",
}
FIGURES = {
    "ablation": "groups",
    "importance": "importance",
    "mfcc": "mfcc",
    "augmentation": "augmentation",
    "telephone": "telephone",
    "networks": "networks",
    "seeds": "seeds",
}


def create_pipeline() -> Pipeline:
    """Compare what improves the recognition of unseen speakers, on the training speakers alone.

    The pipeline reads the stored results of ``feature_engineering``.
    """
    encoder = encoder_is_set()
    embeddings = {"embeddings", "encoder"} if encoder else set()
    return Pipeline(
        [*_comparisons(), *([_layers()] if encoder else []), _documents(encoder=encoder)],
        namespace="ablation",
        inputs={"features", "sequences", "augmentation_plan", *DATA, *embeddings},
        outputs={"ablation_page", "ablation_markdown"},
        parameters={
            "params:features",
            "params:augmentation",
            "params:splits",
            *SETTINGS,
        },
        tags="ablation",
    )


def _comparisons() -> list[Node]:
    return [
        Node(
            compare_groups,
            ["features", *DATA, *SETTINGS],
            ["groups_table", "groups_figure"],
            name="compare_groups",
        ),
        Node(
            compare_importance,
            ["features", *DATA, *SETTINGS],
            ["importance_table", "features_table", "importance_figure"],
            name="compare_importance",
        ),
        Node(
            compare_mfcc,
            ["features", "sequences", *DATA, "params:features", *SETTINGS],
            ["mfcc_table", "mfcc_figure"],
            name="compare_mfcc",
        ),
        Node(
            compare_augmentation,
            ["features", "augmentation_plan", *DATA, "params:augmentation", *SETTINGS],
            ["augmentation_table", "augmentation_figure"],
            name="compare_augmentation",
        ),
        Node(
            compare_telephone,
            ["features", *DATA, *SETTINGS],
            ["telephone_table", "telephone_figure"],
            name="compare_telephone",
        ),
        Node(
            compare_networks,
            ["features", "sequences", *DATA, *SETTINGS],
            ["networks_table", "networks_figure"],
            name="compare_networks",
        ),
        Node(
            compare_seeds,
            ["features", "sequences", *DATA, "params:splits", *SETTINGS],
            ["seeds_table", "spread_table", "seeds_figure"],
            name="compare_seeds",
        ),
    ]


def _layers() -> Node:
    return Node(
        compare_layers,
        ["embeddings", *DATA, "encoder", *SETTINGS],
        ["encoder_table", "encoder_figure"],
        name="compare_layers",
    )


def _documents(*, encoder: bool) -> Node:
    further = {"encoder": "encoder"} if encoder else {}
    return Node(
        write_documents,
        {"utterances": "utterances", "settings": "params:ablation"}
        | {section: f"{table}_table" for section, table in (SECTIONS | further).items()}
        | {
            f"{section}_figure": f"{figure}_figure"
            for section, figure in (FIGURES | further).items()
        },
        ["ablation_markdown", "ablation_page"],
        name="write_documents",
    )
