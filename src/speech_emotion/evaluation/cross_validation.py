"""Training examples under a protocol, and the predictions a candidate makes on them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from speech_emotion.corpora import TEST
from speech_emotion.evaluation.protocol_data import CLEAN, CROSS_VALIDATION, Examples, Subset
from speech_emotion.evaluation.settings import CandidateSettings, SelectionSettings
from speech_emotion.models import (
    BANDWIDTH_FEATURE,
    BandwidthModels,
    Conv1DClassifier,
    SexThenEmotion,
    family_named,
)
from speech_emotion.runtime import fan_out

__all__ = [
    "Evaluation",
    "evaluate",
    "fit_estimator",
    "probabilities",
]

FINAL = -1
CURVES = ["model", "protocol", "run", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"]


def fit_estimator(
    candidate: CandidateSettings,
    parameters: dict[str, Any],
    training: Subset,
    settings: SelectionSettings,
    *,
    watched: Subset | None = None,
) -> BaseEstimator:
    """Build and train the candidate's estimator.

    Args:
        candidate: Family and fixed hyperparameters.
        parameters: Searched hyperparameters.
        training: Examples to learn from.
        settings: Seed.
        watched: Examples whose loss a network writes down an epoch, without learning from them.
    """
    estimator = family_named(candidate.family).build(seed=settings.seed)
    estimator.set_params(**(candidate.fixed | parameters))
    options: dict[str, Any] = {}
    if isinstance(estimator, Conv1DClassifier):
        options["groups"] = training.table["speaker"].to_numpy()
        if watched is not None:
            options["validation"] = (watched.inputs, watched.codes)
    else:
        if isinstance(estimator, SexThenEmotion):
            options["sex"] = training.table["sex"].to_numpy()
        if candidate.bandwidth_models and BANDWIDTH_FEATURE in training.inputs:
            estimator = BandwidthModels(estimator)
    with warnings.catch_warnings():
        # The number of passes is a hyperparameter here: ending on it is no failure.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(training.inputs, training.codes, **options)


def probabilities(estimator: BaseEstimator, part: Subset, labels: Sequence[str]) -> np.ndarray:
    """Predict ``(n, n_labels)``; a label the estimator never saw has probability 0."""
    aligned = np.zeros((len(part.codes), len(labels)))
    aligned[:, estimator.classes_] = estimator.predict_proba(part.inputs)
    return aligned


@dataclass(frozen=True)
class Evaluation:
    """What a candidate with chosen hyperparameters does under each protocol.

    Attributes:
        predictions: ``utterance_id``, ``corpus``, ``speaker``, ``sex``, ``model``, ``protocol``,
            ``condition``, ``evaluation``, ``fold``, ``label``, ``prediction`` and ``p_<label>`` for
            each label.
        timings: One row a protocol: ``model``, ``protocol``, ``fit_seconds``, ``predict_ms`` an
            utterance, and ``started`` and ``ended`` of the whole evaluation (UTC).
        learning_curves: ``model``, ``protocol``, ``run``, ``epoch`` and the network's losses and
            accuracies; empty for other models.
        estimator: The estimator trained on all training examples of the selecting protocol.
    """

    predictions: pd.DataFrame
    timings: pd.DataFrame
    learning_curves: pd.DataFrame
    estimator: BaseEstimator


def evaluate(
    examples: Mapping[str, Examples],
    candidate: CandidateSettings,
    parameters: dict[str, Any],
    settings: SelectionSettings,
) -> Evaluation:
    """Predict every fold from the others, then the held-out utterances from all training ones.

    Whatever is tested is predicted as recorded and, where features of it are at hand, as a telephone
    would carry it.

    Args:
        examples: Examples of each compared protocol.
        candidate: Family and fixed hyperparameters.
        parameters: Chosen hyperparameters, the same for every protocol.
        settings: Selecting protocol, seed and number of processes.
    """
    started = pd.Timestamp.now("UTC")
    folds = [
        (protocol, fold)
        for protocol, known in examples.items()
        for fold in [*known.folds, *([FINAL] if _needs_final(known, settings) else [])]
    ]
    shared = (dict(examples), candidate, parameters, settings)
    predictions, curves = [], []
    timings: dict[str, dict[str, Any]] = {}
    estimators: dict[str, BaseEstimator | None] = {}
    trained = fan_out(_train_and_test, folds, shared=shared, n_jobs=settings.n_jobs)
    for (protocol, _), (tables, taken, curve, estimator) in zip(folds, trained, strict=True):
        predictions += tables
        curves.append(curve)
        # The last round is the final one: trained on all folds.
        timings[protocol] = timings.get(protocol, {}) | taken
        estimators[protocol] = estimator
    return Evaluation(
        pd.concat(predictions, ignore_index=True),
        pd.DataFrame(timings.values()).assign(started=started, ended=pd.Timestamp.now("UTC")),
        pd.concat(curves, ignore_index=True),
        estimators[settings.protocol],
    )


def _needs_final(examples: Examples, settings: SelectionSettings) -> bool:
    return examples.has_test or examples.protocol == settings.protocol


def _train_and_test(
    protocol: str,
    fold: int,
    examples: Mapping[str, Examples],
    candidate: CandidateSettings,
    parameters: dict[str, Any],
    settings: SelectionSettings,
) -> tuple[list[pd.DataFrame], dict[str, Any], pd.DataFrame, BaseEstimator | None]:
    """Give one fold's predictions, timings and learning curve; the estimator if it is kept."""
    known = examples[protocol]
    names = {"model": candidate.family, "protocol": protocol}
    final = fold == FINAL
    training, tests = known.final() if final else known.fold(fold)
    watched = None if final else tests[CLEAN]
    started = time.perf_counter()
    estimator = fit_estimator(candidate, parameters, training, settings, watched=watched)
    taken = names | {"fit_seconds": time.perf_counter() - started}
    tables = []
    for condition, unseen in tests.items():
        begun = time.perf_counter()
        predicted = probabilities(estimator, unseen, known.labels)
        if condition == CLEAN:
            taken["predict_ms"] = 1000 * (time.perf_counter() - begun) / len(unseen.codes)
        facts = names | {"condition": condition}
        tables.append(_prediction_table(facts, fold, unseen, predicted, known.labels))
    kept = final and protocol == settings.protocol
    return tables, taken, _curves(names, fold, estimator), estimator if kept else None


def _curves(names: dict[str, str], fold: int, estimator: BaseEstimator) -> pd.DataFrame:
    history = pd.DataFrame(getattr(estimator, "history_", []))
    history = history.assign(
        **names, run="final" if fold == FINAL else f"fold {fold}", epoch=history.index + 1
    )
    return history.reindex(columns=CURVES)


def _prediction_table(
    names: dict[str, str], fold: int, part: Subset, predicted: np.ndarray, labels: Sequence[str]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **part.table[["utterance_id", "corpus", "speaker", "sex"]],
            **names,
            "evaluation": TEST if fold == FINAL else CROSS_VALIDATION,
            "fold": fold,
            "label": part.table["label"],
            "prediction": np.asarray(labels)[predicted.argmax(axis=1)],
        }
        | {f"p_{label}": predicted[:, code] for code, label in enumerate(labels)}
    )
