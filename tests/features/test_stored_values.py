"""Models are kept for years: what they read of a sound must stay what it was when they learnt."""

from pathlib import Path

import numpy as np
import pytest

from speech_emotion.features import FeatureSettings, extract, extract_features

RATE = 22050
STORED = Path(__file__).with_name("stored_features.npz")


def sentence():
    """Two gliding voices with a pause between them, over noise; 3.2 s, so several blocks of frames."""
    times = np.arange(round(1.5 * RATE)) / RATE
    parts = []
    for low, high, loudness in ((110, 170, 0.08), (240, 180, 0.2)):
        phase = 2 * np.pi * np.cumsum(np.linspace(low, high, len(times))) / RATE
        voice = sum(np.sin(number * phase) / number for number in range(1, 25))
        syllables = 0.6 - 0.4 * np.cos(2 * np.pi * 4.5 * times)
        parts += [loudness * voice * syllables, np.zeros(round(0.1 * RATE))]
    sound = np.concatenate(parts)
    # The legacy generator's stream is frozen.
    return (sound + 1e-3 * np.random.RandomState(0).normal(size=len(sound))).astype(np.float32)


@pytest.mark.parametrize("feature_set", ["means_184", "moments_370", "contours_3490"])
def test_features_are_what_they_were(feature_set):
    values = extract_features(sentence(), RATE, feature_set)
    with np.load(STORED) as stored:
        expected = stored[feature_set]
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)


def test_sequences_are_what_they_were():
    _, sequence = extract(sentence(), RATE, settings=FeatureSettings())
    with np.load(STORED) as stored:
        np.testing.assert_allclose(sequence.mean(axis=0), stored["sequence"], rtol=1e-4, atol=1e-4)
