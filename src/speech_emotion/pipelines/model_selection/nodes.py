"""Nodes of model selection: tune, evaluate and score each candidate, combine them, choose one."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from speech_emotion.corpora import TRAIN, Protocol, in_split
from speech_emotion.encoders import SpeechEncoder
from speech_emotion.evaluation import (
    CLEAN,
    CROSS_VALIDATION,
    METRICS,
    OUTDATED,
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
    headline_first,
    make_examples,
    trial_table,
    tune,
)
from speech_emotion.features import FeatureSettings
from speech_emotion.models import (
    COMBINATIONS,
    Combiner,
    EmotionPredictor,
    Member,
    TrainingKeys,
    TrainingProfile,
    VoiceProjection,
    family_named,
)
from speech_emotion.runtime import check_same_keys, join

logger = logging.getLogger(__name__)

KEYS = ["utterance_id", "variant"]
SOUND = "utterance_id"
AT_SPEED = (0, -1)
"""Variants at the original speed, as recorded and over a training line; others change the voice."""
TRIALS = ["model", "trial", "state", "uar", "fold_uar", "seconds", "params"]
GROUPS = ["model", "protocol", "condition", "evaluation"]
TIMINGS = ["model", "protocol", "fit_seconds", "predict_ms"]
SCORES = [
    *GROUPS,
    "n_utterances",
    "n_speakers",
    *(f"{metric}{bound}" for metric in METRICS for bound in ("", "_low", "_high")),
]


def tune_candidate(
    features: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    selection: SelectionSettings,
    candidate: CandidateSettings,
    sequences: np.ndarray | None = None,
    rejected: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Search hyperparameters on the folds of the selecting protocol, unless there is one choice.

    Returns:
        The trials, and the chosen hyperparameters.
    """
    if (only := candidate.only_choice) is not None:
        return pd.DataFrame(columns=TRIALS), only
    _check_features(features, utterances, rejected)
    examples = _examples(
        features, sequences, utterances, splits, labels, candidate, selection, [selection.protocol]
    )
    study = tune(examples[selection.protocol], candidate, selection)
    return trial_table(study, candidate.family), candidate.fixed | best_parameters(study)


def evaluate_candidate(
    features: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    hyperparameters: dict[str, Any],
    selection: SelectionSettings,
    candidate: CandidateSettings,
    sequences: np.ndarray | None = None,
    rejected: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, BaseEstimator]:
    """Predict the folds and the test set of every compared protocol.

    Returns:
        Predictions; timings; learning curves; one row with ``model``, ``family``,
        ``hyperparameters`` (JSON), ``started`` and ``ended`` (UTC), and ``left_out``, the protocols that
        the time budget left out; the estimator that was trained on the whole training set of the
        selecting protocol.
    """
    _check_features(features, utterances, rejected)
    present = set(splits["protocol"])  # protocols across corpora need two of them
    protocols = [
        protocol
        for protocol in selection.compared
        if protocol in present and protocol in (candidate.protocols or selection.compared)
    ]
    examples = _examples(
        features, sequences, utterances, splits, labels, candidate, selection, protocols
    )
    result = evaluate(examples, candidate, hyperparameters, selection)
    described = {
        "model": candidate.family,
        "family": candidate.family,
        "hyperparameters": json.dumps(hyperparameters),
        "started": result.timings["started"].min(),
        "ended": result.timings["ended"].max(),
        "left_out": ", ".join(result.left_out),
    }
    return (
        result.predictions,
        result.timings,
        result.learning_curves,
        pd.DataFrame([described]),
        result.estimator,
    )


def _check_features(
    features: pd.DataFrame, utterances: pd.DataFrame, rejected: pd.DataFrame | None
) -> None:
    """Check that all utterances but the rejected ones have features."""
    is_recording = features["variant"] == 0
    expected = utterances[["utterance_id"]]
    if rejected is not None:
        lost = rejected.loc[rejected["variant"] == 0, "path"]
        expected = expected[~utterances["path"].isin(lost)]
    names = ("features", "utterances")
    check_same_keys(features[is_recording], expected, "utterance_id", names=names, remedy=OUTDATED)


