import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from speech_emotion.corpora import TEST
from speech_emotion.evaluation import (
    CLEAN,
    CROSS_VALIDATION,
    DetectionSettings,
    calibrate,
    calibration_error,
    choose_threshold,
    detection_table,
    paired_table,
)
from speech_emotion.evaluation.detection import auc_interval, detection_metrics
from speech_emotion.models import with_temperature

SETTINGS = DetectionSettings(false_alarms=0.1, window_false_alarms=0.1, prevalence=0.1)
KEYS = {
    "model": "m",
    "protocol": "speaker_independent",
    "condition": CLEAN,
    "evaluation": CROSS_VALIDATION,
}


def test_perfect_and_uninformative_scores():
    truth = np.repeat([True, False], [10, 90])
    perfect = detection_metrics(truth, truth.astype(float), SETTINGS)
    assert perfect["auc"] == perfect["recall"] == perfect["average_precision"] == 1
    assert perfect["precision"] == 1
    uninformative = detection_metrics(truth, np.full(100, 0.5), SETTINGS)
    assert uninformative["auc"] == 0.5
    assert uninformative["recall"] == 0
    assert all(map(np.isnan, detection_metrics(truth[:5], np.zeros(5), SETTINGS).values()))


def test_threshold_keeps_the_allowed_false_alarms():
    generator = np.random.default_rng(0)
    labels = np.repeat(["angry", "neutral"], [50, 200])
    scores = generator.uniform(size=250) * np.where(labels == "angry", 1.0, 0.7)
    table = pd.DataFrame(
        {"label": labels, "p_angry": scores, "speaker": [f"s{i % 5}" for i in range(250)]}
    )
    threshold = choose_threshold(table, SETTINGS)
    assert (scores[50:] >= threshold.value).mean() == pytest.approx(0.1)
    assert threshold.recall == (scores[:50] >= threshold.value).mean()
    assert (threshold.n_utterances, threshold.n_speakers) == (250, 5)
    assert choose_threshold(table[table["label"] == "neutral"], SETTINGS) is None
    assert choose_threshold(table.drop(columns="p_angry"), SETTINGS) is None


def test_precision_is_computed_for_the_assumed_prevalence():
    # 8 of 10 targets and 9 of 90 others are flagged; the prevalence in use is 10 %.
    scores = np.concatenate([np.ones(8), np.zeros(2), np.ones(9), np.zeros(81)])
    truth = np.repeat([True, False], [10, 90])
    metrics = detection_metrics(truth, scores, SETTINGS)
    assert metrics["recall"] == pytest.approx(0.8)
    assert metrics["precision"] == pytest.approx(0.08 / (0.08 + 0.09))


def test_interval_of_the_auc_agrees_with_resampled_speakers():
    generator = np.random.default_rng(1)
    speakers = np.repeat([f"s{number}" for number in range(12)], 20)
    truth = generator.random(240) < 0.3
    scores = np.round(truth * 0.5 + generator.normal(size=240), 1)  # with ties
    low, high = auc_interval(truth, scores, speakers, resamples=2000, seed=0)
    areas = []
    for _ in range(400):
        drawn = generator.integers(12, size=12)
        rows = np.concatenate([np.flatnonzero(speakers == f"s{number}") for number in drawn])
        areas.append(roc_auc_score(truth[rows], scores[rows]))
    np.testing.assert_allclose([low, high], np.percentile(areas, [2.5, 97.5]), atol=0.02)
    assert all(np.isnan(auc_interval(truth[:20], scores[:20], speakers[:20], resamples=10, seed=0)))


