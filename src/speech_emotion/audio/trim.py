"""Trim silence at both ends of a recording."""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["HOP", "WINDOW", "trim_silence"]

WINDOW: Final = 2048
"""Samples per frame."""
HOP: Final = 512
"""Samples between the starts of successive frames."""
FAINTEST: Final = 1e-5
"""RMS floor: frames below it count as equally silent."""


def trim_silence(samples: np.ndarray, top_db: float) -> np.ndarray:
    """Remove frames at both ends that are ``top_db`` below the loudest one.

    The result equals that of ``librosa.effects.trim``.

    Args:
        samples: Shape ``(n_samples,)``.
        top_db: Threshold below the loudest frame, in dB.
    """
    # A frame consists of whole hops, so the energy of each hop is computed once.
    hops = len(samples) // HOP
    whole, rest = samples[: hops * HOP].reshape(hops, HOP), samples[hops * HOP :]
    energy = np.zeros(hops + WINDOW // HOP)
    middle = WINDOW // HOP // 2
    energy[middle : middle + hops] = np.einsum("ij,ij->i", whole, whole)
    energy[middle + hops] = rest @ rest
    power = np.maximum(np.convolve(energy, np.ones(WINDOW // HOP), "valid") / WINDOW, FAINTEST**2)
    loud = np.flatnonzero(power > power.max() * 10 ** (-top_db / 10))
    return samples[loud[0] * HOP : (loud[-1] + 1) * HOP]
