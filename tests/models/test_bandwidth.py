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
def recordings():
    """Two labels that one feature separates, with opposite signs in narrowband and wideband audio."""
    rng = np.random.default_rng(0)
    codes = np.arange(200) % 2
    narrow = np.arange(200) >= 100
    level = np.where(codes == 1, 1.0, -1.0) * np.where(narrow, -1, 1)
    table = pd.DataFrame({"level": level, "noise": rng.normal(size=200)})
    table[BANDWIDTH_FEATURE] = np.where(narrow, NARROW, WIDE)
    return table, codes, narrow


def test_each_bandwidth_has_a_model(recordings):
    table, codes, narrow = recordings
    model = BandwidthModels(LogisticRegression()).fit(table, codes)
    assert (model.predict(table) == codes).all()
    assert model.wideband_.coef_[0, 0] > 0 > model.narrowband_.coef_[0, 0]
    assert list(model.wideband_.feature_names_in_) == ["level", "noise"]
    np.testing.assert_allclose(
        model.predict_proba(table)[narrow],
        LogisticRegression()
        .fit(table.loc[narrow, ["level", "noise"]], codes[narrow])
        .predict_proba(table.loc[narrow, ["level", "noise"]]),
    )


@pytest.mark.parametrize("kept", [WIDE, NARROW])
def test_one_model_serves_both_if_training_has_one_bandwidth(recordings, kept):
    table, codes, _ = recordings
    rows = table[BANDWIDTH_FEATURE] == kept
    model = BandwidthModels(LogisticRegression()).fit(table[rows], codes[rows])
    assert model.wideband_ is model.narrowband_
    assert model.predict(table[~rows]).mean() == pytest.approx(0.5, abs=0.05)


def test_one_model_serves_both_if_a_bandwidth_lacks_a_label(recordings):
    table, codes, narrow = recordings
    kept = ~narrow | (codes == 0)
    model = BandwidthModels(LogisticRegression()).fit(table[kept], codes[kept])
    assert model.wideband_ is model.narrowband_
    assert list(model.classes_) == [0, 1]


def test_metadata_is_routed_with_its_rows(recordings):
    table, codes, narrow = recordings
    sex = np.where(np.arange(200) % 4 < 2, "female", "male")
    inner = SexThenEmotion(LogisticRegression())
    model = BandwidthModels(inner).fit(table, codes, sex=sex)
    narrowband = SexThenEmotion(LogisticRegression()).fit(
        table.loc[narrow, ["level", "noise"]], codes[narrow], sex=sex[narrow]
    )
    np.testing.assert_allclose(
        model.predict_proba(table)[narrow],
        narrowband.predict_proba(table.loc[narrow, ["level", "noise"]]),
    )


def test_metadata_that_nobody_requests_is_refused(recordings):
    table, codes, _ = recordings
    with pytest.raises(TypeError, match="sex"):
        BandwidthModels(LogisticRegression()).fit(table, codes, sex=codes)


def test_the_bandwidth_column_is_not_normalized(recordings):
    table, _, _ = recordings
    normalizer = SpeakerNormalizer().fit(table, speakers=np.full(len(table), "s"))
    result = with_normalized_values(table, normalizer.transform(table))
    assert result[BANDWIDTH_FEATURE].equals(table[BANDWIDTH_FEATURE])
    assert not result["level"].equals(table["level"])
    assert list(result.columns) == list(table.columns)


@pytest.mark.parametrize("bandwidth_models", [True, False])
def test_candidates_have_bandwidth_models_if_configured(
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
