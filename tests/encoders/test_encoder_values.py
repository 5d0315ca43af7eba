"""Hidden states of the ONNX graph equal those of an implementation in NumPy."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import librosa
import numpy as np
import pytest
from scipy.special import erf

from speech_emotion.audio import AudioError
from speech_emotion.encoders import default_layers, find_encoder, log_mel

HEADS, LAYERS = 4, 2


def gelu(values):
    return values * (1 + erf(values / np.sqrt(2))) / 2


def normalized(values, weights, name):
    centered = values - values.mean(axis=-1, keepdims=True)
    scaled = centered / np.sqrt(np.square(centered).mean(axis=-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(values, weights, name):
    return values @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)


def convolved(values, weights, name, stride):
    """Convolve ``(steps, channels)`` with a kernel of three steps."""
    padded = np.pad(values, [(1, 1), (0, 0)])
    windows = np.stack([padded[k : k + len(values)] for k in range(3)], axis=2)[::stride]
    return np.einsum("tck,ock->to", windows, weights[f"{name}.weight"]) + weights[f"{name}.bias"]


def attention(values, weights, name):
    query, key, value = (
        np.stack(np.split(linear(values, weights, f"{name}.{part}_proj"), HEADS, axis=1))
        for part in "qkv"
    )
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[2])
    shares = np.exp(scores - scores.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    return linear(np.concatenate(list(shares @ value), axis=1), weights, f"{name}.out_proj")


def reference(weights, mel):
    """Hidden states of all layers in float64: shape ``(n_layers + 1, n_steps, width)``."""
    weights = {name: values.astype(np.float64) for name, values in weights.items()}
    hidden = gelu(convolved(mel.T.astype(np.float64), weights, "conv1", 1))
    hidden = gelu(convolved(hidden, weights, "conv2", 2))
    hidden = hidden + weights["embed_positions.weight"][: len(hidden)]
    states = [hidden]
    for number in range(LAYERS):
        layer = f"layers.{number}"
        inner = normalized(hidden, weights, f"{layer}.self_attn_layer_norm")
        hidden = hidden + attention(inner, weights, f"{layer}.self_attn")
        inner = normalized(hidden, weights, f"{layer}.final_layer_norm")
        inner = gelu(linear(inner, weights, f"{layer}.fc1"))
        hidden = hidden + linear(inner, weights, f"{layer}.fc2")
        states.append(hidden)
    states[-1] = normalized(hidden, weights, "layer_norm")
    return np.stack(states)


@pytest.fixture
def tiny(write_checkpoint):
    return find_encoder(str(write_checkpoint()), layers=[0, 1, 2])


@pytest.mark.parametrize("seconds", [0.1, 0.73, 1.0, 3.999])
def test_states_equal_the_reference(tiny, make_weights, noise, seconds):
    samples = noise(seconds)
    expected = reference(make_weights(), log_mel(samples))
    states = tiny.encode(samples)
    assert states.dtype == np.float32
    assert states.shape == expected.shape
    np.testing.assert_allclose(states, expected, atol=1e-4)
    # A wrong order of layers, or a missing nonlinearity, would be far outside the tolerance.
    assert np.abs(expected[1] - expected[0]).max() > 0.1


@pytest.mark.parametrize("prefix", ["model.encoder.", "encoder.", ""])
def test_names_of_weights_may_have_a_prefix(write_checkpoint, noise, tiny, prefix):
    other = find_encoder(str(write_checkpoint("other", prefix=prefix)), layers=[0, 1, 2])
    np.testing.assert_array_equal(other.encode(noise(0.5)), tiny.encode(noise(0.5)))


def test_float32_weights_are_rounded(write_checkpoint, make_weights, noise, tiny):
    rng = np.random.default_rng(1)
    precise = {
        name: values.astype(np.float32) * (1 + rng.uniform(-2e-4, 2e-4, values.shape))
        for name, values in make_weights().items()
    }
    precise = {name: values.astype(np.float32) for name, values in precise.items()}
    folder = write_checkpoint("precise", weights=precise)
    encoder = find_encoder(str(folder), layers=[0, 1, 2])
    expected = reference(precise, log_mel(noise(1.0)))
    error = np.abs(encoder.encode(noise(1.0)) - expected).max()
    assert error < 5e-3 * np.abs(expected).max()
    # The weights take two bytes each, whatever the checkpoint has.
    assert len(encoder.model) == pytest.approx(len(tiny.model), rel=0.01)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 2.345])
def test_log_mel_equals_librosa(noise, seconds):
    samples = noise(seconds)
    mel = librosa.feature.melspectrogram(
        y=samples.astype(np.float64),
        sr=16000,
        n_fft=400,
        hop_length=160,
        n_mels=80,
        pad_mode="reflect",
    )
    expected = np.log10(np.maximum(mel, 1e-10))[:, : len(samples) // 160]
    expected = (np.maximum(expected, expected.max() - 8) + 4) / 4
    np.testing.assert_allclose(log_mel(samples), expected, atol=1e-4)


def test_log_mel_has_a_range_of_80_db(noise):
    samples = np.concatenate([noise(0.5), np.zeros(8000, dtype=np.float32)])
    mel = log_mel(samples)
    assert mel[:, -20:].max() == pytest.approx(mel.max() - 2)
    assert mel.min() == pytest.approx(mel.max() - 2)
    np.testing.assert_allclose(log_mel(np.zeros(1600)), (-10 + 4) / 4, rtol=1e-6)


def test_layers_are_a_subset_and_less_is_loaded(write_checkpoint, noise, tiny):
    folder = str(write_checkpoint("again"))
    states = tiny.encode(noise(1.0))
    first = find_encoder(folder, layers=[1])
    assert first.layers == [1]
    np.testing.assert_array_equal(first.encode(noise(1.0)), states[1:2])
    assert b"layers.0.fc1" in first.model
    assert b"layers.1." not in first.model
    assert first.card.parameters < tiny.card.parameters
    # The input of the first layer needs no layer at all.
    stem = find_encoder(folder, layers=[0])
    assert b"layers.0." not in stem.model
    np.testing.assert_array_equal(stem.encode(noise(1.0)), states[:1])


def test_layers_are_sorted_and_unique(write_checkpoint, noise, tiny):
    encoder = find_encoder(str(write_checkpoint("again")), layers=[2, 0, 2])
    assert encoder.layers == [0, 2]
    np.testing.assert_array_equal(encoder.encode(noise(1.0)), tiny.encode(noise(1.0))[[0, 2]])


def test_lower_two_thirds_are_the_default(write_checkpoint):
    assert find_encoder(str(write_checkpoint())).layers == default_layers(2) == [1, 2]
    assert default_layers(12) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("seconds", [4.0001, 5.0, 6.01, 9.37, 12.0])
def test_long_sounds_are_encoded_in_chunks_with_context(tiny, noise, seconds):
    samples = noise(seconds)
    states = tiny.encode(samples)
    assert states.shape[1] == (len(samples) // 160 + 1) // 2
    # Chunks of 2 s, each encoded with 1 s before and after it.
    second = tiny.encode(samples[16000:80000])
    n_steps = min(100, states.shape[1] - 100)
    np.testing.assert_allclose(
        states[:, 100 : 100 + n_steps], second[:, 50 : 50 + n_steps], atol=1e-5
    )
    first = tiny.encode(samples[:48000])
    np.testing.assert_allclose(states[:, :100], first[:, :100], atol=1e-5)


def test_chunks_give_nearly_the_states_of_the_whole(write_checkpoint, make_weights, noise):
    weights = make_weights() | {"embed_positions.weight": np.zeros((200, 16), dtype=np.float16)}
    for number in range(LAYERS):
        weights[f"layers.{number}.self_attn.out_proj.weight"] *= np.float16(0.02)
    chunked = find_encoder(str(write_checkpoint("chunked", weights=weights)))
    weights["embed_positions.weight"] = np.zeros((800, 16), dtype=np.float16)
    folder = write_checkpoint("whole", weights=weights, max_source_positions=800)
    whole = find_encoder(str(folder))
    samples = noise(15.0)
    states, expected = chunked.encode(samples), whole.encode(samples)
    assert states.shape == expected.shape
    # Attention sees other surroundings in a chunk; a shift by one step would cost far more.
    error = np.abs(states - expected).mean()
    assert error < 0.005
    assert np.abs(states[:, 1:] - expected[:, :-1]).mean() > 10 * error


def test_sounds_of_less_than_a_tenth_of_a_second_are_padded(tiny, noise):
    states = tiny.encode(noise(0.01))
    assert states.shape == (3, 5, 16)
    np.testing.assert_array_equal(states, tiny.encode(np.pad(noise(0.01), (0, 1440))))
    assert tiny.encode(np.zeros(0, dtype=np.float32)).shape == (3, 5, 16)


def test_silence_has_finite_states(tiny):
    assert np.isfinite(tiny.encode(np.zeros(16000))).all()


@pytest.mark.parametrize(
    ("samples", "message"),
    [(np.zeros((2, 100)), "average the channels"), (np.array([0.0, np.nan]), "NaN or infinite")],
)
def test_bad_samples_are_refused(tiny, samples, message):
    with pytest.raises(AudioError, match=message):
        tiny.encode(samples)


def _encode(encoder, samples):
    return encoder.encode(samples)


def test_other_processes_receive_the_encoder(tiny, noise):
    states = tiny.encode(noise(0.5))
    assert len(pickle.dumps(tiny)) < 1.1 * len(tiny.model) + 2000
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        received = pool.submit(_encode, tiny, noise(0.5)).result(timeout=600)
    np.testing.assert_array_equal(received, states)
