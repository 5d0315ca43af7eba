"""Features → tuned candidates → leaderboard and champion."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from speech_emotion.context import current_parameters, encoder_is_set
from speech_emotion.evaluation import SelectionSettings
from speech_emotion.models import family_named
from speech_emotion.pipelines.model_selection.nodes import (
    assemble_champion,
    compare_candidates,
    evaluate_candidate,
    fit_voices,
    gather_candidates,
    score_candidate,
    tune_candidate,
)

NAMESPACE = "model_selection"
RESULTS = {
    "predictions",
    "trials",
    "learning_curves",
    "candidates",
    "leaderboard",
    "calibration",
    "choice",
    "champion",
}


def create_pipeline(families: Sequence[str] | None = None) -> Pipeline:
    """Create the same nodes for every selected family, then compare the families.

    Nodes are created for the families that ``selection.families`` lists, in the environment and with
    the ``--params`` of the current session. The alternative is one node per step that loops over the
    families. It needs no configuration here, but one failing family would lose the results of the
    others, families could not run in parallel or be resumed one by one, and the map would not show
    them.

    Args:
        families: Model families; by default those that the configuration selects.
    """
    if families is None:
        selection = SelectionSettings.model_validate(current_parameters()["selection"])
        families = selection.chosen(encoder=encoder_is_set())
    inputs = {name for family in families for name in _inputs(family).values()} | {
        "utterances",
        "splits",
        "labels",
    }
    if any(family_named(family).needs_encoder for family in families):
        inputs.add("encoder")
    settings = {f"params:candidates.{family}" for family in families}
    return Pipeline(
        [*map(_candidate, families), _comparison(families)],
        namespace=NAMESPACE,
        inputs=inputs,
        outputs=RESULTS,
        parameters={"params:selection", "params:features", "params:detection", *settings},
        tags=NAMESPACE,
    )


def _inputs(family: str) -> dict[str, str]:
    """Return the datasets that a family is trained on, by the arguments of its nodes."""
    kind = family_named(family).inputs
    if kind == "embeddings":
        return {"features": "embeddings", "rejected": "rejected_embeddings"}
    if kind == "encoder_frames":
        inputs = {"features": "embeddings", "rejected": "rejected_embeddings"}
        return inputs | {"sequences": "encoder_frames"}
    inputs = {"features": "features", "rejected": "rejected_features"}
    return inputs | ({"sequences": "sequences"} if kind == "sequences" else {})


def _candidate(family: str) -> Pipeline:
    """Tune, evaluate and score one family in its own namespace."""
    data = _inputs(family) | {name: name for name in ("utterances", "splits", "labels")}
    settings = {"selection": "params:selection", "candidate": "params:candidate"}
    return Pipeline(
        [
            Node(tune_candidate, data | settings, ["trials", "hyperparameters"], name="tune"),
            Node(
                evaluate_candidate,
                data | settings | {"hyperparameters": "hyperparameters"},
                ["predictions", "timings", "learning_curves", "candidate", "estimator"],
                name="evaluate",
            ),
            Node(
                score_candidate,
                [
                    "predictions",
                    "timings",
                    "trials",
                    "learning_curves",
                    "candidate",
                    "labels",
                    "params:selection",
                ],
                "tables",
                name="score",
            ),
        ],
        namespace=family,
        inputs=set(data.values()),
        outputs={result: f"{family}_{result}" for result in ("tables", "estimator")},
        parameters={
            "params:selection": "params:selection",
            "params:candidate": f"params:candidates.{family}",
        },
        tags="candidate",
    )


def _comparison(families: Sequence[str]) -> Pipeline:
    """Concatenate the tables of all families, combine and compare them, choose the champion."""
    on_embeddings = any(family_named(family).needs_encoder for family in families)
    voices = Node(
        fit_voices,
        ["embeddings", "utterances", "splits", "params:selection"],
        "voices",
        name="fit_voices",
    )
    return Pipeline(
        [
            *([voices] if on_embeddings else []),
            Node(
                gather_candidates,
                [f"{family}_tables" for family in families],
                [
                    "candidate_predictions",
                    "candidate_metrics",
                    "trials",
                    "learning_curves",
                    "candidates",
                ],
                name="gather_candidates",
            ),
            Node(
                compare_candidates,
                ["candidate_predictions", "candidate_metrics", "labels", "params:selection"],
                ["predictions", "leaderboard", "calibration", "choice"],
                name="compare_candidates",
            ),
            Node(
                assemble_champion,
                {
                    "choice": "choice",
                    "predictions": "predictions",
                    "labels": "labels",
                    "utterances": "utterances",
                    "splits": "splits",
                    "features": "params:features",
                    "selection": "params:selection",
                    "detection": "params:detection",
                }
                | {family: f"{family}_estimator" for family in families}
                | ({"encoder": "encoder", "voices": "voices"} if on_embeddings else {}),
                "champion",
                name="assemble_champion",
            ),
        ]
    )
