"""Cross-validation: train a candidate on folds and predict unseen examples."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metadata_routing import get_routing_for_object

from speech_emotion.corpora import TEST
from speech_emotion.evaluation.protocol_data import CLEAN, CROSS_VALIDATION, Examples, Subset
from speech_emotion.evaluation.settings import CandidateSettings, SelectionSettings
from speech_emotion.models import BANDWIDTH_FEATURE, BandwidthModels, family_named
from speech_emotion.runtime import fan_out

__all__ = [
    "CURVES",
    "Evaluation",
    "evaluate",
    "fit_estimator",
    "probabilities",
]

logger = logging.getLogger(__name__)

FINAL = -1
CURVES = ["model", "protocol", "run", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"]


def fit_estimator(
    candidate: CandidateSettings,
    parameters: dict[str, Any],
    training: Subset,
    settings: SelectionSettings,
    *,
    validation: Subset | None = None,
) -> BaseEstimator:
    """Build and train the candidate's estimator.

    ``fit`` gets the metadata that the estimator requests by scikit-learn's metadata routing:
    ``sex``, ``groups`` (the speakers), ``sample_weight`` and ``validation``.

    Args:
        candidate: Family and fixed hyperparameters.
        parameters: Searched hyperparameters.
        training: Training subset.
        settings: Seed.
        validation: Subset whose loss a network records after each epoch, without training on it.
    """
    family = family_named(candidate.family)
    estimator = family.build(seed=settings.seed).set_params(**(candidate.fixed | parameters))
    metadata: dict[str, Any] = {
        "sex": training.table["sex"].to_numpy(),
        "groups": training.table["speaker"].to_numpy(),
    }
    if "weight" in training.table:
        metadata["sample_weight"] = training.table["weight"].to_numpy()
    if validation is not None:
        metadata["validation"] = (validation.inputs, validation.codes)
    is_split = candidate.bandwidth_models and family.per_bandwidth
    if is_split and BANDWIDTH_FEATURE in training.inputs:
        estimator = BandwidthModels(estimator)
    requested = get_routing_for_object(estimator).consumes("fit", metadata)
    with warnings.catch_warnings(), config_context(enable_metadata_routing=True):
        # The number of iterations is a hyperparameter: reaching it is not a failure.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(
            training.inputs, training.codes, **{name: metadata[name] for name in requested}
        )


def probabilities(estimator: BaseEstimator, subset: Subset, labels: Sequence[str]) -> np.ndarray:
    """Predict probabilities, shape ``(n, n_labels)``; 0 for labels that were not in training."""
    aligned = np.zeros((len(subset.codes), len(labels)))
    aligned[:, estimator.classes_] = estimator.predict_proba(subset.inputs)
    return aligned


@dataclass(frozen=True)
class Evaluation:
    """Results of one candidate with chosen hyperparameters under each protocol.

    Attributes:
        predictions: ``utterance_id``, ``corpus``, ``speaker``, ``sex``, ``line`` (name of the test line,
            empty under ``clean``), ``model``, ``protocol``, ``condition``, ``evaluation``, ``fold``,
            ``label``, ``prediction`` and ``p_<label>`` for each label.
        timings: One row a protocol: ``model``, ``protocol``, ``fit_seconds``, ``predict_ms`` an
            utterance, and ``started`` and ``ended`` of the whole evaluation (UTC).
        learning_curves: ``model``, ``protocol``, ``run``, ``epoch`` and the network's losses and
            accuracies; without rows for other models.
        estimator: The estimator trained on all training examples of the selecting protocol.
        left_out: Protocols that were not evaluated, because the time budget was used up.
    """

    predictions: pd.DataFrame
    timings: pd.DataFrame
    learning_curves: pd.DataFrame
    estimator: BaseEstimator
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Round:
    """Results of one training: a fold, or the final one."""

    predictions: list[pd.DataFrame]
    timings: dict[str, Any]
    learning_curve: pd.DataFrame
    estimator: BaseEstimator | None


def evaluate(
    examples: Mapping[str, Examples],
    candidate: CandidateSettings,
    parameters: dict[str, Any],
    settings: SelectionSettings,
) -> Evaluation:
    """Predict each fold with a model of the other folds, and the test set with a model of all folds.

    Recordings are predicted under condition ``clean`` and, if they have features over a test line, under
    ``telephone``.

    The selecting protocol is evaluated first. With ``settings.evaluation_minutes``, another protocol is
    evaluated only if at the pace so far it will end in time.

    Args:
        examples: Examples of each compared protocol.
        candidate: Family and fixed hyperparameters.
        parameters: Chosen hyperparameters, the same for every protocol.
        settings: Selecting protocol, seed, number of processes and time budget.
    """
    started = pd.Timestamp.now("UTC")
    rounds: list[tuple[str, int]] = []
    results: list[_Round] = []
    left_out: list[str] = []
    for planned in _plan_rounds(examples, settings):
        if results and not _in_time(started, len(planned), len(rounds), settings):
            left_out += [protocol for protocol, _ in planned if protocol not in left_out]
            continue
        shared = ({name: examples[name] for name, _ in planned}, candidate, parameters, settings)
        results += fan_out(_train_and_test, planned, shared=shared, n_jobs=settings.n_jobs)
        rounds += planned
    if left_out:
        logger.warning(
            "%s: not evaluated under %s, because selection.evaluation_minutes is %g; raise it, or choose "
            "another budget",
            candidate.family,
            ", ".join(left_out),
            settings.evaluation_minutes,
        )
    timings: dict[str, dict[str, Any]] = {}
    estimators: dict[str, BaseEstimator | None] = {}
    for (protocol, _), result in zip(rounds, results, strict=True):
        # The last round of a protocol is the final one, if there is one.
        timings[protocol] = timings.get(protocol, {}) | result.timings
        estimators[protocol] = result.estimator
    return Evaluation(
        pd.concat([table for result in results for table in result.predictions], ignore_index=True),
        pd.DataFrame(timings.values()).assign(started=started, ended=pd.Timestamp.now("UTC")),
        pd.concat([result.learning_curve for result in results], ignore_index=True),
        estimators[settings.protocol],
        tuple(left_out),
    )


def _plan_rounds(
    examples: Mapping[str, Examples], settings: SelectionSettings
) -> list[list[tuple[str, int]]]:
    """Divide the trainings into groups of which each is done or left out as a whole."""
    order = sorted(examples, key=lambda protocol: protocol != settings.protocol)
    planned = []
    for protocol in order:
        data = examples[protocol]
        final = [FINAL] if _needs_final(data, settings) else []
        planned.append([(protocol, fold) for fold in [*data.folds, *final]])
    if settings.evaluation_minutes is None:  # all at once keeps all cores busy
        return [[one for group in planned for one in group]]
    return planned


def _in_time(started: pd.Timestamp, due: int, done: int, settings: SelectionSettings) -> bool:
    """Whether further trainings will end within the time budget, at the pace of those that are done."""
    assert settings.evaluation_minutes is not None
    minutes = (pd.Timestamp.now("UTC") - started).total_seconds() / 60
    return minutes * (done + due) / done <= settings.evaluation_minutes


def _needs_final(examples: Examples, settings: SelectionSettings) -> bool:
    return examples.has_test or examples.protocol == settings.protocol


def _train_and_test(
    protocol: str,
    fold: int,
    examples: Mapping[str, Examples],
    candidate: CandidateSettings,
    parameters: dict[str, Any],
    settings: SelectionSettings,
) -> _Round:
    """Train once and predict every tested condition."""
    data = examples[protocol]
    names = {"model": candidate.family, "protocol": protocol}
    final = fold == FINAL
    training, tests = data.final() if final else data.fold(fold)
    validation = None if final else tests[CLEAN]
    started = time.perf_counter()
    estimator = fit_estimator(candidate, parameters, training, settings, validation=validation)
    timings = names | {"fit_seconds": time.perf_counter() - started}
    predictions = []
    for condition, tested in tests.items():
        started = time.perf_counter()
        predicted = probabilities(estimator, tested, data.labels)
        if condition == CLEAN:
            timings["predict_ms"] = 1000 * (time.perf_counter() - started) / len(tested.codes)
        row = names | {"condition": condition}
        predictions.append(_prediction_table(row, fold, tested, predicted, data.labels))
    kept = final and protocol == settings.protocol
    return _Round(
        predictions, timings, _curves(names, fold, estimator), estimator if kept else None
    )


def _curves(names: dict[str, str], fold: int, estimator: BaseEstimator) -> pd.DataFrame:
    history = pd.DataFrame(getattr(estimator, "history_", []))
    history = history.assign(
        **names, run="final" if fold == FINAL else f"fold {fold}", epoch=history.index + 1
    )
    return history.reindex(columns=CURVES)


def _prediction_table(
    names: dict[str, str],
    fold: int,
    tested: Subset,
    predicted: np.ndarray,
    labels: Sequence[str],
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **tested.table[["utterance_id", "corpus", "speaker", "sex", "line"]],
            **names,
            "evaluation": TEST if fold == FINAL else CROSS_VALIDATION,
            "fold": fold,
            "label": tested.table["label"],
            "prediction": np.asarray(labels)[predicted.argmax(axis=1)],
        }
        | {f"p_{label}": predicted[:, code] for code, label in enumerate(labels)}
    )
