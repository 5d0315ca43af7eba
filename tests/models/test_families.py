from typing import ClassVar

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from speech_emotion.evaluation import (
    CandidateSettings,
    SelectionSettings,
    fit_estimator,
    make_examples,
)
from speech_emotion.models import FAMILIES, Family, UnknownFamily, family_named

LABELS = ("angry", "happy", "sad")


class MetadataRecorder(DummyClassifier):
    """Classifier that records the metadata that ``fit`` gets."""

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sex": True, "groups": True}

    def fit(self, X, y, *, sex=None, groups=None):
        self.metadata_ = {"sex": sex, "groups": groups}
        return super().fit(X, y)


@pytest.fixture
def training(index, statistics, utterances, splits):
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    return examples.fold(0)[0]


@pytest.mark.parametrize("steps", [[], [("scale", StandardScaler())]])
def test_a_new_family_needs_one_entry_and_gets_the_metadata_it_requests(
    monkeypatch, training, steps
):
    new = Family(
        "new",
        "New",
        "statistics",
        lambda *, seed: Pipeline([*steps, ("model", MetadataRecorder())]),
    )
    monkeypatch.setitem(FAMILIES, "new", new)
    candidate = CandidateSettings(family="new", fixed={"model__strategy": "prior"})
    estimator = fit_estimator(candidate, {}, training, SelectionSettings(storage=""))
    recorded = estimator["model"].metadata_
    np.testing.assert_array_equal(recorded["sex"], training.table["sex"])
    np.testing.assert_array_equal(recorded["groups"], training.table["speaker"])


def test_estimators_that_request_no_metadata_get_none(monkeypatch, training):
    new = Family("new", "New", "statistics", lambda *, seed: LogisticRegression(random_state=seed))
    monkeypatch.setitem(FAMILIES, "new", new)
    settings = SelectionSettings(storage="")
    estimator = fit_estimator(CandidateSettings(family="new"), {}, training, settings)
    assert estimator.n_features_in_ == training.inputs.shape[1]


def test_errors_for_unknown_families_list_the_known_ones():
    with pytest.raises(UnknownFamily, match="'svn', expected one of: logistic_regression"):
        family_named("svn")


def test_inputs_of_families(statistics, sequences):
    table = statistics.assign(kernel_voice_1_000_peak=1.0, treble_ratio_mean=-20.0)
    kernels = family_named("rocket_lda").select(table, sequences)
    assert list(kernels) == ["kernel_voice_1_000_peak", "treble_ratio_mean"]
    assert list(family_named("svm").select(table, sequences)) == [*statistics, "treble_ratio_mean"]
    assert family_named("conv1d").select(table, sequences) is sequences
    with pytest.raises(ValueError, match="needs kernels, which the feature set does not have"):
        family_named("rocket_lda").select(statistics, sequences)
