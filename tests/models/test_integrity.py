"""Model folders that were damaged, or contain what no model of this project has."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from speech_emotion.features import FeatureSettings, feature_names, sequence_shape
from speech_emotion.models import (
    Combiner,
    DamagedModel,
    EmotionPredictor,
    Member,
    NotFinite,
    Threshold,
    family_named,
    load_estimator,
    save_estimator,
)
from speech_emotion.models.integrity import check_trees, write_checksums

LABELS = ("angry", "neutral")
SETTINGS = FeatureSettings()


@pytest.fixture(scope="module")
def rows():
    names = feature_names(SETTINGS.feature_set, n_mfcc=SETTINGS.n_mfcc)
    values = np.random.default_rng(0).normal(size=(40, len(names)))
    return pd.DataFrame(values, columns=names)


@pytest.fixture(scope="module")
def predictor(rows):
    model = make_pipeline(StandardScaler(), LogisticRegression())
    frames = np.zeros((40, *sequence_shape(SETTINGS)), dtype=np.float32)
    inputs = family_named("random_forest").select(rows, frames, None, None)
    model.fit(inputs, np.arange(40) % 2)
    threshold = Threshold(
        target="angry", value=0.5, false_alarms=0.1, recall=0.8, n_utterances=40, n_speakers=4
    )
    members = (Member("random_forest", model),)
    combiner = Combiner.single("random_forest")
    return EmotionPredictor(LABELS, SETTINGS, members, combiner, 1.5, threshold)


@pytest.fixture
def folder(predictor, tmp_path):
    predictor.save(tmp_path / "champion")
    return tmp_path / "champion"


def test_a_whole_folder_is_loaded(folder, predictor):
    loaded = EmotionPredictor.load(folder)
    assert loaded.labels == LABELS
    assert loaded.temperature == 1.5
    assert loaded.threshold == predictor.threshold


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: flip_a_byte(f / "random_forest/estimator.skops"), "SHA-256 differs"),
        (lambda f: (f / "random_forest/estimator.skops").unlink(), r"skops is missing"),
        (lambda f: (f / "random_forest/network.keras").touch(), "does not belong"),
        (lambda f: (f / "checksums.json").write_text("{"), r"checksums\.json cannot be read"),
    ],
)
def test_damaged_files_are_named(folder, damage, message):
    damage(folder)
    with pytest.raises(DamagedModel, match=f"{message}.*copy the folder again"):
        EmotionPredictor.load(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("temperature", float("nan"), "temperature"),
        ("temperature", 0.0, "temperature: .*greater than 0"),
        ("temperature", -2.0, "temperature: .*greater than 0"),
        ("temperature", float("inf"), "temperature"),
        ("labels", ["angry", "angry"], "labels angry, angry repeat one"),
        ("labels", ["angry"], "labels: .*at least 2"),
        ("threshold.value", 1.5, "threshold.value: .*less than or equal to 1"),
        ("threshold.value", float("nan"), "threshold.value"),
        ("threshold.target", "sad", "'sad' is not one of the labels"),
        ("combiner.weights", [float("nan")], "not finite"),
        ("combiner.weights", [0.5, 0.5], r"shape \(2,\), not \(1,\)"),
    ],
)
def test_impossible_values_are_refused_even_with_right_checksums(folder, key, value, message):
    path = folder / "predictor.json"
    card = json.loads(path.read_text())
    *above, last = key.split(".")
    inner = card
    for name in above:
        inner = inner[name]
    inner[last] = value
    path.write_text(json.dumps(card))
    write_checksums(folder)
    with pytest.raises(DamagedModel, match=rf"predictor\.json is not valid .*{message}"):
        EmotionPredictor.load(folder)


def test_a_folder_of_an_older_version_without_checksums_is_loaded(folder):
    for path in folder.rglob("checksums.json"):
        path.unlink()
    assert EmotionPredictor.load(folder).labels == LABELS


@pytest.fixture(scope="module")
def forest():
    generator = np.random.default_rng(1)
    samples = generator.normal(size=(60, 5))
    return RandomForestClassifier(3, random_state=0).fit(samples, samples[:, 0] > 0)


def test_a_whole_forest_is_loaded(forest, tmp_path):
    save_estimator(make_pipeline(StandardScaler(), forest), tmp_path)
    loaded = load_estimator(tmp_path)
    probe = np.ones((2, 5))
    np.testing.assert_array_equal(loaded[-1].predict_proba(probe), forest.predict_proba(probe))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("left_child", 1_000_000, "nodes that do not exist"),
        ("right_child", 0, "nodes that do not exist"),
        ("left_child", -1, "one child"),
        ("feature", 77, "features that do not exist"),
    ],
)
def test_a_tree_that_leads_nowhere_is_refused(forest, tmp_path, field, value, message):
    tree = forest.estimators_[1].tree_
    state = tree.__getstate__()
    nodes = state["nodes"].copy()
    nodes[field][0] = value
    damaged = type(tree)(tree.n_features, np.array([2], dtype=np.intp), tree.n_outputs)
    damaged.__setstate__(state | {"nodes": nodes})
    forest = RandomForestClassifier(3, random_state=0).fit(np.eye(5), [0, 1, 0, 1, 0])
    forest.estimators_[2].tree_ = damaged
    with pytest.raises(DamagedModel, match=message):
        check_trees(make_pipeline(StandardScaler(), forest), tmp_path)


def test_a_score_that_is_not_finite_is_an_error(predictor, rows):
    frames = np.zeros((3, *sequence_shape(SETTINGS)), dtype=np.float32)
    broken = replace(predictor, temperature=float("nan"))
    with pytest.raises(NotFinite, match="no finite probabilities for 3 of 3 sounds"):
        broken.predict_proba(rows.head(3), frames)
    assert np.isfinite(predictor.predict_proba(rows.head(3), frames)).all()


def test_files_whose_scores_are_not_finite_have_an_error_and_no_emotion(
    predictor, write_sound, tone
):
    wav = write_sound("a.wav", tone(440))
    broken = replace(predictor, temperature=float("nan"))
    table = broken.predict_files([str(wav), str(wav)])
    assert table["emotion"].isna().all()
    assert table["error"].str.contains("no finite probabilities").all()
