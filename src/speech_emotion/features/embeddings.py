"""Embeddings of speech: statistics over time of the hidden states of a pretrained encoder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

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
EMBEDDING_VERSION: Final = "1"
"""Version of the code that turns hidden states into embeddings, part of their key in the cache."""
SILENCE_DB: Final = 40.0
"""Steps that are this far below the loudest one are no speech."""


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
    """

    n_steps: int
    n_changes: int
    sums: np.ndarray

    def __add__(self, other: Self) -> LayerSums:
        return LayerSums(
            self.n_steps + other.n_steps,
            self.n_changes + other.n_changes,
            self.sums + other.sums,
        )

    def statistics(self) -> np.ndarray:
        """Return float32 statistics in the order of :func:`embedding_names`."""
        mean = self.sums[0] / self.n_steps
        std = np.sqrt(np.maximum(self.sums[1] / self.n_steps - mean**2, 0))
        change = self.sums[2] / max(self.n_changes, 1)
        return np.stack([mean, std, change], axis=1).ravel().astype(np.float32)


def embed(samples: np.ndarray, encoder: SpeechEncoder) -> np.ndarray:
    """Compute the embedding of an utterance.

    Args:
        samples: Shape ``(n_samples,)``, at the encoder's sample rate.
        encoder: The encoder.

    Returns:
        float32 values, shape ``(n_layers * 3 * width,)``, in the order of :func:`embedding_names`.

    Raises:
        AudioError: If the samples are silent, too short, too large, not finite or not one-dimensional.
    """
    return sum_layers(samples, encoder).statistics()


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
    return LayerSums(chosen.shape[1], changes.shape[1], np.stack(sums))


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
