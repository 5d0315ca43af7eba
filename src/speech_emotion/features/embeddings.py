"""Embeddings of speech: statistics and short sequences of the hidden states of a pretrained encoder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, Self

import numpy as np
from pydantic import Field

from speech_emotion.audio import trim_silence
from speech_emotion.config import Settings
from speech_emotion.encoders import SpeechEncoder
from speech_emotion.features.frames import check_samples

__all__ = [
    "EMBEDDING",
    "EMBEDDING_STATISTICS",
    "EMBEDDING_VERSION",
    "ENCODER_FRAMES",
    "Embedding",
    "EmbeddingSettings",
    "LayerSums",
    "embed",
    "embedding_names",
    "sum_layers",
]

EMBEDDING_STATISTICS: Final = ("mean", "std", "change")
"""Mean, standard deviation, and mean absolute difference of successive steps."""
EMBEDDING: Final = re.compile(
    r"^(?P<encoder>.+)_layer(?P<layer>\d+)_(?P<statistic>mean|std|change)_\d+$"
)
"""Pattern of the columns of embeddings."""
EMBEDDING_VERSION: Final = "2"
"""Version of the code that turns hidden states into embeddings, part of their key in the cache."""
SILENCE_DB: Final = 40.0
"""Steps that are this far below the loudest one are no speech."""
FRAME_STEPS: Final = 8
"""Steps that are averaged to one frame; finer frames did not improve networks."""
ENCODER_FRAMES: Final = 16
"""Frames of a sequence: 2.6 s of speech with Whisper's steps of 20 ms."""


class Embedding(NamedTuple):
    """Embedding of an utterance or window.

    Attributes:
        statistics: float32 statistics in the order of :func:`embedding_names`, shape
            ``(n_layers * 3 * width,)``.
        frames: float16 frames, shape ``(ENCODER_FRAMES, n_layers * width)``; those after the end of the
            speech are zero. Longer speech has longer frames.
    """

    statistics: np.ndarray
    frames: np.ndarray

    def shifted(self, shift: np.ndarray, n_layers: int) -> Embedding:
        """Add a value to each statistic, and to the frames what is added to the mean."""
        mean = shift.reshape(n_layers, 3, -1)[:, 0].ravel()
        is_frame = np.any(self.frames != 0, axis=1, keepdims=True)
        return Embedding(
            self.statistics + shift, (self.frames + is_frame * mean).astype(np.float16)
        )


class EmbeddingSettings(Settings):
    """Embeddings of a pretrained speech encoder.

    Attributes:
        encoder: Encoder, see :func:`speech_emotion.encoders.find_encoder`; ``None`` for no embeddings.
        revision: Revision on the hub; ``None`` for the pinned one, else ``main``.
        layers: Layers in use; ``None`` for those of the card, or the lower two thirds.
        copies: Largest augmented copy of training utterances that is encoded; ``None`` for all copies.
    """

    encoder: str | None = None
    revision: str | None = None
    layers: tuple[int, ...] | None = Field(None, min_length=1)
    copies: int | None = Field(2, ge=0)


@dataclass(frozen=True)
class LayerSums:
    """Sums over the steps of speech, from which statistics of any number of pieces follow.

    Attributes:
        n_steps: Number of steps.
        n_changes: Number of pairs of successive steps.
        sums: Sums of values, squares and absolute differences, shape ``(3, n_layers, width)``, float64.
        frames: Means of :data:`FRAME_STEPS` successive steps, those without speech left out; float32, shape
            ``(n_frames, n_layers * width)``.
    """

    n_steps: int
    n_changes: int
    sums: np.ndarray
    frames: np.ndarray

    def __add__(self, other: Self) -> LayerSums:
        return LayerSums(
            self.n_steps + other.n_steps,
            self.n_changes + other.n_changes,
            self.sums + other.sums,
            np.concatenate([self.frames, other.frames]),
        )

    def embedding(self) -> Embedding:
        """Return the embedding of all pieces together."""
        mean = self.sums[0] / self.n_steps
        std = np.sqrt(np.maximum(self.sums[1] / self.n_steps - mean**2, 0))
        change = self.sums[2] / max(self.n_changes, 1)
        statistics = np.stack([mean, std, change], axis=1).ravel().astype(np.float32)
        return Embedding(statistics, _sequence(self.frames))


