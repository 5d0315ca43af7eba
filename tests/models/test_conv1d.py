import numpy as np
import pytest

from speech_emotion.models import Conv1DClassifier


@pytest.mark.usefixtures("eagerly")
def test_scaling_ignores_padding():
    generator = np.random.default_rng(0)
    frames = generator.normal(5, 2, size=(40, 12, 3)).astype(np.float32)
    padded = np.concatenate([frames, np.zeros((40, 12, 3), np.float32)], axis=1)
    labels = np.arange(40) % 2
    network = Conv1DClassifier(filters=4, blocks=1, epochs=1, random_state=0)
    scaling = network.fit(padded, labels).network_.layers
    normalization = next(layer for layer in scaling if layer.name.split("_")[0] == "normalization")
    np.testing.assert_allclose(np.ravel(normalization.mean), frames.mean(axis=(0, 1)), rtol=1e-4)


@pytest.mark.usefixtures("eagerly")
def test_flatten_keeps_positions_in_time():
    labels = np.arange(48) % 2
    frames = np.random.default_rng(0).normal(0, 0.1, size=(48, 16, 2)).astype(np.float32)
    frames[np.arange(48), 4 + 8 * labels] += 3  # in the first half or in the second
    scores = {
        flatten: Conv1DClassifier(
            filters=4,
            blocks=1,
            epochs=20,
            dropout=0,
            batch_size=16,
            flatten=flatten,
            random_state=0,
        )
        .fit(frames[:32], labels[:32])
        .score(frames[32:], labels[32:])
        for flatten in (False, True)
    }
    assert scores[True] > 0.9
    assert scores[False] < 0.7
