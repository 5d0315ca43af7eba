import pandas as pd
import pytest

from speech_emotion.features import FeatureSettings
from speech_emotion.models import (
    NOT_GIVEN,
    RECORDING_SEEN,
    SPEAKER_SEEN,
    UNSEEN,
    Combiner,
    EmotionPredictor,
    Member,
    TrainingKeys,
    family_named,
)


@pytest.fixture
def training():
    return pd.DataFrame(
        {"speaker": ["c_anna", "c_anna", "c_ben"], "content_hash": ["a1", "a2", "b1"]}
    )


def test_speakers_and_recordings_of_training_are_recognized(training):
    tested = pd.DataFrame(
        {
            "speaker": ["c_anna", "c_ben", "c_carla", "other_anna"],
            "content_hash": ["a9", "b1", "c1", "d1"],
        },
        index=[7, 3, 5, 1],
    )
    found = TrainingKeys.from_utterances(training).compare(tested)
    assert found.to_dict() == {7: SPEAKER_SEEN, 3: RECORDING_SEEN, 5: UNSEEN, 1: UNSEEN}


def test_a_renamed_speaker_is_recognized_by_one_recording(training):
    tested = pd.DataFrame({"speaker": ["mine_1", "mine_1"], "content_hash": ["a1", "new"]})
    found = TrainingKeys.from_utterances(training).compare(tested)
    assert found.tolist() == [RECORDING_SEEN, SPEAKER_SEEN]


def test_without_speakers_only_recordings_are_recognized(training):
    tested = pd.DataFrame({"speaker": ["mine_unknown"] * 2, "content_hash": ["a9", "b9"]})
    given = pd.Series([False, True])
    keys = TrainingKeys.from_utterances(training)
    assert keys.compare(tested, given).tolist() == [NOT_GIVEN, UNSEEN]


def test_keys_contain_no_names_and_differ_between_data(training, tmp_path):
    keys = TrainingKeys.from_utterances(training)
    keys.save(tmp_path)
    text = next(tmp_path.iterdir()).read_text()
    assert not any(name in text for name in ("anna", "ben", '"a1"', '"b1"'))
    assert TrainingKeys.load(tmp_path) == keys == TrainingKeys.from_utterances(training[::-1])
    others = TrainingKeys.from_utterances(training.assign(content_hash=["x", "y", "z"]))
    assert not keys.speakers & others.speakers


def test_a_saved_predictor_has_its_keys_and_an_old_one_has_none(
    training, statistics, codes, tmp_path
):
    family = "logistic_regression"
    estimator = family_named(family).build(seed=0).set_params(preprocess__mfcc__pca="passthrough")
    estimator.fit(statistics.iloc[:180], codes)
    labels = ("angry", "happy", "sad")
    parts = (labels, FeatureSettings(), (Member(family, estimator),), Combiner.single(family))
    keys = TrainingKeys.from_utterances(training)
    for name, expected in {"new": keys, "old": None}.items():
        EmotionPredictor(*parts, training_keys=expected).save(tmp_path / name)
        assert EmotionPredictor.load(tmp_path / name).training_keys == expected
