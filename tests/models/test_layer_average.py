import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from speech_emotion.features import embedding_names
from speech_emotion.models import (
    LayerAverage,
    ShrinkageLDA,
    family_named,
    load_estimator,
    save_estimator,
)

WIDTH = 6


@pytest.fixture
def data():
    """Embeddings of three layers; layer 2 alone separates the labels well."""
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 40)
    table = pd.DataFrame(
        generator.normal(size=(120, 3 * 3 * WIDTH)), columns=embedding_names("e", (1, 2, 3), WIDTH)
    )
    for label in range(3):
        table.loc[y == label, f"e_layer2_mean_{label}"] += 5
    return table, y


def test_probabilities_are_the_mean_of_the_layers_log_probabilities(data):
    X, y = data
    model = LayerAverage(ShrinkageLDA(0.1)).fit(X, y)
    logs = []
    for layer in (1, 2, 3):
        columns = X.columns[X.columns.str.startswith(f"e_layer{layer}_")]
        values = StandardScaler().fit_transform(X[columns])
        probabilities = ShrinkageLDA(0.1).fit(values, y).predict_proba(values)
        logs.append(np.log(np.maximum(probabilities, 1e-9)))  # no layer decides alone
    expected = np.exp(np.mean(logs, axis=0))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-6)


def test_layers_and_statistics_can_be_chosen(data):
    X, y = data
    model = LayerAverage(layers=(2,), statistics=("mean",)).fit(X, y)
    assert [X.columns[columns].tolist() for columns in model.columns_] == [
        [f"e_layer2_mean_{number}" for number in range(WIDTH)]
    ]
    assert (model.predict(X) == y).mean() > 0.9
    changed = X.assign(**{name: 100.0 for name in X if "layer1" in name or "std" in name})
    np.testing.assert_array_equal(model.predict(changed), model.predict(X))
    with pytest.raises(ValueError, match="no layers \\(9,\\)"):
        LayerAverage(layers=(9,)).fit(X, y)


def test_other_columns_beside_embeddings_are_an_error(data):
    x, y = data
    with pytest.raises(ValueError, match="bandwidth is no embedding"):
        LayerAverage(ShrinkageLDA()).fit(x.assign(bandwidth=0.0), y)


def test_class_means_are_those_of_the_training_data(data):
    X, y = data
    model = LayerAverage().fit(X, y)
    np.testing.assert_allclose(model.class_means_[1], X[y == 1].mean(), rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["encoder_lda", "encoder_logistic_regression", "encoder_svm", "encoder_mlp"]
)
def test_families_on_embeddings_learn_and_survive_saving(data, tmp_path, name):
    X, y = data
    model = family_named(name).build(seed=0).fit(X, y)
    assert (model.predict(X) == y).mean() > 0.7  # chance is a third
    save_estimator(model, tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), rtol=1e-6)