def _examples(
    features: pd.DataFrame,
    sequences: np.ndarray | None,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    candidate: CandidateSettings,
    selection: SelectionSettings,
    protocols: list[Protocol],
) -> dict[str, Examples]:
    # Selected once and shared by the protocols: the inputs may be most of the memory in use.
    family = family_named(candidate.family)
    table = features.drop(columns=KEYS)
    inputs = (
        family.select(embeddings=table, encoder_frames=sequences)
        if family.needs_encoder
        else family.select(table, sequences)
    )
    return {
        protocol: make_examples(
            features[KEYS],
            inputs,
            utterances,
            splits,
            labels=labels,
            protocol=protocol,
            copies=candidate.copies,
            telephone=candidate.telephone,
            enrolment_prior=selection.enrolment_prior,
        )
        for protocol in protocols
    }


def score_predictions(
    predictions: pd.DataFrame,
    timings: pd.DataFrame,
    labels: list[str],
    selection: SelectionSettings,
) -> pd.DataFrame:
    """Score each model, protocol, condition and evaluation, with intervals over speakers."""
    rows = [
        dict(zip(GROUPS, names, strict=True))
        | classification_metrics(subset, labels, resamples=selection.bootstrap, seed=selection.seed)
        for names, subset in predictions.groupby(GROUPS, sort=True)
    ]
    metrics = pd.DataFrame(rows, columns=SCORES)
    names, remedy = ("metrics", "timings"), "run the model_selection pipeline again"
    return join(metrics, timings[TIMINGS], ["model", "protocol"], names=names, remedy=remedy)


def score_candidate(
    predictions: pd.DataFrame,
    timings: pd.DataFrame,
    trials: pd.DataFrame,
    learning_curves: pd.DataFrame,
    candidate: pd.DataFrame,
    labels: list[str],
    selection: SelectionSettings,
) -> dict[str, pd.DataFrame]:
    """Score a candidate, and return all tables that its family hands over."""
    return {
        "predictions": predictions,
        "metrics": score_predictions(predictions, timings, labels, selection),
        "trials": trials,
        "learning_curves": learning_curves,
        "candidates": candidate,
    }


