"""Adapt embeddings to the telephone line of a contact center, without labels.

A line shifts the hidden states of an encoder by more than an emotion does. The mean over a center's calls,
most of which are calm, estimates this shift: it is replaced by the mean of neutral speech that the model
was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

__all__ = ["LineMean", "RunningMean", "mean_of_calls"]

PRIOR_WINDOWS: Final = 20
"""Weight of the reference in the mean of a single channel, in windows."""


@dataclass(frozen=True)
class LineMean:
    """Mean embedding over the calls of one center.

    Attributes:
        mean: float32 values in the order of :func:`speech_emotion.features.embedding_names`.
        n_calls: Number of calls.
        n_windows: Number of windows.
    """

    mean: np.ndarray
    n_calls: int
    n_windows: int

    def shift(self, reference: np.ndarray) -> np.ndarray:
        """Return what to add to embeddings of this line."""
        return reference - self.mean

    def to_dict(self) -> dict[str, Any]:
        """Return the content as plain values."""
        return {"mean": self.mean.tolist(), "n_calls": self.n_calls, "n_windows": self.n_windows}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> LineMean:
        """Create it from the result of :meth:`to_dict`."""
        return cls(
            np.asarray(content["mean"], dtype=np.float32),
            int(content["n_calls"]),
            int(content["n_windows"]),
        )


def mean_of_calls(embeddings: Iterable[np.ndarray]) -> LineMean | None:
    """Average the embeddings of calls; every call has the same weight.

    Args:
        embeddings: Embeddings of the windows of each call, shape ``(n_windows, n_features)``.

    Returns:
        The mean; ``None`` if no call has a window.
    """
    total, n_calls, n_windows = np.zeros(0), 0, 0
    for windows in embeddings:
        if len(windows) == 0:
            continue
        mean = windows.mean(axis=0, dtype=np.float64)
        total = mean if n_calls == 0 else total + mean
        n_calls, n_windows = n_calls + 1, n_windows + len(windows)
    if n_calls == 0:
        return None
    return LineMean((total / n_calls).astype(np.float32), n_calls, n_windows)


class RunningMean:
    """Mean embedding of one channel so far, for a live line whose center is unknown.

    Args:
        reference: Mean of neutral speech in training, which counts as :data:`PRIOR_WINDOWS` windows.
    """

    def __init__(self, reference: np.ndarray):
        self._reference = reference.astype(np.float64)
        self._total = PRIOR_WINDOWS * self._reference
        self._n_windows = PRIOR_WINDOWS

    def shift(self, embedding: np.ndarray) -> np.ndarray:
        """Add the embedding of the next window; return what to add to it."""
        self._total += embedding
        self._n_windows += 1
        return (self._reference - self._total / self._n_windows).astype(np.float32)
