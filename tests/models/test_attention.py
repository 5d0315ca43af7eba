import numpy as np
import pytest

from speech_emotion.models import AttentionClassifier, load_estimator, save_estimator
from speech_emotion.models.attention import _masked, _moments


def speech(n=60, seed=0):
    """Frames of two labels: one loud channel in the middle third marks the label; the end is padding."""
    generator = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = generator.normal(0, 1, size=(n, 9, 4)).astype(np.float16)
    X[np.arange(n), 3 + generator.integers(0, 3, n), y] += 6
    X[: n // 2, 7:] = 0
    return X, y


def test_learns_where_to_look_and_survives_saving(tmp_path):
    X, y = speech()
    model = AttentionClassifier(
        units=16, heads=2, epochs=15, learning_rate=0.02, batch_size=20, random_state=0
    ).fit(X, y, validation=speech(20, seed=1))
    unseen, expected = speech(40, seed=2)
    assert model.score(unseen, expected) > 0.85
    assert set(model.history_[0]) >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(model.history_) == 15
    save_estimator(model, tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict_proba(unseen), model.predict_proba(unseen), atol=1e-6)


@pytest.mark.usefixtures("eagerly")
def test_padding_has_no_effect():
    X, y = speech(30)
    model = AttentionClassifier(units=8, heads=2, epochs=2, random_state=0).fit(X, y)
    longer = X.copy()
    longer[:, 7:] = 0
    shuffled = longer[:, [7, 8, 0, 1, 2, 3, 4, 5, 6]]  # padding first
    np.testing.assert_allclose(
        model.predict_proba(shuffled), model.predict_proba(longer), atol=1e-6
    )


@pytest.mark.usefixtures("eagerly")
def test_networks_of_several_seeds_are_averaged():
    X, y = speech(30)
    settings = {"units": 8, "heads": 2, "epochs": 1}
    together = AttentionClassifier(**settings, networks=2, random_state=3).fit(X, y)
    again = AttentionClassifier(**settings, networks=2, random_state=3).fit(X, y)
    np.testing.assert_allclose(again.predict_proba(X), together.predict_proba(X), atol=1e-6)
    bodies = [layer for layer in together.network_.layers if layer.name.startswith("functional")]
    assert len(bodies) == 2
    scaled = bodies[0].input  # both read the standardized frames
    assert scaled.shape[1:] == (9, 4)


def test_moments_leave_padding_out():
    X, _ = speech(1200)  # several blocks
    frames = X[np.any(X != 0, axis=2)].astype(np.float64)
    mean, variance = _moments(X)
    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(variance, frames.var(axis=0), rtol=1e-6)


def test_masks_hide_a_limited_share_of_neighbors():
    X = np.ones((200, 10, 3), dtype=np.float32)
    X[100:, 6:] = 0
    masked = _masked(X.copy(), 0.5, np.random.default_rng(0))
    hidden = (X != 0).any(axis=2) & (masked == 0).all(axis=2)
    assert hidden[:100].sum(axis=1).max() == 5
    assert hidden[100:].sum(axis=1).max() <= 3
    assert hidden.sum(axis=1).mean() > 1
    for row in hidden:
        at = np.flatnonzero(row)
        assert len(at) == 0 or at[-1] - at[0] == len(at) - 1
    np.testing.assert_array_equal(_masked(X.copy(), 0.0, np.random.default_rng(0)), X)


def test_wrong_settings_and_labels_are_refused():
    X, y = speech(20)
    with pytest.raises(ValueError, match="units=9 is no multiple of heads=2"):
        AttentionClassifier(units=9, heads=2).fit(X, y)
    with pytest.raises(ValueError, match="only one class"):
        AttentionClassifier().fit(X, np.zeros(20))
