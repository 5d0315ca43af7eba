"""Speed of speech encoders beside PyTorch, on one core, for the layers in use.

Weights are random, in the sizes of the published models: speed does not depend on values. The time of an
encoder includes its log-mel spectrogram; that of PyTorch does not. PyTorch and transformers are no
dependencies; without them the time per second of sound is listed alone.
"""

import json
import time

import numpy as np
import pytest
from safetensors.numpy import save_file
from threadpoolctl import threadpool_limits

from speech_emotion.encoders import default_layers, find_encoder, log_mel

SECONDS = 2.5
ROUNDS = 20
MOST = 0.8
"""Share of PyTorch's time that an encoder may take."""
SIZES = {"whisper-tiny.en": (384, 4, 6), "whisper-base": (512, 6, 8)}
"""Width, number of layers and of attention heads."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module", params=SIZES)
def checkpoint(request, tmp_path_factory):
    """Write a checkpoint with random weights."""
    width, n_layers, heads = SIZES[request.param]
    config = {
        "model_type": "whisper",
        "d_model": width,
        "encoder_layers": n_layers,
        "encoder_attention_heads": heads,
        "encoder_ffn_dim": 4 * width,
        "num_mel_bins": 80,
        "max_source_positions": 1500,
    }
    shapes = {
        "conv1.weight": (width, 80, 3),
        "conv2.weight": (width, width, 3),
        "embed_positions.weight": (1500, width),
    }
    shapes |= {f"{name}.bias": (width,) for name in ("conv1", "conv2", "layer_norm")}
    shapes["layer_norm.weight"] = (width,)
    for number in range(n_layers):
        layer = f"layers.{number}"
        linear = {f"self_attn.{part}_proj": (width, width) for part in ("q", "k", "v", "out")}
        linear |= {"fc1": (4 * width, width), "fc2": (width, 4 * width)}
        for name, shape in linear.items():
            shapes[f"{layer}.{name}.weight"] = shape
            if name != "self_attn.k_proj":
                shapes[f"{layer}.{name}.bias"] = shape[:1]
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            shapes[f"{layer}.{name}.weight"] = shapes[f"{layer}.{name}.bias"] = (width,)
    rng = np.random.default_rng(0)
    weights = {
        name: (rng.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float16)
        for name, shape in shapes.items()
    }
    folder = tmp_path_factory.mktemp("encoders") / request.param
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def samples():
    """Noise whose level rises and falls."""
    times = np.arange(round(SECONDS * 16000)) / 16000
    noise = np.random.default_rng(0).normal(0, 0.1, len(times))
    return (noise * np.abs(np.sin(2 * np.pi * 1.3 * times))).astype(np.float32)


def with_pytorch(folder, samples):
    """Return a function that computes the same layers with PyTorch, on ready spectrograms."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import load_file

    torch.set_num_threads(1)
    entries = json.loads((folder / "config.json").read_text())
    # The smallest decoder that is possible, because it is not used.
    decoder = {"decoder_layers": 1, "decoder_attention_heads": entries["encoder_attention_heads"]}
    config = transformers.WhisperConfig(**entries, **decoder)
    n_steps = round(SECONDS * 50)
    model = transformers.WhisperModel(config).encoder.eval()
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    model.layers = model.layers[: max(default_layers(config.encoder_layers))]
    # The model takes sounds of 30 s only; shorter ones need as many position embeddings.
    positions = model.embed_positions.weight.detach()[:n_steps]
    model.embed_positions = torch.nn.Embedding.from_pretrained(positions)
    model.config.max_source_positions = n_steps
    features = torch.from_numpy(log_mel(samples)[np.newaxis])

    def compute():
        with torch.inference_mode():
            return model(features, output_hidden_states=True).hidden_states

    return compute


def alternate(*functions):
    """Return the least processor time of each function, which other load disturbs least."""
    seconds = np.empty((ROUNDS, len(functions)))
    for function in functions:
        function()
    for row in seconds:
        for column, function in enumerate(functions):
            start = time.process_time()
            function()
            row[column] = time.process_time() - start
    return seconds.min(axis=0).tolist()


@pytest.mark.benchmark(group="encoder")
def test_encoder_against_pytorch(benchmark, checkpoint, samples, ratios):
    encoder = find_encoder(str(checkpoint))
    reference = with_pytorch(checkpoint, samples)
    # Layers below the last one are equal; PyTorch normalizes what it takes for the last one.
    expected = np.concatenate([layer.numpy() for layer in reference()[1:-1]])
    np.testing.assert_allclose(encoder.encode(samples)[:-1], expected, rtol=1e-2, atol=1e-3)

    def measure():
        return alternate(lambda: encoder.encode(samples), reference)

    taken, others = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info["ms per second of sound"] = 1000 * taken / SECONDS
    benchmark.extra_info["PyTorch, ms per second of sound"] = 1000 * others / SECONDS
    ratios.add(f"{checkpoint.name}, {SECONDS} s", "PyTorch", taken / others, at_most=MOST)


@pytest.mark.benchmark(group="encoder")
def test_encoder(benchmark, checkpoint, samples, ratios):
    encoder = find_encoder(str(checkpoint))
    (taken,) = benchmark.pedantic(lambda: alternate(lambda: encoder.encode(samples)), rounds=1)
    benchmark.extra_info["ms per second of sound"] = 1000 * taken / SECONDS
    ratios.add(f"{checkpoint.name}, {SECONDS} s, real time", "1 s of sound", SECONDS / taken)
