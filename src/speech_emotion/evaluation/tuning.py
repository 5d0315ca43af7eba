"""Hyperparameter search with Optuna over the folds of a protocol, resumable and with pruning."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
import warnings
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
import pandas as pd
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from speech_emotion.evaluation.cross_validation import fit_estimator, probabilities
from speech_emotion.evaluation.journal import mend_journal
from speech_emotion.evaluation.metrics import confusion, uar
from speech_emotion.evaluation.protocol_data import CLEAN, Examples
from speech_emotion.evaluation.settings import CandidateSettings, SelectionSettings
from speech_emotion.runtime import fan_out, has_ended, hide_secrets, is_here, process_name, workers

__all__ = ["TuningError", "best_parameters", "trial_table", "tune"]

ERROR: Final = "error"
"""User attribute of a trial whose hyperparameters cannot be trained."""
STARTUP_TRIALS: Final = 10
"""Trials whose hyperparameters are drawn at random, before earlier trials guide the search."""
PROCESS: Final = "process"
"""User attribute of a trial: the process that runs it."""
PLACE: Final = "place"
"""User attribute of a trial: its place in the study, which its seed is derived from."""
STARTING_S: Final = 10.0
"""Seconds after which a trial without a process has none."""
WAIT_S: Final = 0.5
PERMANENT: Final = (ValueError, ArithmeticError, np.linalg.LinAlgError)
"""Errors that the same hyperparameters raise again; all others have causes outside of the trial."""

logger = logging.getLogger(__name__)


class TuningError(RuntimeError):
    """No trial of a study completed, or its storage cannot be used."""


class _Superfluous(Exception):
    """Another process began the last trial at the same time; this one does not count."""


def tune(
    examples: Examples,
    candidate: CandidateSettings,
    settings: SelectionSettings,
    *,
    progress: bool = True,
) -> optuna.Study:
    """Search the candidate's space for the highest mean UAR over the folds.

    An interrupted study is resumed: finished trials of earlier runs on the same data, folds and space
    count. A trial that was interrupted, ran out of memory or disk, or lost its worker does not; it is tried
    again with the same hyperparameters, so that the result is that of a study without interruption. Runs
    with one storage share a study, and each starts trials until there are enough; on one machine they wait
    for the last ones of each other. A trial is pruned when its running mean falls below the median of the
    others, and when the minutes are over, unless no trial is complete yet.

    Args:
        examples: Training examples under the selecting protocol.
        candidate: Family, budget and search space.
        settings: Seed, number of processes and storage.
        progress: Show a progress bar.

    Returns:
        The study. Its trials have the user attributes ``parameters`` (JSON) and ``fold_uar``, or
        ``error``.

    Raises:
        TuningError: If every trial failed, with the last error, or if the storage cannot be used.
    """
    try:
        study = _open_study(examples, candidate, settings)
        _optimize(study, examples, candidate, settings, progress=progress)
    except (StorageInternalError, SQLAlchemyError) as error:
        raise TuningError(_lost(settings.storage, error)) from error
    if not any(trial.state == TrialState.COMPLETE for trial in study.trials):
        errors = [trial.user_attrs[ERROR] for trial in study.trials if ERROR in trial.user_attrs]
        last = errors[-1] if errors else "see the log above"
        raise TuningError(
            f"No trial of {candidate.family} completed ({last}): "
            "correct its search space or raise its budget"
        )
    return study


def _optimize(
    study: optuna.Study,
    examples: Examples,
    candidate: CandidateSettings,
    settings: SelectionSettings,
    *,
    progress: bool,
) -> None:
    """Run the trials that are missing."""
    done = len(_finished(study))
    interrupted = sum(trial.state.is_finished() for trial in study.trials) - done
    if done or interrupted:
        logger.info(
            "%s: study %s has %d finished trial(s); %d were interrupted and do not count",
            candidate.family,
            study.study_name,
            done,
            interrupted,
        )
    others = {str(trial.user_attrs.get(PROCESS, "?")) for trial in _running(study)}
    if others:
        logger.warning(
            "%s: study %s is shared with another run (process %s): if it has more than %d trials, the "
            "result depends on which of the two is faster",
            candidate.family,
            study.study_name,
            ", ".join(sorted(others)),
            STARTUP_TRIALS,
        )
    budget = _budget(candidate)
    while (missing := budget - len(_finished(study))) > 0:
        timeout = _time_left(study, candidate)
        if timeout is not None and timeout <= 0:
            return
        if len(_running(study, here=True)) >= missing:
            time.sleep(WAIT_S)
            continue
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        study.optimize(
            lambda trial, deadline=deadline: _objective(  # type: ignore[misc]
                trial, examples, candidate, settings, deadline
            ),
            n_trials=missing,
            timeout=timeout,
            callbacks=[partial(_stop_at, budget)],
            show_progress_bar=progress,
            catch=(*PERMANENT, _Superfluous),
        )


def _budget(candidate: CandidateSettings) -> int:
    """Number of trials; with an empty space, further ones would repeat the first."""
    return candidate.trials if candidate.space else 1


def _running(study: optuna.Study, *, here: bool = False) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that other processes run, or only those on this machine."""
    return [one for one in study.get_trials(deepcopy=False) if _is_alive(one, here=here)]


