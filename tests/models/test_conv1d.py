import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from speech_emotion.models import Conv1DClassifier


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
@parametrize_with_checks(
    [Conv1DClassifier(filters=4, blocks=1, epochs=1)],
    expected_failed_checks=lambda _: {
        "check_classifiers_train": "one pass over the data does not learn it",
        "check_methods_sample_order_invariance": "1e-7 is finer than sums of 32 bits in any order",
    },
)
def test_it_is_a_scikit_learn_classifier(estimator, check):
    check(estimator)


@pytest.mark.usefixtures("eagerly")
def test_padding_does_not_enter_the_scaling():
    generator = np.random.default_rng(0)
    frames = generator.normal(5, 2, size=(40, 12, 3)).astype(np.float32)
    padded = np.concatenate([frames, np.zeros((40, 12, 3), np.float32)], axis=1)
    labels = np.arange(40) % 2
    network = Conv1DClassifier(filters=4, blocks=1, epochs=1, random_state=0)
    scaling = network.fit(padded, labels).network_.layers
    normalisation = next(layer for layer in scaling if layer.name.split("_")[0] == "normalization")
    np.testing.assert_allclose(np.ravel(normalisation.mean), frames.mean(axis=(0, 1)), rtol=1e-4)


@pytest.mark.usefixtures("eagerly")
def test_flattened_frames_tell_when_something_was():
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
