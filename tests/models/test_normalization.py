import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_emotion.models import SpeakerNormalizer

GENERATOR = np.random.default_rng(0)
SPEAKERS = np.repeat(["anna", "ben", "cleo"], 20)
OFFSETS = np.repeat([[5.0, -3.0], [0.0, 9.0], [-5.0, 0.0]], 20, axis=0)
ROWS = GENERATOR.normal(size=(60, 2)) * [1.0, 4.0] + OFFSETS


def fitted(**options):
    return SpeakerNormalizer(**options).fit(ROWS, speakers=SPEAKERS)


def test_training_speakers_have_zero_mean_and_unit_variance():
    normalized = fitted(prior=0, prior_scale=0).transform(ROWS, speakers=SPEAKERS)
    for name in np.unique(SPEAKERS):
        rows = normalized[name == SPEAKERS]
        np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(rows.std(axis=0), 1, atol=1e-5)


def test_unseen_speakers_get_population_statistics():
    normalizer = fitted()
    center = np.mean([ROWS[name == SPEAKERS].mean(axis=0) for name in np.unique(SPEAKERS)], axis=0)
    np.testing.assert_allclose(normalizer.mean_, center)
    expected = (ROWS[:3] - center) / normalizer.scale_
    for speakers in (None, np.array(["dora"] * 3)):
        np.testing.assert_allclose(
            normalizer.transform(ROWS[:3], speakers=speakers), expected, rtol=1e-5
        )
    # Offsets between speakers do not widen the scale.
    np.testing.assert_allclose(normalizer.scale_, [1, 4], rtol=0.25)


@given(batches=st.lists(st.integers(1, 19), max_size=4))
def test_partial_fit_in_batches_equals_a_single_batch(batches):
    utterances = GENERATOR.normal(3, 2, size=(20, 2))
    once = fitted().partial_fit(utterances, speakers=np.full(20, "dora"))
    incremental = fitted()
    edges = sorted({0, 20, *batches})
    for start, stop in itertools.pairwise(edges):
        incremental.partial_fit(utterances[start:stop], speakers=np.full(stop - start, "dora"))
    for one, other in zip(once.statistics("dora"), incremental.statistics("dora"), strict=True):
        np.testing.assert_allclose(one, other)


def test_speaker_statistics_use_known_utterances_only():
    known = np.arange(60) % 20 < 2
    normalizer = SpeakerNormalizer(prior=0, scale_by_speaker=False)
    normalizer.fit(ROWS, speakers=SPEAKERS, known=known)
    mean, scale = normalizer.statistics("ben")
    np.testing.assert_allclose(mean, ROWS[20:22].mean(axis=0))
    np.testing.assert_allclose(scale, normalizer.scale_)
    with pytest.raises(ValueError, match="known excludes every row"):
        normalizer.fit(ROWS, speakers=SPEAKERS, known=np.zeros(60, dtype=bool))


def test_padding_of_sequences_stays_zero():
    sequences = np.ones((4, 5, 2), dtype=np.float32)
    sequences[2:] += 4
    sequences[:, 3:] = 0
    speakers = np.array(["anna", "anna", "ben", "ben"])
    normalizer = SpeakerNormalizer(prior=0, scale_by_speaker=False).fit(
        sequences, speakers=speakers
    )
    normalized = normalizer.transform(sequences, speakers=speakers)
    np.testing.assert_allclose(normalized, 0, atol=1e-6)
    unseen = normalizer.transform(sequences)
    assert (unseen[:, 3:] == 0).all()
    assert (unseen[:2, :3] < 0).all()


def test_batches_without_utterances_change_nothing():
    normalizer = fitted()
    before = normalizer.statistics("anna")
    normalizer.partial_fit(ROWS[:0], speakers=SPEAKERS[:0])
    for one, other in zip(before, normalizer.statistics("anna"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert normalizer.transform(ROWS[:0], speakers=SPEAKERS[:0]).shape == (0, 2)
