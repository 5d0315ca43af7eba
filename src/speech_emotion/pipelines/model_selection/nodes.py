"""Nodes of model selection: tune, evaluate and score each candidate, vote, choose."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier

from speech_emotion.corpora import Protocol
from speech_emotion.evaluation import (
    CLEAN,
    CROSS_VALIDATION,
    CURVES,
    METRICS,
    CandidateSettings,
    DetectionSettings,
    Examples,
    SelectionSettings,
    best_parameters,
    calibrate,
    choose_members,
    choose_threshold,
    classification_metrics,
    combine,
    cross_validated_uar,
    evaluate,
    make_examples,
    trial_table,
    tune,
)
from speech_emotion.features import FeatureSettings
from speech_emotion.models import COMBINATIONS, Combiner, EmotionPredictor, Member, family_named

KEYS = ["utterance_id", "variant"]
TRIALS = ["model", "trial", "state", "uar", "fold_uar", "seconds", "params"]
PREDICTIONS = [
    "utterance_id",
    "corpus",
    "speaker",
    "sex",
    "model",
    "protocol",
    "condition",
    "evaluation",
    "fold",
    "label",
    "prediction",
]
GROUPS = ["model", "protocol", "condition", "evaluation"]
TIMINGS = ["model", "protocol", "fit_seconds", "predict_ms"]
FIGURES = [
    "model",
    "protocol",
    "condition",
    "evaluation",
    "n_utterances",
    "n_speakers",
    *(f"{metric}{bound}" for metric in METRICS for bound in ("", "_low", "_high")),
]


def _labels(utterances: pd.DataFrame) -> list[str]:
    return sorted(utterances["label"].unique())


def _examples(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    candidate: CandidateSettings,
    selection: SelectionSettings,
    protocols: list[Protocol],
) -> dict[str, Examples]:
    # Taken once: it may be most of what is in memory.
    inputs = family_named(candidate.family).select(features.drop(columns=KEYS), sequences)
    return {
        protocol: make_examples(
            features[KEYS],
            inputs,
            utterances,
            splits,
            labels=_labels(utterances),
            protocol=protocol,
            copies=candidate.copies,
            telephone=candidate.telephone,
            enrolment_prior=selection.enrolment_prior,
        )
        for protocol in protocols
    }


def tune_candidate(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    selection: SelectionSettings,
    candidate: CandidateSettings,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Search hyperparameters on the folds of the selecting protocol, where there is a choice."""
    if candidate.family not in selection.families:
        return pd.DataFrame(columns=TRIALS), {}
    if (only := candidate.only_choice) is not None:
        return pd.DataFrame(columns=TRIALS), only
    examples = _examples(
        features, sequences, utterances, splits, candidate, selection, [selection.protocol]
    )
    study = tune(examples[selection.protocol], candidate, selection)
    return trial_table(study, candidate.family), candidate.fixed | best_parameters(study)


def evaluate_candidate(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    parameters: dict[str, Any],
    selection: SelectionSettings,
    candidate: CandidateSettings,
) -> tuple[
    pd.DataFrame,
    pd.DataFrame,
    pd.DataFrame,
    BaseEstimator,
]:
    """Predict folds and held-out utterances under every compared protocol."""
    if candidate.family not in selection.families:
        # Kedro stores no "nothing": an estimator that was never trained stands for it.
        nothing = [pd.DataFrame(columns=names) for names in (PREDICTIONS, TIMINGS, CURVES)]
        return (*nothing, DummyClassifier())
    present = set(splits["protocol"])  # one corpus alone crosses nothing
    protocols = [
        protocol
        for protocol in selection.compared
        if protocol in present and protocol in (candidate.protocols or selection.compared)
    ]
    examples = _examples(features, sequences, utterances, splits, candidate, selection, protocols)
    result = evaluate(examples, candidate, parameters, selection)
    return (
        result.predictions,
        result.timings,
        result.learning_curves,
        result.estimator,
    )


def score_predictions(
    predictions: pd.DataFrame,
    timings: pd.DataFrame,
    utterances: pd.DataFrame,
    selection: SelectionSettings,
) -> pd.DataFrame:
    """Score each model, protocol, condition and evaluation, with intervals over speakers."""
    labels = _labels(utterances)
    rows = [
        dict(zip(GROUPS, names, strict=True))
        | classification_metrics(part, labels, resamples=selection.bootstrap, seed=selection.seed)
        for names, part in predictions.groupby(GROUPS, sort=True)
    ]
    figures = pd.DataFrame(rows, columns=FIGURES)
    return figures.merge(timings[TIMINGS], on=["model", "protocol"], how="left")


