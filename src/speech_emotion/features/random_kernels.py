"""Random convolution kernels: features of the movement of contours.

A. Dempster et al., *ROCKET: exceptionally fast and accurate time series classification using random
convolutional kernels*, DMKD 34, 2020. The kernels are drawn from a fixed seed and not trained, so their
responses are features like any other. Unlike ROCKET, contours are not normalized within the utterance,
because level and pitch carry emotion.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from speech_emotion.features.functionals import N_MFCC
from speech_emotion.features.prosody import SPECTRAL_SHAPE

__all__ = ["KERNEL_PREFIX", "kernel_names", "kernel_responses"]

KERNEL_PREFIX: Final = "kernel_"
LENGTH: Final = 7
"""Taps of a kernel."""
DILATIONS: Final = (1, 3, 9)
"""Frames between taps; kernels span 0.16, 0.44 or 1.3 s at 22,050 Hz."""
REACH: Final = max(DILATIONS) * (LENGTH // 2)
"""Frames that the widest kernel covers on either side."""
COUNT: Final = 160
"""Kernels per group of contours and dilation."""
N_INPUTS: Final = 4
"""Contours per kernel, on average."""
BIAS: Final = 0.7
"""Standard deviation of biases; that of responses to typical speech is about 1."""
RESPONSES: Final = ("share", "size", "peak")
SEED: Final = 0

# Rounded mean and standard deviation over speech, to bring contours to one scale.
SPECTRAL_SCALES: Final = {
    "rms_db": (-40.0, 12.0),
    "pitch": (33.0, 8.0),
    "voiced": (0.5, 0.5),
    "harmonicity": (2.0, 6.0),
    "centroid": (1700.0, 1100.0),
    "bandwidth": (1800.0, 500.0),
    "flatness": (-35.0, 10.0),
    "flux": (0.06, 0.025),
    "slope_0_500": (9.0, 40.0),
    "slope_500_1500": (-12.0, 11.0),
    "slope_0_5000": (-4.0, 2.5),
    "alpha_ratio": (13.0, 9.0),
    "hammarberg": (25.0, 11.0),
    "treble_ratio": (-26.0, 10.0),
}
MFCC_MEANS: Final = np.array([-400, 115, 0, 37] + [0] * 16, dtype=np.float32)
MFCC_SPREADS: Final = np.array([120, 50, 40, 32, 25, 25] + [17] * 3 + [12] * 11, dtype=np.float32)
VOICE: Final = (
    "rms_db",
    "pitch",
    "voiced",
    "harmonicity",
    *SPECTRAL_SHAPE,
    "centroid",
    "bandwidth",
)


class _Bank(NamedTuple):
    """Kernels of one group and dilation: weights ``(LENGTH * n_contours, COUNT)`` and biases."""

    group: str
    dilation: int
    weights: np.ndarray
    biases: np.ndarray


@lru_cache(maxsize=1)
def _banks() -> tuple[_Bank, ...]:
    # The stream of the legacy generator is frozen, so kernels do not depend on NumPy's version.
    rng = np.random.RandomState(SEED)
    banks = []
    for group, contours in {"voice": len(VOICE), "mfcc": N_MFCC}.items():
        for dilation in DILATIONS:
            weights = rng.normal(size=(LENGTH, contours, COUNT))
            weights *= rng.uniform(size=(1, contours, COUNT)) < N_INPUTS / contours
            # Every second kernel responds to changes only.
            weights[..., ::2] -= weights[..., ::2].mean(axis=0)
            size = np.sqrt((weights**2).sum(axis=(0, 1)))
            weights /= np.where(size > 0, size, 1)
            biases = BIAS * rng.normal(size=COUNT)
            flat = weights.reshape(-1, COUNT).astype(np.float32)
            banks.append(_Bank(group, dilation, flat, biases.astype(np.float32)))
    return tuple(banks)


@lru_cache(maxsize=1)
def kernel_names() -> tuple[str, ...]:
    """Return the names of the responses: ``kernel_group_dilation_number_response``."""
    return tuple(
        f"{KERNEL_PREFIX}{bank.group}_{bank.dilation}_{number:03d}_{response}"
        for bank in _banks()
        for response in RESPONSES
        for number in range(COUNT)
    )


def kernel_responses(frames: dict[str, np.ndarray]) -> np.ndarray:
    """Compute the responses of all kernels to one utterance.

    Args:
        frames: Result of :func:`frame_features` with prosody and at least 20 MFCCs, each array of
            shape ``(n_frames, n_coefficients)``.

    Returns:
        float32 array in the order of :func:`kernel_names`: for each kernel the share of frames with a
        positive response, the mean square root of positive responses and the maximum response.
    """
    voice = np.concatenate(
        [(frames[name] - SPECTRAL_SCALES[name][0]) / SPECTRAL_SCALES[name][1] for name in VOICE],
        axis=1,
    )
    mfcc = (frames["mfcc"][:, :N_MFCC] - MFCC_MEANS) / MFCC_SPREADS
    contours = {"voice": _padded(voice), "mfcc": _padded(mfcc)}
    summaries = []
    for bank in _banks():
        responses = _windows(contours[bank.group], bank.dilation) @ bank.weights
        responses += bank.biases
        share, peak = (responses > 0).mean(axis=0, dtype=np.float32), responses.max(axis=0)
        np.maximum(responses, 0, out=responses)
        np.sqrt(responses, out=responses)
        summaries += [share, responses.mean(axis=0), peak]
    return np.concatenate(summaries)


def _padded(contours: np.ndarray) -> np.ndarray:
    """Pad with zeros, the value of typical speech, by the reach of the widest kernel."""
    padded = np.zeros((len(contours) + 2 * REACH, contours.shape[1]), dtype=np.float32)
    padded[REACH:-REACH] = contours
    return padded


def _windows(padded: np.ndarray, dilation: int) -> np.ndarray:
    """Return the inputs of a kernel at each frame, shape ``(n_frames, LENGTH * n_contours)``."""
    count = len(padded) - 2 * REACH
    first = REACH - dilation * (LENGTH // 2)
    starts = range(first, first + LENGTH * dilation, dilation)
    return np.concatenate([padded[start : start + count] for start in starts], axis=1)
