"""Features → tuned candidates → leaderboard and champion."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.models import FAMILIES
from speech_emotion.pipelines.model_selection.nodes import (
    assemble_champion,
    compare_candidates,
    evaluate_candidate,
    score_predictions,
    tune_candidate,
)

DATA = ["features", "sequences", "utterances", "splits"]
SETTINGS = ["params:selection", "params:candidate"]
# What others read of a candidate is called FAMILY_result, the rest stays FAMILY.result.
RESULTS = ("trials", "predictions", "learning_curves", "estimator", "figures")


def create_pipeline() -> Pipeline:
    """Run the same three nodes for every family, then compare the families."""
    candidates = [
        Pipeline(
            _candidate_nodes(),
            namespace=family,
            inputs=set(DATA),
            outputs={result: f"{family}_{result}" for result in RESULTS},
            parameters={"params:selection"},
            tags="candidate",
        )
        for family in FAMILIES
    ]
    comparison = Pipeline(
        [
            Node(
                compare_candidates,
                {"utterances": "utterances", "selection": "params:selection"}
                | {f"{family}_predictions": f"{family}_predictions" for family in FAMILIES}
                | {f"{family}_figures": f"{family}_figures" for family in FAMILIES},
                ["predictions", "leaderboard", "calibration", "choice"],
                name="compare_candidates",
            ),
            Node(
                assemble_champion,
                {
                    "choice": "choice",
                    "predictions": "predictions",
                    "utterances": "utterances",
                    "features": "params:features",
                    "selection": "params:selection",
                    "detection": "params:detection",
                }
                | {family: f"{family}_estimator" for family in FAMILIES},
                "champion",
                name="assemble_champion",
            ),
        ],
        namespace="comparison",
        prefix_datasets_with_namespace=False,
    )
    return Pipeline([*candidates, comparison], tags="model_selection")


def _candidate_nodes() -> list[Node]:
    return [
        Node(tune_candidate, [*DATA, *SETTINGS], ["trials", "hyperparameters"], name="tune"),
        Node(
            evaluate_candidate,
            [*DATA, "hyperparameters", *SETTINGS],
            ["predictions", "timings", "learning_curves", "estimator"],
            name="evaluate",
        ),
        Node(
            score_predictions,
            ["predictions", "timings", "utterances", "params:selection"],
            "figures",
            name="score",
        ),
    ]