def compare_candidates(
    utterances: pd.DataFrame, selection: SelectionSettings, **candidates: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Combine the candidates, calibrate and rank all models, choose by cross-validation alone.

    Args:
        utterances: All utterances.
        selection: Selecting protocol and size of the combinations.
        candidates: ``FAMILY_predictions`` and ``FAMILY_figures`` of every family.

    Returns:
        All predictions, calibrated; the leaderboard; calibration errors; and the choice:
        ``champion``, its ``members``, ``combiner`` and ``temperature``.
    """
    singles = pd.concat(_of(candidates, "predictions"), ignore_index=True)
    leaderboard = pd.concat(_of(candidates, "figures"), ignore_index=True)
    predictions = singles
    combiners: dict[tuple[str, str], Combiner] = {}
    for name, protocol in product(COMBINATIONS, sorted(singles["protocol"].unique())):
        own = singles[singles["protocol"] == protocol]
        members = choose_members(own, name, most=selection.max_members)
        if not members:
            continue
        combined, combiners[name, protocol] = combine(own, name, members)
        predictions = pd.concat([predictions, combined], ignore_index=True)
        # A combination costs what its members cost together.
        costs = leaderboard[
            (leaderboard["protocol"] == protocol) & leaderboard["model"].isin(members)
        ].drop_duplicates("model")[["fit_seconds", "predict_ms"]]
        timings = pd.DataFrame([costs.sum()]).assign(model=name, protocol=protocol)
        figures = score_predictions(combined, timings, utterances, selection)
        leaderboard = pd.concat([leaderboard, figures], ignore_index=True)
    champion = str(cross_validated_uar(predictions, selection.protocol).index[0])
    leaderboard["champion"] = (leaderboard["model"] == champion) & (
        leaderboard["protocol"] == selection.protocol
    )
    leaderboard = leaderboard.sort_values(
        ["protocol", "condition", "evaluation", "uar"],
        ascending=[True, True, True, False],
        ignore_index=True,
    )
    predictions, calibration = calibrate(predictions)
    temperatures = calibration[calibration["model"] == champion].groupby("protocol")["temperature"]
    temperature = temperatures.first().to_dict()

    combiner = combiners.get((champion, selection.protocol), Combiner.single(champion)).trimmed()
    choice = {
        "champion": champion,
        "members": list(combiner.members),
        "combiner": combiner.to_dict(),
        "temperature": temperature[selection.protocol],
    }
    return predictions, leaderboard, calibration, choice


def _of(candidates: dict[str, pd.DataFrame], kind: str) -> list[pd.DataFrame]:
    """Tables of one kind, without the empty ones of families that take no part."""
    return [table for name, table in candidates.items() if name.endswith(f"_{kind}") and len(table)]


def assemble_champion(
    choice: dict[str, Any],
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    features: FeatureSettings,
    selection: SelectionSettings,
    detection: DetectionSettings,
    **estimators: BaseEstimator,
) -> EmotionPredictor:
    """Put the chosen estimators together with the way their inputs are extracted.

    Args:
        choice: What :func:`compare_candidates` chose.
        predictions: Calibrated predictions of all models.
        utterances: All utterances.
        features: How inputs are extracted.
        selection: Selecting protocol.
        detection: What is to be flagged, and at how many false alarms.
        estimators: Fitted estimator of every family.
    """
    labels = tuple(_labels(utterances))
    validation = predictions[
        (predictions["model"] == choice["champion"])
        & (predictions["protocol"] == selection.protocol)
        & (predictions["evaluation"] == CROSS_VALIDATION)
        & (predictions["condition"] == CLEAN)
    ]
    return EmotionPredictor(
        labels=labels,
        features=features,
        members=tuple(Member(family, estimators[family]) for family in choice["members"]),
        combiner=Combiner.from_dict(choice["combiner"]),
        temperature=choice["temperature"],
        threshold=choose_threshold(validation, detection),
        synthetic=bool(utterances["synthetic"].any()),
    )
