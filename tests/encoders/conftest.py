"""A tiny random Whisper checkpoint, written by the tests."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

CONFIG = {
    "model_type": "whisper",
    "d_model": 16,
    "num_mel_bins": 80,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "max_source_positions": 200,
    "activation_function": "gelu",
}


def _sinusoids(length, width):
    """Position embeddings as OpenAI's models store them."""
    frequencies = np.exp(-np.log(10000) / (width // 2 - 1) * np.arange(width // 2))
    angles = np.arange(length)[:, np.newaxis] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


@pytest.fixture(scope="session")
def make_weights():
    """Draw the weights of an encoder, float16, by their names inside the encoder."""

    def make(config=CONFIG):
        rng = np.random.default_rng(0)
        width, inner = config["d_model"], config["encoder_ffn_dim"]

        def normal(*shape):
            fan_in = np.prod(shape[1:]) if len(shape) > 1 else 25
            return rng.normal(size=shape) / np.sqrt(fan_in)

        weights = {
            "conv1.weight": normal(width, config["num_mel_bins"], 3),
            "conv1.bias": normal(width),
            "conv2.weight": normal(width, width, 3),
            "conv2.bias": normal(width),
            "embed_positions.weight": _sinusoids(config["max_source_positions"], width),
            "layer_norm.weight": 1 + normal(width),
            "layer_norm.bias": normal(width),
        }
        for number in range(config["encoder_layers"]):
            layer = f"layers.{number}"
            for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                weights[f"{layer}.self_attn.{part}.weight"] = 2 * normal(width, width)
                if part != "k_proj":
                    weights[f"{layer}.self_attn.{part}.bias"] = normal(width)
            for part in ("self_attn_layer_norm", "final_layer_norm"):
                weights[f"{layer}.{part}.weight"] = 1 + normal(width)
                weights[f"{layer}.{part}.bias"] = normal(width)
            weights[f"{layer}.fc1.weight"] = normal(inner, width)
            weights[f"{layer}.fc1.bias"] = normal(inner)
            weights[f"{layer}.fc2.weight"] = normal(width, inner)
            weights[f"{layer}.fc2.bias"] = normal(width)
        return {name: values.astype(np.float16) for name, values in weights.items()}

    return make


@pytest.fixture
def write_checkpoint(tmp_path, make_weights):
    """Write a checkpoint into a folder and return the folder."""

    def write(name="tiny", *, weights=None, prefix="model.encoder.", **changes):
        config = {**CONFIG, **changes}
        config = {key: value for key, value in config.items() if value is not None}
        weights = make_weights() if weights is None else weights
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        arrays = {f"{prefix}{key}": values for key, values in weights.items()}
        # The decoder's weights are in the same file.
        arrays["model.decoder.embed_tokens.weight"] = np.zeros((5, 16), dtype=np.float16)
        save_file(arrays, folder / "model.safetensors")
        return folder

    return write


@pytest.fixture(scope="session")
def noise():
    """Make noise whose level rises and falls, at 16 kHz."""

    def make(seconds, seed=0):
        samples = np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16000))
        level = 1.5 + np.sin(2 * np.pi * 1.3 * np.arange(len(samples)) / 16000)
        return (samples * level).astype(np.float32)

    return make
