"""Trim silence from both ends of a recording."""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["FAINTEST", "HOP", "WINDOW", "trim_silence"]

WINDOW: Final = 2048
"""Samples a frame."""


HOP: Final = 512
"""Samples from one frame to the next."""


FAINTEST: Final = 1e-5
"""Level of a frame below which all counts as equally silent."""


def trim_silence(samples: np.ndarray, top_db: float) -> np.ndarray:
    """Cut what is ``top_db`` below the loudest frame from both ends, as ``librosa.effects.trim``.

    Args:
        samples: Shape ``(n_samples,)``.
        top_db: Threshold below the loudest frame, in dB.
    """
    # A frame is a few hops, so that the samples are read once.
    hops = len(samples) // HOP
    whole, rest = samples[: hops * HOP].reshape(hops, HOP), samples[hops * HOP :]
    energy = np.zeros(hops + WINDOW // HOP)
    middle = WINDOW // HOP // 2
    energy[middle : middle + hops] = np.einsum("ij,ij->i", whole, whole)
    energy[middle + hops] = rest @ rest
    power = np.maximum(np.convolve(energy, np.ones(WINDOW // HOP), "valid") / WINDOW, FAINTEST**2)
    loud = np.flatnonzero(power > power.max() * 10 ** (-top_db / 10))
    return samples[loud[0] * HOP : (loud[-1] + 1) * HOP]