def gather_candidates(
    *families: Mapping[str, Callable[[], pd.DataFrame]],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Concatenate the tables of all families.

    Args:
        families: For each family what loads its tables, by the names of :func:`score_candidate`.

    Returns:
        Predictions, metrics, trials, learning curves and candidates of all families.
    """
    predictions, metrics, trials, learning_curves, candidates = (
        _concatenate([tables[name]() for tables in families])
        for name in ("predictions", "metrics", "trials", "learning_curves", "candidates")
    )
    return predictions, metrics, trials, learning_curves, candidates


def _concatenate(tables: list[pd.DataFrame]) -> pd.DataFrame:
    # Tables without rows have no useful types.
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def compare_candidates(
    candidates: pd.DataFrame,
    metrics: pd.DataFrame,
    labels: list[str],
    selection: SelectionSettings,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Combine the candidates, calibrate and rank all models, choose by cross-validation alone.

    Args:
        candidates: Predictions of all candidates.
        metrics: Their metrics, as :func:`score_predictions` returns them.
        labels: All labels.
        selection: Selecting protocol and size of the ensembles.

    Returns:
        Calibrated predictions of all models; the leaderboard; calibration errors; and the choice:
        ``champion``, its ``members``, ``combiner`` and ``temperature``.
    """
    candidates = _common_sounds(candidates)
    predictions, leaderboard = candidates, metrics
    combiners: dict[tuple[str, str], Combiner] = {}
    for name, protocol in product(COMBINATIONS, sorted(candidates["protocol"].unique())):
        rows = candidates[candidates["protocol"] == protocol]
        members = choose_members(rows, name, most=selection.max_members)
        if not members:
            continue
        combined, combiners[name, protocol] = combine(rows, name, members)
        predictions = pd.concat([predictions, combined], ignore_index=True)
        # An ensemble costs as much as its members together.
        costs = metrics[
            (metrics["protocol"] == protocol) & metrics["model"].isin(members)
        ].drop_duplicates("model")[["fit_seconds", "predict_ms"]]
        timings = pd.DataFrame([costs.sum()]).assign(model=name, protocol=protocol)
        scores = score_predictions(combined, timings, labels, selection)
        leaderboard = pd.concat([leaderboard, scores], ignore_index=True)
    champion = str(cross_validated_uar(predictions, selection.protocol).index[0])
    leaderboard["champion"] = (leaderboard["model"] == champion) & (
        leaderboard["protocol"] == selection.protocol
    )
    leaderboard = leaderboard.sort_values(
        ["protocol", "condition", "evaluation", "uar"],
        ascending=[True, True, True, False],
    )
    leaderboard = headline_first(leaderboard, selection.protocol)
    predictions, calibration = calibrate(predictions)
    temperatures = calibration[calibration["model"] == champion].groupby("protocol")["temperature"]
    combiner = combiners.get((champion, selection.protocol), Combiner.single(champion)).trimmed()
    choice = {
        "champion": champion,
        "members": list(combiner.members),
        "combiner": combiner.to_dict(),
        "temperature": temperatures.first().to_dict()[selection.protocol],
    }
    return predictions, leaderboard, calibration, choice


def _common_sounds(candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of sounds that all models predicted.

    Models with the same inputs predict the same sounds. A sound may have features and no embedding.

    Raises:
        JoinError: If predictions of a model are missing.
    """
    kept = []
    for _, rows in candidates.groupby(["protocol", "condition", "evaluation"]):
        by_kind: dict[bool, pd.DataFrame] = {}
        for model, own in rows.groupby("model"):
            first = by_kind.setdefault(family_named(str(model)).needs_encoder, own)
            names = (f"predictions of {first['model'].iloc[0]}", f"predictions of {model}")
            remedy = "run the model_selection pipeline again"
            check_same_keys(first, own, SOUND, names=names, remedy=remedy)
        common = set.intersection(*(set(own[SOUND]) for own in by_kind.values()))
        kept.append(rows[rows[SOUND].isin(common)])
    table = pd.concat(kept).sort_index()
    if lost := len(candidates) - len(table):
        logger.warning(
            "%d predictions of sounds that other models have no input of: left out", lost
        )
    return table


def fit_voices(
    embeddings: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    selection: SelectionSettings,
) -> VoiceProjection:
    """Learn to tell speakers apart from the training utterances, as recorded and over training lines."""
    speakers = utterances.set_index("utterance_id")["speaker"]
    used = embeddings["variant"].isin(AT_SPEED)
    used &= in_split(embeddings["utterance_id"], splits, selection.protocol, TRAIN)
    rows = embeddings[used]
    return VoiceProjection.fit(rows.drop(columns=KEYS), rows["utterance_id"].map(speakers))


def assemble_champion(
    choice: dict[str, Any],
    predictions: pd.DataFrame,
    labels: list[str],
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    features: FeatureSettings,
    selection: SelectionSettings,
    detection: DetectionSettings,
    encoder: SpeechEncoder | None = None,
    voices: VoiceProjection | None = None,
    **estimators: BaseEstimator,
) -> EmotionPredictor:
    """Combine the chosen estimators and the settings of feature extraction into a predictor.

    Args:
        choice: Result of :func:`compare_candidates`.
        predictions: Calibrated predictions of all models.
        labels: All labels.
        utterances: All utterances.
        splits: Training and test set of every protocol; the predictor carries keys of its training set.
        features: Settings of feature extraction.
        selection: Selecting protocol.
        detection: Label to flag and accepted rate of false alarms.
        encoder: Encoder of the embeddings; it becomes part of a champion that needs it.
        voices: Projection that tells speakers apart; likewise.
        estimators: Fitted estimator of every family.
    """
    validation = predictions[
        (predictions["model"] == choice["champion"])
        & (predictions["protocol"] == selection.protocol)
        & (predictions["evaluation"] == CROSS_VALIDATION)
    ]
    training = in_split(utterances["utterance_id"], splits, selection.protocol, TRAIN)
    members = tuple(Member(family, estimators[family]) for family in choice["members"])
    needs_encoder = any(family_named(member.family).needs_encoder for member in members)
    return EmotionPredictor(
        labels=tuple(labels),
        features=features,
        members=members,
        combiner=Combiner.from_dict(choice["combiner"]),
        temperature=choice["temperature"],
        threshold=choose_threshold(validation[validation["condition"] == CLEAN], detection),
        encoder=encoder if needs_encoder else None,
        voices=voices if needs_encoder else None,
        synthetic=bool(utterances["synthetic"].any()),
        training_keys=TrainingKeys.from_utterances(utterances[training]),
        profile=TrainingProfile.from_training(
            utterances[training], validation, target=detection.target
        ),
    )
