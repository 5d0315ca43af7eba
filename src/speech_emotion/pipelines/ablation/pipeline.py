"""Features of recordings and copies → effect of each group of features, copy and option."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.context import current_parameters, encoder_is_set
from speech_emotion.pipelines.ablation.nodes import (
    compare_augmentation,
    compare_encoders,
    compare_fusion,
    compare_groups,
    compare_importance,
    compare_layers,
    compare_mfcc,
    compare_networks,
    compare_seeds,
    compare_telephone,
    encode_with_others,
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


def create_pipeline() -> Pipeline:
    """Compare what improves the recognition of unseen speakers, on the training speakers alone.

    The pipeline reads the stored results of ``feature_engineering``.
    """
    nodes, sections = _comparisons(), dict(SECTIONS)
    inputs = {"features", "sequences", "augmentation_plan", *DATA}
    parameters = {"params:features", "params:augmentation", "params:splits", *SETTINGS}
    if encoder_is_set():
        nodes += _with_encoder()
        sections |= {"encoder": "encoder", "fusion": "fusion"}
        inputs |= {"embeddings", "encoder"}
        if current_parameters()["ablation"]["encoders"]:
            nodes += _choice()
            sections |= {"encoders": "encoders"}
            inputs |= {"feature_cache"}
            parameters |= {"params:embeddings"}
    return Pipeline(
        [*nodes, _documents(sections)],
        namespace="ablation",
        inputs=inputs,
        outputs={"ablation_page", "ablation_markdown"},
        parameters=parameters,
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


def _with_encoder() -> list[Node]:
    return [
        Node(
            compare_layers,
            ["embeddings", *DATA, "encoder", *SETTINGS],
            ["encoder_table", "encoder_figure"],
            name="compare_layers",
        ),
        Node(
            compare_fusion,
            ["features", "embeddings", *DATA, *SETTINGS],
            ["fusion_table", "fusion_figure"],
            name="compare_fusion",
        ),
    ]


def _choice() -> list[Node]:
    return [
        Node(
            encode_with_others,
            [
                "utterances",
                "augmentation_plan",
                "feature_cache",
                "embeddings",
                "encoder",
                "params:embeddings",
                "params:ablation",
            ],
            ["all_embeddings", "speed_table"],
            name="encode_with_others",
        ),
        Node(
            compare_encoders,
            ["all_embeddings", "speed_table", *DATA, *SETTINGS],
            ["encoders_table", "encoders_figure"],
            name="compare_encoders",
        ),
    ]


def _documents(sections: dict[str, str]) -> Node:
    drawn = {section: table for section, table in sections.items() if section != "features"}
    # The spread over seeds is a table of its own; the figure shows every seed.
    drawn["seeds"] = "seeds"
    return Node(
        write_documents,
        {"utterances": "utterances", "settings": "params:ablation"}
        | {section: f"{table}_table" for section, table in sections.items()}
        | {f"{section}_figure": f"{figure}_figure" for section, figure in drawn.items()},
        ["ablation_markdown", "ablation_page"],
        name="write_documents",
    )