def _is_alive(trial: optuna.trial.FrozenTrial, *, here: bool) -> bool:
    if trial.state.is_finished():
        return False
    process = trial.user_attrs.get(PROCESS)
    if process is None:  # it has just started, or is of an older version
        started = trial.datetime_start
        return started is not None and (datetime.now() - started).total_seconds() < STARTING_S
    own = process == process_name()
    return not own and not has_ended(process) and (is_here(process) or not here)


def _lost(storage: str, error: Exception) -> str:
    reason = str(error.__cause__ or error).splitlines()[0]
    if "://" not in storage:
        return f"The journal of the studies, {storage}, cannot be used: {reason}"
    return (
        f"The database of the studies, {hide_secrets(storage)}, was lost during the search ({reason}): "
        "finished trials are kept there; start the server and run the command again"
    )


def _counts(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether a trial counts: it is complete, pruned, or failed because of its hyperparameters."""
    return trial.state in {TrialState.COMPLETE, TrialState.PRUNED} or (
        trial.state == TrialState.FAIL and ERROR in trial.user_attrs
    )


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that count."""
    return [trial for trial in study.get_trials(deepcopy=False) if _counts(trial)]


def _stop_at(budget: int, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    trials = study.get_trials(deepcopy=False)
    if sum(_counts(one) or _is_alive(one, here=True) for one in trials) >= budget:
        study.stop()


def _open_study(
    examples: Examples, candidate: CandidateSettings, settings: SelectionSettings
) -> optuna.Study:
    """Create the study of these data and settings, or load it from the storage."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a warning of its own has a traceback
    return optuna.create_study(
        study_name=f"{candidate.family}-{_digest(examples, candidate, settings)}",
        storage=_storage(settings.storage),
        load_if_exists=True,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    )


def _storage(address: str) -> BaseStorage:
    """Open a database (URL) or a journal file (path)."""
    if "://" in address:
        return _database(address)
    journal = Path(address)
    journal.parent.mkdir(parents=True, exist_ok=True)
    mend_journal(journal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return JournalStorage(JournalFileBackend(str(journal)))


def _database(address: str) -> RDBStorage:
    from sqlalchemy import make_url

    url = make_url(address)
    if url.drivername == "postgresql":
        # The default driver depends on the version of SQLAlchemy.
        url = url.set(drivername="postgresql+psycopg")
    open_storage = partial(
        RDBStorage,
        url.render_as_string(hide_password=False),
        # Servers close idle connections during long trainings.
        engine_kwargs={"pool_pre_ping": True},
    )
    try:
        for seconds in (0.5, 1.0, 2.0):
            try:
                return open_storage()
            except DatabaseError:
                # Of runs that create the tables at the same time, only one succeeds.
                time.sleep(seconds)
        return open_storage()
    except ImportError as error:
        raise TuningError(
            f"The driver of {url!r} is not installed: pip install 'speech-emotion[postgresql]', or the "
            "driver of your database"
        ) from error
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise TuningError(
            f"{url!r} cannot be used ({reason}): start the server, create the database, or correct "
            "selection.storage"
        ) from error


def _place(trial: optuna.Trial) -> int:
    """Return the first place in the study that no trial has which counts or is running.

    The hyperparameters of a trial are drawn by its place, so that they are the same however often the
    study was interrupted, and in whichever process the trial runs.
    """
    end = time.monotonic() + STARTING_S
    while True:
        earlier = [
            one
            for one in trial.study.get_trials(deepcopy=False)  # at once: a trial may end in between
            if one.number < trial.number and (_counts(one) or _is_alive(one, here=False))
        ]
        starting = [
            one for one in earlier if not (PLACE in one.user_attrs or one.state.is_finished())
        ]
        if not starting or time.monotonic() > end:
            break
        time.sleep(WAIT_S / 10)
    taken = {one.user_attrs.get(PLACE, one.number) for one in earlier}
    return next(place for place in count() if place not in taken)


def _time_left(study: optuna.Study, candidate: CandidateSettings) -> float | None:
    """Seconds of the time budget that earlier runs left; ``None`` without a budget."""
    if candidate.minutes is None:
        return None
    spent = sum(trial.duration.total_seconds() for trial in _finished(study) if trial.duration)
    return candidate.minutes * 60 - spent


def _objective(
    trial: optuna.Trial,
    examples: Examples,
    candidate: CandidateSettings,
    settings: SelectionSettings,
    deadline: float,
) -> float:
    trial.set_user_attr(PROCESS, process_name())
    place = _place(trial)
    if place >= _budget(candidate):
        raise _Superfluous
    trial.set_user_attr(PLACE, place)
    trial.study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=STARTUP_TRIALS, seed=settings.seed + place
    )
    parameters = {name: search.suggest(trial, name) for name, search in candidate.space.items()}
    trial.set_user_attr("parameters", json.dumps(parameters))
    scores: list[float] = []
    folds, n_workers = examples.folds, workers(settings.n_jobs)
    shared = (examples, candidate, parameters, settings)
    # One fold per worker at a time, so that a pruned trial does not train all folds.
    for start in range(0, len(folds), n_workers):
        calls = [(fold,) for fold in folds[start : start + n_workers]]
        try:
            fold_scores = list(fan_out(_score, calls, shared=shared, n_jobs=settings.n_jobs))
        except PERMANENT as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            trial.set_user_attr(ERROR, reason)
            logger.warning("%s: trial %d failed: %s", candidate.family, trial.number, reason)
            raise
        for score in fold_scores:
            scores.append(score)
            trial.set_user_attr("fold_uar", scores)
            trial.report(float(np.mean(scores)), step=len(scores))
            if trial.should_prune() and len(scores) < len(folds):
                raise optuna.TrialPruned
        is_late = time.monotonic() > deadline and len(scores) < len(folds)
        if is_late and trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            raise optuna.TrialPruned
    return float(np.mean(scores))


def _score(
    fold: int,
    examples: Examples,
    candidate: CandidateSettings,
    parameters: dict[str, Any],
    settings: SelectionSettings,
) -> float:
    """Train on the other folds and compute the UAR of this one."""
    training, tests = examples.fold(fold)
    estimator = fit_estimator(candidate, parameters, training, settings)
    predicted = probabilities(estimator, tests[CLEAN], examples.labels).argmax(axis=1)
    return float(uar(confusion(range(len(examples.labels)), tests[CLEAN].codes, predicted)))


def _digest(examples: Examples, candidate: CandidateSettings, settings: SelectionSettings) -> str:
    """Digest of all that the trials depend on, so that a study is never resumed on other data."""
    parts: Iterable[Any] = (
        examples.digest(),
        candidate.model_dump_json(include={"family", "fixed", "space", "bandwidth_models"}),
        settings.seed,
    )
    return hashlib.sha256(repr(tuple(parts)).encode()).hexdigest()[:12]


def best_parameters(study: optuna.Study) -> dict[str, Any]:
    """Return the hyperparameters of the best completed trial, for ``set_params``."""
    parameters = json.loads(study.best_trial.user_attrs["parameters"])
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in parameters.items()
    }


def trial_table(study: optuna.Study, model: str) -> pd.DataFrame:
    """List the finished trials.

    Returns:
        ``model``, ``trial``, ``state`` (``complete``, ``pruned`` or ``failed``), ``uar`` (mean over the
        tested folds), ``fold_uar`` (JSON), ``seconds`` and ``params`` (JSON).
    """
    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    rows = []
    for trial in _finished(study):
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