def embed(samples: np.ndarray, encoder: SpeechEncoder) -> Embedding:
    """Compute the embedding of an utterance.

    Args:
        samples: Shape ``(n_samples,)``, at the encoder's sample rate.
        encoder: The encoder.

    Raises:
        AudioError: If the samples are silent, too short, too large, not finite or not one-dimensional.
    """
    return sum_layers(samples, encoder).embedding()


def sum_layers(samples: np.ndarray, encoder: SpeechEncoder) -> LayerSums:
    """Encode a piece of speech, and sum its hidden states over the steps that are speech.

    Silence at both ends is trimmed before encoding; quiet steps in between are left out of the sums.

    Args:
        samples: Shape ``(n_samples,)``, at the encoder's sample rate.
        encoder: The encoder.

    Raises:
        AudioError: If the samples are silent, too short, too large, not finite or not one-dimensional.
    """
    rate = encoder.card.sample_rate
    samples = trim_silence(check_samples(samples, rate), SILENCE_DB)
    states = encoder.encode(samples)
    speech = _speech_steps(samples, states.shape[1], round(encoder.card.step_s * rate))
    chosen = states[:, speech]
    changes = np.abs(np.diff(chosen, axis=1))
    sums = [
        chosen.sum(axis=1, dtype=np.float64),
        np.square(chosen, dtype=np.float64).sum(axis=1),
        changes.sum(axis=1, dtype=np.float64),
    ]
    return LayerSums(chosen.shape[1], changes.shape[1], np.stack(sums), _frames(states, speech))


def _frames(states: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Average the steps of speech in groups of :data:`FRAME_STEPS`; groups without speech are left out.

    Args:
        states: Hidden states, shape ``(n_layers, n_steps, width)``.
        speech: Which steps are speech, shape ``(n_steps,)``.
    """
    starts = np.arange(0, len(speech), FRAME_STEPS)
    counts = np.add.reduceat(speech, starts, dtype=np.float32)
    sums = np.add.reduceat(states * speech[:, None], starts, axis=1)[:, counts > 0]
    means = sums / counts[counts > 0, None]
    return np.moveaxis(means, 0, 1).reshape(len(means[0]), -1)


def _sequence(frames: np.ndarray) -> np.ndarray:
    """Bring frames to :data:`ENCODER_FRAMES`: average neighbors, or append zeros."""
    sequence = np.zeros((ENCODER_FRAMES, frames.shape[1]), dtype=np.float16)
    if len(frames) <= ENCODER_FRAMES:
        sequence[: len(frames)] = frames
        return sequence
    edges = np.linspace(0, len(frames), ENCODER_FRAMES + 1).round().astype(int)
    sequence[:] = np.add.reduceat(frames, edges[:-1]) / np.diff(edges)[:, None]
    return sequence


def _speech_steps(samples: np.ndarray, n_steps: int, step: int) -> np.ndarray:
    """Return which steps are within :data:`SILENCE_DB` of the loudest one."""
    padded = np.zeros(n_steps * step, dtype=np.float32)
    padded[: len(samples)] = samples[: len(padded)]
    steps = padded.reshape(n_steps, step)
    power = np.einsum("ij,ij->i", steps, steps)
    return power >= power.max() * 10 ** (-SILENCE_DB / 10)


@lru_cache(maxsize=8)
def embedding_names(encoder: str, layers: tuple[int, ...], width: int) -> list[str]:
    """Return the columns of embeddings: encoder, layer, statistic and coefficient.

    Args:
        encoder: Short name of the encoder, :attr:`speech_emotion.encoders.EncoderCard.slug`.
        layers: Layers in use.
        width: Number of coefficients of a layer.

    Examples:
        >>> embedding_names("whisper_base", (1, 2), 512)[:2]
        ['whisper_base_layer1_mean_000', 'whisper_base_layer1_mean_001']
    """
    digits = len(str(width - 1))
    return [
        f"{encoder}_layer{layer}_{statistic}_{number:0{digits}d}"
        for layer in sorted(layers)
        for statistic in EMBEDDING_STATISTICS
        for number in range(width)
    ]
