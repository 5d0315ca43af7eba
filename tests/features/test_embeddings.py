import functools
import operator

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speech_emotion.audio import TELEPHONE_TEST, AudioError, content_digest, read_samples
from speech_emotion.encoders import find_encoder
from speech_emotion.features import (
    EMBEDDING,
    ENCODER_FRAMES,
    Embedding,
    EmbeddingSettings,
    LayerSums,
    embed,
    embedding_names,
    gather_embeddings,
    index_embeddings,
    store_embeddings,
    sum_layers,
)
from speech_emotion.features import store as store_module
from speech_emotion.runtime import ShardStore

RATE = 16000


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return find_encoder(str(tiny_encoder), layers=[1, 2])


def voice(seconds=1.0, *, seed=0):
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * 150 * time * (1 + 0.1 * np.sin(3 * time)))
    return (0.3 * tone + 0.05 * generator.standard_normal(len(time))).astype(np.float32)


def sums_of(steps):
    changes = np.abs(np.diff(steps, axis=0))
    rows = [steps.sum(0), (steps**2).sum(0), changes.sum(0)]
    return LayerSums(len(steps), len(changes), np.stack(rows)[:, np.newaxis], steps)


@given(st.integers(2, 40), st.integers(0, 5))
def test_statistics_of_sums_are_mean_std_and_mean_change(n_steps, seed):
    steps = np.random.default_rng(seed).normal(3, 2, size=(n_steps, 4))
    mean, std, change = sums_of(steps).embedding().statistics.reshape(3, 4)
    np.testing.assert_allclose(mean, steps.mean(0), rtol=1e-5)
    np.testing.assert_allclose(std, steps.std(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(change, np.abs(np.diff(steps, axis=0)).mean(0), rtol=1e-5)


def test_sums_of_pieces_add_up():
    steps = np.random.default_rng(0).normal(size=(30, 4))
    parts = [sums_of(part) for part in np.array_split(steps, 3)]
    joined = functools.reduce(operator.add, parts).embedding().statistics.reshape(3, 4)
    np.testing.assert_allclose(joined[0], steps.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(joined[1], steps.std(0), rtol=1e-4)


def test_an_embedding_is_the_statistics_of_the_hidden_states(encoder):
    samples = voice()
    states = encoder.encode(samples)
    expected = [
        statistic
        for layer in states
        for statistic in (layer.mean(0), layer.std(0), np.abs(np.diff(layer, axis=0)).mean(0))
    ]
    names = embedding_names("tiny", (1, 2), 16)
    values = embed(samples, encoder).statistics
    assert values.dtype == np.float32
    assert len(names) == len(values) == 2 * 3 * 16
    np.testing.assert_allclose(values, np.concatenate(expected), rtol=1e-3, atol=1e-4)


def test_frames_are_means_of_eight_steps_and_layers_stand_side_by_side(encoder):
    samples = voice()  # 50 steps without silence
    states = encoder.encode(samples)
    frames = embed(samples, encoder).frames
    assert frames.dtype == np.float16
    assert frames.shape == (ENCODER_FRAMES, 2 * 16)
    for number in range(6):
        expected = states[:, 8 * number : 8 * number + 8].mean(axis=1).ravel()
        np.testing.assert_allclose(frames[number], expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(frames[6], states[:, 48:].mean(axis=1).ravel(), rtol=2e-3, atol=2e-3)
    assert not frames[7:].any()


@given(st.integers(1, 100))
def test_long_speech_has_longer_frames_and_the_same_mean(n_frames):
    rows = np.arange(1, n_frames + 1, dtype=np.float32)[:, np.newaxis] + np.zeros(
        (1, 3), np.float32
    )
    frames = LayerSums(1, 0, np.ones((3, 1, 3)), rows).embedding().frames
    assert frames.shape == (ENCODER_FRAMES, 3)
    used = frames[:, 0][frames[:, 0] > 0].astype(float)
    assert len(used) == min(n_frames, ENCODER_FRAMES)
    assert (np.diff(used) > 0).all()
    assert used.mean() == pytest.approx(rows.mean(), rel=0.03)


def test_a_shift_moves_statistics_and_frames_but_not_padding():
    frames = np.zeros((ENCODER_FRAMES, 4), dtype=np.float16)
    frames[:2] = 1
    shift = np.arange(12, dtype=np.float32)  # two layers, three statistics, two coefficients
    shifted = Embedding(np.ones(12, dtype=np.float32), frames).shifted(shift, 2)
    np.testing.assert_array_equal(shifted.statistics, 1 + shift)
    np.testing.assert_array_equal(shifted.frames[:2], [[1, 2, 7, 8]] * 2)
    assert not shifted.frames[2:].any()


def test_silence_inside_and_around_speech_does_not_count(encoder):
    samples = voice()
    padded = np.concatenate([np.zeros(RATE), samples, np.zeros(RATE)]).astype(np.float32)
    one, other = sum_layers(samples, encoder), sum_layers(padded, encoder)
    assert one.n_steps == pytest.approx(other.n_steps, abs=4)
    gap = np.concatenate([samples, np.zeros(RATE, dtype=np.float32), samples])
    assert sum_layers(gap, encoder).n_steps == pytest.approx(2 * one.n_steps, abs=6)


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.full(RATE, np.nan), np.ones((RATE, 2))])
def test_unusable_samples_are_refused(encoder, samples):
    with pytest.raises(AudioError):
        embed(samples, encoder)


def test_columns_name_encoder_layer_statistic_and_coefficient():
    names = embedding_names("whisper_base", (2, 1), 512)
    assert len(set(names)) == 2 * 3 * 512
    assert names[0] == "whisper_base_layer1_mean_000"
    assert names[-1] == "whisper_base_layer2_change_511"
    found = EMBEDDING.match(names[-1])
    assert found is not None
    assert (found["encoder"], found["layer"], found["statistic"]) == ("whisper_base", "2", "change")


@pytest.fixture
def recordings(tmp_path):
    """Two recordings with a speed copy, a telephone version and a test copy each; one file is broken."""
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", voice(seed=ord(name)), RATE)
    (tmp_path / "c.wav").write_bytes(b"RIFF")
    utterances = pd.DataFrame(
        {
            "utterance_id": ["a", "b", "c"],
            "path": [str(tmp_path / f"{name}.wav") for name in "abc"],
            "content_hash": [
                *(content_digest(*read_samples(tmp_path / f"{n}.wav")) for n in "ab"),
                "3",
            ],
        }
    )
    plan = pd.DataFrame(
        [
            (name, "speaker_independent", variant, transform, value, 7, line)
            for name in "ab"
            for variant, transform, value, line in [
                (1, "speed", 1.1, ""),
                (2, "gain", -6.0, ""),
                (-2, "speed", 1.1, "training"),
                (TELEPHONE_TEST, "none", 0.0, "steep_ulaw"),
            ]
        ],
        columns=["utterance_id", "protocol", "variant", "transform", "value", "seed", "line"],
    )
    return utterances, plan


def test_copies_limit_what_is_encoded_but_test_copies_stay(recordings):
    index = index_embeddings(*recordings, EmbeddingSettings(encoder="x", copies=1))
    variants = index.loc[index["utterance_id"] == "a", "variant"]
    assert variants.tolist() == [TELEPHONE_TEST, -2, 0, 1]
    assert 2 in index_embeddings(*recordings, EmbeddingSettings(copies=None))["variant"].tolist()


def test_embeddings_are_cached_and_nothing_is_encoded_twice(
    recordings, encoder, tmp_path, monkeypatch
):
    index = index_embeddings(*recordings, EmbeddingSettings(encoder="x", copies=1))
    store = ShardStore(str(tmp_path / "cache"))
    store_embeddings(index, encoder, store, n_jobs=1)
    stored = gather_embeddings(index, encoder, store)
    rejected = stored.rejected
    table = pd.concat(list(stored.statistics), ignore_index=True)
    frames = np.concatenate(list(stored.sequences))
    assert frames.dtype == np.float16
    assert frames.shape == stored.shape == (8, ENCODER_FRAMES, 2 * 16)
    assert len(table) == 8
    assert rejected["path"].str.endswith("c.wav").tolist() == [True]
    assert "unreadable" in rejected["reason"].iloc[0]
    expected = embed(soundfile.read(recordings[0]["path"][0], dtype="float32")[0], encoder)
    row = table[(table["utterance_id"] == "a") & (table["variant"] == 0)]
    values = row.iloc[0, 2:].astype(float)
    np.testing.assert_allclose(values, expected.statistics, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(frames[row.index[0]], expected.frames)

    def fail(*_):
        raise AssertionError("encoded again")

    monkeypatch.setattr(store_module, "embed_batch", fail)
    store_embeddings(index, encoder, store, n_jobs=1)


def test_other_layers_have_other_keys(recordings, tiny_encoder, tmp_path, encoder):
    index = index_embeddings(*recordings, EmbeddingSettings(encoder="x", copies=0))
    store = ShardStore(str(tmp_path / "cache"))
    store_embeddings(index, encoder, store, n_jobs=1)
    with pytest.raises(ValueError, match="encode_speech"):
        gather_embeddings(index, find_encoder(str(tiny_encoder), layers=[1]), store)
