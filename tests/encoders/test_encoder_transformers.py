"""Real weights and real clips: hidden states equal those of the reference implementation.

Needs the packages torch and transformers, the folder SPEECH_EMOTION_ENCODERS with checkpoints
(``whisper-base``, ``whisper-tiny.en``) and the folder SPEECH_EMOTION_CORPORA with recordings.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from speech_emotion.audio import load_audio
from speech_emotion.encoders import KNOWN_ENCODERS, find_encoder

pytestmark = pytest.mark.real_corpora
CLIPS = 6
TOLERANCE = 1e-3
"""Largest difference relative to the largest absolute value of the layer."""


@pytest.fixture(scope="module", params=sorted(KNOWN_ENCODERS))
def folder(request):
    root = os.environ.get("SPEECH_EMOTION_ENCODERS")
    if not root:
        pytest.skip("SPEECH_EMOTION_ENCODERS is not set")
    path = Path(root) / request.param.rsplit("/", 1)[-1]
    if not path.is_dir():
        pytest.skip(f"{path} does not exist")
    return path


@pytest.fixture(scope="module")
def clips():
    root = os.environ.get("SPEECH_EMOTION_CORPORA")
    if not root:
        pytest.skip("SPEECH_EMOTION_CORPORA is not set")
    paths = sorted(Path(root).rglob("*.wav"))
    chosen = [load_audio(path, 16000) for path in paths[:: max(1, len(paths) // CLIPS)][:CLIPS]]
    # The reference takes an even number of frames only.
    return [samples[: len(samples) // 320 * 320] for samples in chosen]


@pytest.fixture(scope="module")
def reference(folder):
    """Compute all hidden states with transformers, shape ``(n_layers + 1, n_steps, width)``."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import load_file

    config = transformers.WhisperConfig.from_pretrained(folder)
    config.dtype = "float32"
    model = transformers.WhisperModel(config).encoder.float().eval()
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict(
        {name.removeprefix("model.encoder."): value.float() for name, value in weights.items()}
    )
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    positions = model.embed_positions.weight.detach()

    def compute(samples, padding):
        features = extractor(
            samples, sampling_rate=16000, padding=padding, return_tensors="pt"
        ).input_features
        # The model takes sounds of 30 s only; shorter ones need as many position embeddings.
        n_steps = features.shape[2] // 2
        model.config.max_source_positions = n_steps
        model.embed_positions = torch.nn.Embedding.from_pretrained(positions[:n_steps])
        with torch.no_grad():
            states = model(features.float(), output_hidden_states=True).hidden_states
        return torch.cat(states).numpy()

    return compute


def largest_error(states, expected):
    largest = np.abs(expected).max(axis=(1, 2))
    return (np.abs(states - expected).max(axis=(1, 2)) / largest).max()


def test_states_equal_those_of_transformers(folder, clips, reference, record_property):
    n_layers = 4 if folder.name == "whisper-tiny.en" else 6
    encoder = find_encoder(str(folder), layers=range(n_layers + 1))
    assert encoder.card.name == f"openai/{folder.name}"
    assert encoder.card.license == "MIT"
    errors = [
        largest_error(encoder.encode(samples), reference(samples, "do_not_pad"))
        for samples in clips
    ]
    padded = np.pad(clips[0], (0, 480000 - len(clips[0])))
    errors.append(largest_error(encoder.encode(padded), reference(clips[0], "max_length")))
    print(f"\n{folder.name}: largest relative error {max(errors):.1e}")  # noqa: T201
    assert max(errors) < TOLERANCE
