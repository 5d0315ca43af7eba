"""Journals of studies after a process was killed, and trials that do not count."""

import logging

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from speech_emotion.evaluation import (
    CandidateSettings,
    SelectionSettings,
    make_examples,
    trial_table,
    tune,
    tuning,
)
from speech_emotion.evaluation.journal import mend_journal

LABELS = ["angry", "happy", "sad"]
C_RANGE = {"model__C": {"type": "float", "low": 1e-3, "high": 10, "log": True}}

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def study_of(path):
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.create_study(storage=storage, study_name="s", load_if_exists=True)


def values(path):
    return [trial.value for trial in study_of(path).trials if trial.state == TrialState.COMPLETE]


@pytest.fixture
def journal(tmp_path):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = tmp_path / "studies.journal"
    study_of(path).optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return path


def test_a_whole_journal_is_left_alone(journal):
    before = journal.read_bytes()
    mend_journal(journal)
    mend_journal(journal.with_name("missing"))
    assert journal.read_bytes() == before
    assert [path.name for path in journal.parent.iterdir()] == [journal.name]


@pytest.mark.parametrize("torn", [b'{"op_code":5,"worker_id":"a', b'{"op_code"', b"\x00" * 40])
def test_a_torn_last_line_loses_nothing_else(journal, caplog, torn):
    before = values(journal)
    with journal.open("ab") as file:
        file.write(torn)
    mend_journal(journal)
    assert values(journal) == before
    assert "entries are whole and kept, 1 are lost" in caplog.text
    assert journal.with_name("studies.journal.damaged").read_bytes().endswith(torn)
    study_of(journal).optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert len(values(journal)) == 4


def test_what_was_appended_to_a_torn_line_is_kept(journal):
    with journal.open("ab") as file:
        file.write(b'{"op_code":5,"worker_id":"a')
    # Another process goes on, as it has read the journal before.
    backend = JournalFileBackend(str(journal))
    name = {"op_code": 0, "worker_id": "b", "directions": [1]}
    added = [name | {"study_name": "later"}, name | {"study_name": "last"}]
    for entry in added:
        backend.append_logs([entry])
    with pytest.raises(ValueError, match=r"Expecting|delimiter|Invalid"):
        list(JournalFileBackend(str(journal)).read_logs(0))
    mend_journal(journal)
    assert list(JournalFileBackend(str(journal)).read_logs(0))[-2:] == added
    assert len(values(journal)) == 3


def test_damage_in_the_middle_keeps_what_is_before(journal, caplog):
    lines = journal.read_bytes().splitlines(keepends=True)
    kept = len(lines) - 4
    lines[kept] = b"#" * 20 + b"\n"
    journal.write_bytes(b"".join(lines))
    mend_journal(journal)
    assert journal.read_bytes() == b"".join(lines[:kept])
    assert f"{kept} entries are whole and kept, 4 are lost" in caplog.text
    assert study_of(journal).study_name == "s"


@pytest.fixture
def examples(index, statistics, utterances, splits):
    return make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), OSError(28, "disk full")])
def test_interrupted_trials_do_not_count(examples, tmp_path, monkeypatch, caplog, error):
    settings = SelectionSettings(storage=str(tmp_path / "studies.journal"), n_jobs=1)
    candidate = CandidateSettings(family="logistic_regression", trials=2, space=C_RANGE)
    calls, tried = [], []

    def score(fold, _, __, parameters, *___):
        calls.append(fold)
        tried.append(parameters)
        if len(calls) == 1:
            raise error
        return 0.5

    monkeypatch.setattr(tuning, "_score", score)
    with pytest.raises(type(error)):
        tune(examples, candidate, settings, progress=False)
    with caplog.at_level(logging.INFO):
        study = tune(examples, candidate, settings, progress=False)
    assert "0 finished trial(s); 1 were interrupted and do not count" in caplog.text
    assert trial_table(study, "m")["state"].tolist() == ["complete", "complete"]
    assert tried[0] == tried[1]  # the interrupted trial is tried again
    again = tune(examples, candidate, settings, progress=False)
    assert len(again.trials) == 3  # one of them interrupted


def test_hyperparameters_that_cannot_be_trained_count(examples, tmp_path, monkeypatch):
    settings = SelectionSettings(storage=str(tmp_path / "studies.journal"), n_jobs=1)
    candidate = CandidateSettings(family="logistic_regression", trials=2, space=C_RANGE)
    errors = iter([np.linalg.LinAlgError("singular"), ValueError("bad\nvalue")])

    def score(*_):
        raise next(errors)

    monkeypatch.setattr(tuning, "_score", score)
    for _ in range(2):  # the second run has nothing left to try
        with pytest.raises(tuning.TuningError, match=r"completed \(bad\): correct its search"):
            tune(examples, candidate, settings, progress=False)