def test_resamples_without_the_target_are_left_out_without_a_warning():
    # Two speakers and the target at one of them: many resamples have no pair to compare.
    table = pd.DataFrame(KEYS | {"corpus": "x", "speaker": np.repeat(["a", "b"], 4)})
    table["label"] = ["angry", "angry", "sad", "sad", "sad", "sad", "sad", "sad"]
    table["p_angry"] = np.linspace(0.9, 0.2, 8)
    without_target = table.assign(corpus="y", label="sad")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = detection_table(pd.concat([table, without_target]), SETTINGS, resamples=200)
    rows = rows.set_index("corpus")
    assert rows.loc["x", ["auc", "auc_low", "auc_high"]].tolist() == [1, 1, 1]
    assert rows.loc["y", ["auc", "auc_low", "auc_high", "recall"]].isna().all()


def test_table_has_a_row_for_each_corpus_and_for_all():
    table = pd.DataFrame(
        KEYS | {"corpus": np.repeat(["x", "y"], 20), "speaker": np.tile(["a", "b"], 20)}
    )
    table["label"] = np.tile(["angry", "angry", "sad", "sad"], 10)
    table["p_angry"] = np.where(table["label"] == "angry", 0.9, 0.1)
    rows = detection_table(table, SETTINGS).set_index("corpus")
    assert set(rows.index) == {"x", "y", "all"}
    assert (rows["auc"] == 1).all()
    assert rows.loc["all", "n_utterances"] == 40
    assert detection_table(table, DetectionSettings(target="bored")).empty


def overconfident(count=600):
    """Predictions with 70 % accuracy and 95 % confidence."""
    generator = np.random.default_rng(0)
    label = generator.choice(["angry", "sad"], count)
    is_correct = generator.random(count) < 0.7
    angry = np.where((label == "angry") == is_correct, 0.95, 0.05)
    return pd.DataFrame(
        KEYS
        | {
            "utterance_id": [f"u{number}" for number in range(count)],
            "fold": np.arange(count) % 3,
            "evaluation": np.where(np.arange(count) < 450, CROSS_VALIDATION, TEST),
            "label": label,
            "prediction": np.where(angry > 0.5, "angry", "sad"),
            "p_angry": angry,
            "p_sad": 1 - angry,
        }
    )


def test_calibration_removes_overconfidence():
    table = overconfident()
    table.loc[table["evaluation"] == TEST, "fold"] = -1
    calibrated, errors = calibrate(table)
    assert (errors["ece_raw"] > 0.2).all()
    assert (errors["ece"] < 0.08).all()
    assert (errors["temperature"] > 2).all()
    columns = ["p_angry", "p_sad"]
    np.testing.assert_allclose(calibrated[columns].sum(axis=1), 1)
    assert (calibrated[columns].idxmax(axis=1).str[2:] == table["prediction"]).all()


def test_temperature_keeps_the_order_and_one_is_the_identity():
    values = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(with_temperature(values, 1.0), values, atol=1e-6)
    assert with_temperature(values, 3.0).max() < values.max()
    assert (with_temperature(values, 3.0).argmax(axis=1) == values.argmax(axis=1)).all()


def test_calibration_error_of_known_gaps():
    confidence = np.array([0.95] * 10 + [0.55] * 10)
    correct = np.array([True] * 10 + [True] * 5 + [False] * 5)
    assert calibration_error(confidence, correct) == pytest.approx(0.05)


def test_pairs_are_compared_on_the_same_speakers():
    speakers = np.repeat([f"s{number}" for number in range(10)], 8)
    label = np.tile(["angry", "sad"], 40)
    table = pd.DataFrame({"utterance_id": np.arange(80), "speaker": speakers, "label": label})
    good = table.assign(model="good", prediction=label)
    # One error for each speaker, so the difference is the same in every resample.
    wrong = np.where(np.arange(80) % 8 == 0, "sad", label)
    worse = table.assign(model="worse", prediction=wrong)
    rows = paired_table(pd.concat([good, worse]), ["angry", "sad"], reference="good")
    row = rows.iloc[0]
    assert row["difference"] == pytest.approx(-0.125)
    assert row["difference_low"] == pytest.approx(-0.125)
    assert row["better"] == 0
    assert row["n_speakers"] == 10
