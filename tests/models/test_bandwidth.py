import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from speech_emotion.evaluation import (
    CandidateSettings,
    SelectionSettings,
    fit_estimator,
    make_examples,
)
from speech_emotion.models import (
    BANDWIDTH_FEATURE,
    BandwidthModels,
    SexThenEmotion,
    SpeakerNormalizer,
    load_estimator,
    save_estimator,
    with_normalized_values,
)

WIDE, NARROW = -20.0, -90.0


@pytest.fixture
def sounds():
    """Two labels that one feature tells, with the opposite sign in narrow-band sound."""
    rng = np.random.default_rng(0)
    codes = np.arange(200) % 2
    narrow = np.arange(200) >= 100
    telling = np.where(codes == 1, 1.0, -1.0) * np.where(narrow, -1, 1)
    table = pd.DataFrame({"telling": telling, "noise": rng.normal(size=200)})
    table[BANDWIDTH_FEATURE] = np.where(narrow, NARROW, WIDE)
    return table, codes, narrow


def test_each_band_has_a_model(sounds):
    table, codes, narrow = sounds
    model = BandwidthModels(LogisticRegression()).fit(table, codes)
    assert (model.predict(table) == codes).all()
    assert model.wideband_.coef_[0, 0] > 0 > model.narrowband_.coef_[0, 0]
    assert list(model.wideband_.feature_names_in_) == ["telling", "noise"]
    np.testing.assert_allclose(
        model.predict_proba(table)[narrow],
        LogisticRegression()
        .fit(table.loc[narrow, ["telling", "noise"]], codes[narrow])
        .predict_proba(table.loc[narrow, ["telling", "noise"]]),
    )


@pytest.mark.parametrize("kept", [WIDE, NARROW])
def test_one_band_in_training_is_for_both(sounds, kept):
    table, codes, _ = sounds
    own = table[BANDWIDTH_FEATURE] == kept
    model = BandwidthModels(LogisticRegression()).fit(table[own], codes[own])
    assert model.wideband_ is model.narrowband_
    assert model.predict(table[~own]).mean() == pytest.approx(0.5, abs=0.05)


def test_a_band_without_all_labels_gets_no_model(sounds):
    table, codes, narrow = sounds
    kept = ~narrow | (codes == 0)
    model = BandwidthModels(LogisticRegression()).fit(table[kept], codes[kept])
    assert model.wideband_ is model.narrowband_
    assert list(model.classes_) == [0, 1]


def test_further_facts_go_with_their_rows(sounds):
    table, codes, narrow = sounds
    sex = np.where(np.arange(200) % 4 < 2, "female", "male")
    inner = SexThenEmotion(LogisticRegression())
    model = BandwidthModels(inner).fit(table, codes, sex=sex)
    own = SexThenEmotion(LogisticRegression()).fit(
        table.loc[narrow, ["telling", "noise"]], codes[narrow], sex=sex[narrow]
    )
    np.testing.assert_allclose(
        model.predict_proba(table)[narrow],
        own.predict_proba(table.loc[narrow, ["telling", "noise"]]),
    )


def test_the_band_is_told_after_the_speaker_was_measured(sounds):
    table, _, _ = sounds
    normalizer = SpeakerNormalizer().fit(table, speakers=np.full(len(table), "s"))
    result = with_normalized_values(table, normalizer.transform(table))
    assert result[BANDWIDTH_FEATURE].equals(table[BANDWIDTH_FEATURE])
    assert not result["telling"].equals(table["telling"])
    assert list(result.columns) == list(table.columns)


@pytest.mark.parametrize("bandwidth_models", [True, False])
def test_candidates_have_experts_as_asked(
    index, statistics, utterances, splits, bandwidth_models, tmp_path
):
    narrow = index["variant"] == 1
    table = statistics.assign(**{BANDWIDTH_FEATURE: np.where(narrow, NARROW, WIDE)})
    training, _ = make_examples(
        index,
        table,
        utterances,
        splits,
        labels=["angry", "happy", "sad"],
        protocol="speaker_independent",
    ).fold(0)
    candidate = CandidateSettings(family="shrinkage_lda", bandwidth_models=bandwidth_models)
    settings = SelectionSettings(storage="")
    estimator = fit_estimator(candidate, {"model__shrinkage": 0.3}, training, settings)
    assert isinstance(estimator, BandwidthModels) == bandwidth_models
    save_estimator(estimator, tmp_path)
    np.testing.assert_array_equal(
        load_estimator(tmp_path).predict_proba(training.inputs),
        estimator.predict_proba(training.inputs),
    )
