"""Studies that several runs share through a PostgreSQL server, which the tests start."""

import itertools
import os
import time

import pytest
from joblib import Parallel, delayed

from speech_emotion.evaluation import (
    CandidateSettings,
    PasswordGiven,
    SelectionSettings,
    TuningError,
    make_examples,
    tune,
)

LABELS = ["angry", "happy", "sad"]
C_RANGE = {"model__C": {"type": "float", "low": 1e-3, "high": 10, "log": True}}


def test_processes_that_start_together_share_a_study(
    server, index, statistics, utterances, splits, tmp_path
):
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    candidate = CandidateSettings(family="logistic_regression", trials=12, space=C_RANGE)
    settings = SelectionSettings(storage=server.url, n_jobs=1)
    password = server.password  # the server itself cannot be sent to processes

    def work(name):
        os.environ["PGPASSWORD"] = password
        (tmp_path / name).touch()
        while len(list(tmp_path.glob("ready *"))) < 2:
            time.sleep(0.01)
        study = tune(examples, candidate, settings, progress=False)
        return [
            (trial.params["model__C"], trial.datetime_start, trial.datetime_complete)
            for trial in study.trials
            # One beyond the budget ends without hyperparameters.
            if trial.datetime_complete and trial.params
        ]

    both = Parallel(n_jobs=2)(delayed(work)(f"ready {number}") for number in range(2))
    trials = max(both, key=len)
    assert len(trials) == 12
    assert {value for value, *_ in both[0]} | {value for value, *_ in both[1]} == {
        value for value, *_ in trials
    }
    assert len({value for value, *_ in trials}) == len(trials)
    spans = sorted((start, done) for _, start, done in trials)
    assert any(later < done for (_, done), (later, _) in itertools.pairwise(spans))


def test_wrong_password_is_an_error_that_does_not_contain_it(
    server, index, statistics, utterances, splits, monkeypatch
):
    monkeypatch.setenv("PGPASSWORD", "guessed")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    candidate = CandidateSettings(family="logistic_regression", trials=1)
    with pytest.raises(TuningError, match="password authentication failed") as caught:
        tune(examples, candidate, SelectionSettings(storage=server.url, n_jobs=1))
    assert "guessed" not in str(caught.value)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("postgresql://optuna@127.0.0.1:1/studies", "cannot be used .*start the server"),
        ("mysql+nodriver://optuna@127.0.0.1/studies", "cannot be used .*nodriver"),
        (
            "oracle://optuna@127.0.0.1/studies",
            r"not installed: pip install 'speech-emotion\[postgr",
        ),
    ],
)
def test_unusable_storages_are_an_error(
    storage, message, index, statistics, utterances, splits, monkeypatch
):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    candidate = CandidateSettings(family="logistic_regression", trials=1)
    with pytest.raises(TuningError, match=message):
        tune(examples, candidate, SelectionSettings(storage=storage, n_jobs=1))


@pytest.mark.parametrize(
    "storage", ["postgresql://optuna:secret@host/studies", "postgresql://host/s?password=secret"]
)
def test_password_in_the_url_is_refused_and_not_shown(storage):
    with pytest.raises(PasswordGiven, match=r"PGPASSWORD|\.pgpass") as caught:
        SelectionSettings(storage=storage)
    assert "secret" not in str(caught.value)
