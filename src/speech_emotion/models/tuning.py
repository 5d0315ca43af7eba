"""Hyperparameter search with Optuna on the folds of a protocol, resumable and with pruning."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sklearn.metrics import recall_score

from speech_emotion.models.evaluation import CLEAN, Examples, fit_estimator, probabilities
from speech_emotion.models.settings import CandidateSettings, SelectionSettings

__all__ = ["TuningError", "best_parameters", "trial_table", "tune"]

logger = logging.getLogger(__name__)


class TuningError(RuntimeError):
    """No trial of a study could be completed."""


def tune(
    examples: Examples,
    candidate: CandidateSettings,
    settings: SelectionSettings,
    *,
    progress: bool = True,
) -> optuna.Study:
    """Search the candidate's space for the highest mean UAR over the folds.

    Trials of an earlier run on the same data, folds and space count; an interrupted study goes on
    where it stopped. A trial is pruned when its running mean falls below the median of the others.

    Args:
        examples: Training examples under the selecting protocol.
        candidate: Family, budget and search space.
        settings: Seed, threads and journal file.
        progress: Show a progress bar.

    Returns:
        The study, with ``fold_uar`` and ``seconds`` among the trials' facts.

    Raises:
        TuningError: If every trial failed, with the last error.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = Path(settings.storage)
    journal.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = JournalStorage(JournalFileBackend(str(journal)))
    name = f"{candidate.family}-{_digest(examples, candidate, settings)}"
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        load_if_exists=True,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    )
    done = sum(trial.state.is_finished() for trial in study.trials)
    # A resumed sampler with the first seed would draw the first trials again.
    study.sampler = optuna.samplers.TPESampler(seed=settings.seed + done)
    if done:
        logger.info("%s: %d trial(s) of study %s found", candidate.family, done, name)
    # Without anything to search, further trials would repeat the first.
    remaining = (candidate.trials if candidate.space else 1) - done
    timeout = _time_left(study, candidate)
    if remaining > 0 and (timeout is None or timeout > 0):
        study.optimize(
            lambda trial: _objective(trial, examples, candidate, settings),
            n_trials=remaining,
            timeout=timeout,
            show_progress_bar=progress,
            catch=(ValueError, ArithmeticError, np.linalg.LinAlgError),
        )
    if not any(trial.state == TrialState.COMPLETE for trial in study.trials):
        error = study.trials[-1].user_attrs.get("error", "see the log above")
        raise TuningError(
            f"No trial of {candidate.family} was completed ({error}): "
            "mend its search space or raise its budget"
        )
    return study


def _time_left(study: optuna.Study, candidate: CandidateSettings) -> float | None:
    """Seconds of the budget that earlier runs left: a study that ran out stays as it is."""
    if candidate.minutes is None:
        return None
    spent = sum(trial.duration.total_seconds() for trial in study.trials if trial.duration)
    return candidate.minutes * 60 - spent


def _objective(
    trial: optuna.Trial,
    examples: Examples,
    candidate: CandidateSettings,
    settings: SelectionSettings,
) -> float:
    parameters = {name: search.suggest(trial, name) for name, search in candidate.space.items()}
    trial.set_user_attr("parameters", json.dumps(parameters))
    scores: list[float] = []
    for fold in examples.folds:
        training, tests = examples.fold(fold)
        validation = tests[CLEAN]
        try:
            estimator = fit_estimator(candidate, parameters, training, settings)
        except ValueError as error:
            trial.set_user_attr("error", str(error).splitlines()[0])
            raise
        predicted = probabilities(estimator, validation, examples.labels).argmax(axis=1)
        scores.append(float(recall_score(validation.codes, predicted, average="macro")))
        trial.set_user_attr("fold_uar", scores)
        trial.report(float(np.mean(scores)), step=len(scores))
        if trial.should_prune() and len(scores) < len(examples.folds):
            raise optuna.TrialPruned
    return float(np.mean(scores))


def _digest(examples: Examples, candidate: CandidateSettings, settings: SelectionSettings) -> str:
    """Name what the trials depend on, so that a study is never resumed on other data."""
    parts: Iterable[Any] = (
        examples.digest(),
        candidate.model_dump_json(include={"family", "fixed", "space"}),
        settings.seed,
    )
    return hashlib.sha256(repr(tuple(parts)).encode()).hexdigest()[:12]


def best_parameters(study: optuna.Study) -> dict[str, Any]:
    """Return the hyperparameters of the best completed trial, as the estimator takes them."""
    parameters = json.loads(study.best_trial.user_attrs["parameters"])
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in parameters.items()
    }


def trial_table(study: optuna.Study, model: str) -> pd.DataFrame:
    """List the finished trials: model, trial, state, UAR, fold UARs, seconds, parameters (JSON)."""
    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    rows = []
    for trial in study.trials:
        folds = trial.user_attrs.get("fold_uar", [])
        rows.append(
            {
                "model": model,
                "trial": trial.number,
                "state": states.get(trial.state, "failed"),
                "uar": float(np.mean(folds)) if folds else math.nan,
                "fold_uar": json.dumps([round(score, 6) for score in folds]),
                "seconds": trial.duration.total_seconds() if trial.duration else math.nan,
                "params": trial.user_attrs.get("parameters", "{}"),
            }
        )
    return pd.DataFrame(rows)
