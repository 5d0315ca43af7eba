"""Nodes of model selection: tune, evaluate and score each candidate, vote, choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier

from speech_emotion.audio import FeatureSettings
from speech_emotion.models import (
    VOTING,
    CandidateSettings,
    Examples,
    SelectionSettings,
    choose_voters,
    cross_validated_uar,
    evaluate,
    family_named,
    figures_of_merit,
    make_examples,
    vote,
)
from speech_emotion.models.evaluation import CURVES
from speech_emotion.models.metrics import METRICS
from speech_emotion.models.predictor import EmotionPredictor, Member
from speech_emotion.models.tuning import best_parameters, trial_table, tune

KEYS = ["utterance_id", "variant"]
TRIALS = ["model", "trial", "state", "uar", "fold_uar", "seconds", "params"]
PREDICTIONS = ["utterance_id", "model", "protocol", "evaluation", "fold", "label", "prediction"]
TIMINGS = ["model", "protocol", "fit_seconds", "predict_ms"]
FIGURES = [
    "model",
    "protocol",
    "evaluation",
    "n_utterances",
    "n_speakers",
    *(f"{metric}{bound}" for metric in METRICS for bound in ("", "_low", "_high")),
]


def _examples(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    candidate: CandidateSettings,
    protocol: str,
) -> Examples:
    reads = family_named(candidate.family).inputs
    inputs = features.drop(columns=KEYS) if reads == "statistics" else sequences
    return make_examples(features[KEYS], inputs, utterances, splits, protocol=protocol)


def tune_candidate(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    selection: SelectionSettings,
    candidate: CandidateSettings,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Search hyperparameters on the folds of the selecting protocol."""
    if not candidate.enabled:
        return pd.DataFrame(columns=TRIALS), {}
    examples = _examples(features, sequences, utterances, splits, candidate, selection.protocol)
    study = tune(examples, candidate, selection)
    return trial_table(study, candidate.family), candidate.fixed | best_parameters(study)


def evaluate_candidate(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    parameters: dict[str, Any],
    selection: SelectionSettings,
    candidate: CandidateSettings,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, BaseEstimator]:
    """Predict folds and held-out utterances under every compared protocol."""
    if not candidate.enabled:
        # Kedro stores no "nothing": an estimator that was never trained stands for it.
        nothing = [pd.DataFrame(columns=names) for names in (PREDICTIONS, TIMINGS, CURVES)]
        return (*nothing, DummyClassifier())
    examples: dict[str, Examples] = {
        protocol: _examples(features, sequences, utterances, splits, candidate, protocol)
        for protocol in selection.compared
    }
    result = evaluate(examples, candidate, parameters, selection)
    return result.predictions, result.timings, result.learning_curves, result.estimator


def score_predictions(
    predictions: pd.DataFrame,
    timings: pd.DataFrame,
    utterances: pd.DataFrame,
    selection: SelectionSettings,
) -> pd.DataFrame:
    """Score each model, protocol and evaluation, with intervals over speakers."""
    predictions = predictions.merge(utterances[["utterance_id", "speaker"]], on="utterance_id")
    labels = sorted(utterances["label"].unique())
    rows = [
        {"model": model, "protocol": protocol, "evaluation": evaluation}
        | figures_of_merit(part, labels, resamples=selection.bootstrap, seed=selection.seed)
        for (model, protocol, evaluation), part in predictions.groupby(
            ["model", "protocol", "evaluation"], sort=True
        )
    ]
    figures = pd.DataFrame(rows, columns=FIGURES)
    return figures.merge(timings, on=["model", "protocol"], how="left")


def compare_candidates(
    utterances: pd.DataFrame, selection: SelectionSettings, **candidates: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Add the soft vote, rank all models and choose by cross-validation alone.

    Args:
        utterances: All utterances.
        selection: Selecting protocol and size of the vote.
        candidates: ``FAMILY_predictions`` and ``FAMILY_figures`` of every family.

    Returns:
        All predictions, the leaderboard, and the choice: ``champion`` and its ``members``.
    """
    predictions = pd.concat(_of(candidates, "predictions"), ignore_index=True)
    leaderboard = pd.concat(_of(candidates, "figures"), ignore_index=True)
    voters = choose_voters(predictions, protocol=selection.protocol, most=selection.voters)
    if voters:
        voted = vote(predictions, voters)
        predictions = pd.concat([predictions, voted], ignore_index=True)
        # The vote costs what its voters cost together.
        timings = leaderboard[leaderboard["model"].isin(voters)].drop_duplicates(
            ["model", "protocol"]
        )
        timings = timings.groupby("protocol", as_index=False)[["fit_seconds", "predict_ms"]].sum()
        figures = score_predictions(voted, timings.assign(model=VOTING), utterances, selection)
        leaderboard = pd.concat([leaderboard, figures], ignore_index=True)
    champion = str(cross_validated_uar(predictions, selection.protocol).index[0])
    leaderboard["champion"] = (leaderboard["model"] == champion) & (
        leaderboard["protocol"] == selection.protocol
    )
    leaderboard = leaderboard.sort_values(
        ["protocol", "evaluation", "uar"], ascending=[True, True, False], ignore_index=True
    )
    choice = {"champion": champion, "members": voters if champion == VOTING else [champion]}
    return predictions, leaderboard, choice


def _of(candidates: dict[str, pd.DataFrame], kind: str) -> list[pd.DataFrame]:
    """Tables of one kind, without the empty ones of disabled families."""
    tables = [
        table for name, table in candidates.items() if name.endswith(f"_{kind}") and len(table)
    ]
    if not tables:
        raise ValueError(
            "Every model family is disabled: enable one, FAMILY.candidate.enabled=true"
        )
    return tables


def assemble_champion(
    choice: dict[str, Any],
    utterances: pd.DataFrame,
    features: FeatureSettings,
    **estimators: BaseEstimator,
) -> EmotionPredictor:
    """Put the chosen estimators together with the way their inputs are extracted."""
    return EmotionPredictor(
        name=choice["champion"],
        labels=tuple(sorted(utterances["label"].unique())),
        features=features,
        members=tuple(Member(family, estimators[family]) for family in choice["members"]),
    )
