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


def test_known_speakers_lose_offset_and_spread():
    measured = fitted(prior=0, prior_scale=0).transform(ROWS, speakers=SPEAKERS)
    for name in np.unique(SPEAKERS):
        own = measured[name == SPEAKERS]
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(own.std(axis=0), 1, atol=1e-5)


def test_unknown_speakers_get_the_average_speaker():
    normalizer = fitted()
    centre = np.mean([ROWS[name == SPEAKERS].mean(axis=0) for name in np.unique(SPEAKERS)], axis=0)
    np.testing.assert_allclose(normalizer.mean_, centre)
    expected = (ROWS[:3] - centre) / normalizer.scale_
    for speakers in (None, np.array(["dora"] * 3)):
        np.testing.assert_allclose(
            normalizer.transform(ROWS[:3], speakers=speakers), expected, rtol=1e-5
        )
    # The spread is that inside speakers: offsets between them do not widen it.
    np.testing.assert_allclose(normalizer.scale_, [1, 4], rtol=0.25)


@given(portions=st.lists(st.integers(1, 19), max_size=4))
def test_running_statistics_are_those_of_all_at_once(portions):
    heard = GENERATOR.normal(3, 2, size=(20, 2))
    once = fitted().partial_fit(heard, speakers=np.full(20, "dora"))
    running = fitted()
    edges = sorted({0, 20, *portions})
    for start, stop in itertools.pairwise(edges):
        running.partial_fit(heard[start:stop], speakers=np.full(stop - start, "dora"))
    for one, other in zip(once.statistics("dora"), running.statistics("dora"), strict=True):
        np.testing.assert_allclose(one, other)


def test_only_known_utterances_measure_a_speaker():
    known = np.arange(60) % 20 < 2
    normalizer = SpeakerNormalizer(prior=0, own_scale=False)
    normalizer.fit(ROWS, speakers=SPEAKERS, known=known)
    mean, scale = normalizer.statistics("ben")
    np.testing.assert_allclose(mean, ROWS[20:22].mean(axis=0))
    np.testing.assert_allclose(scale, normalizer.scale_)
    with pytest.raises(ValueError, match="nothing to measure from"):
        normalizer.fit(ROWS, speakers=SPEAKERS, known=np.zeros(60, dtype=bool))


def test_padding_of_sequences_stays_zero():
    sequences = np.ones((4, 5, 2), dtype=np.float32)
    sequences[2:] += 4
    sequences[:, 3:] = 0
    speakers = np.array(["anna", "anna", "ben", "ben"])
    normalizer = SpeakerNormalizer(prior=0, own_scale=False).fit(sequences, speakers=speakers)
    measured = normalizer.transform(sequences, speakers=speakers)
    np.testing.assert_allclose(measured, 0, atol=1e-6)
    unknown = normalizer.transform(sequences)
    assert (unknown[:, 3:] == 0).all()
    assert (unknown[:2, :3] < 0).all()
