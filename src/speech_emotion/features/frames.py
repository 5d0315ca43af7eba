"""Frame features from one spectrogram; each equals librosa's function of the same name.

Filter banks are cached, arithmetic is float32, and frames are processed in blocks whose spectra fit the
processor's cache, so memory does not grow with spectra of long recordings. Chroma assumes concert pitch
(``tuning=0``), because estimating the tuning costs more than everything else together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import librosa
import numpy as np
import scipy.fft

from speech_emotion.audio import HOP, SILENCE, WINDOW, AudioError, check_rate
from speech_emotion.features.prosody import (
    PROSODY,
    block_prosody,
    fft_frequencies,
    settle_prosody,
)

__all__ = [
    "DEFAULT_N_MFCC",
    "FRAME_FEATURES",
    "check_samples",
    "frame_features",
]

BLOCK: Final = 64
"""Frames per block."""
N_MELS: Final = 128
MEL_GROUPS: Final = 4
N_CHROMA: Final = 12
DEFAULT_N_MFCC: Final = 40
SHORTEST_S: Final = 0.05
"""Duration of the shortest accepted recording, in seconds."""
LOUDEST: Final = 1e6
"""Largest accepted peak amplitude; the power of larger ones nears the limit of float32."""

FRAME_FEATURES: Final = (
    "rms",
    "rms_db",
    "centroid",
    "bandwidth",
    "rolloff",
    "zcr",
    "chroma",
    "mfcc",
    "mel",
    "mel_db",
)


def check_samples(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return ``samples`` as float32 if features can be computed from them.

    Raises:
        AudioError: If they are not one-dimensional, too short, silent, too large or not finite.
        ValueError: If ``sample_rate`` is not positive and finite.
    """
    check_rate(sample_rate)
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1:
        raise AudioError("samples", f"have shape {samples.shape}; average the channels first")
    if len(samples) < SHORTEST_S * sample_rate:
        seconds = len(samples) / sample_rate
        raise AudioError(
            "samples", f"{seconds:.3f} s are too short; at least {SHORTEST_S} s are needed"
        )
    if not np.isfinite(samples).all():
        raise AudioError("samples", "contain NaN or infinite values")
    peak = float(np.abs(samples).max())
    if peak < SILENCE:
        raise AudioError("samples", f"silent: no sample exceeds {SILENCE:g}")
    if peak > LOUDEST:
        raise AudioError("samples", f"reach {peak:.3g}; divide them so that full scale is 1")
    return samples


def _framed(samples: np.ndarray) -> np.ndarray:
    """Return a view of centered frames, shape ``(n_frames, WINDOW)``."""
    padded = np.pad(samples, WINDOW // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]


def _rms(frames: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", frames, frames) / WINDOW)


@lru_cache(maxsize=8)
def _mel_banks(sample_rate: int) -> tuple[tuple[slice, np.ndarray], ...]:
    """Return mel filters in groups with the bins of each, because most of a filter bank is zeros."""
    bank = librosa.filters.mel(sr=sample_rate, n_fft=WINDOW, n_mels=N_MELS)
    groups = []
    for filters in np.split(bank, MEL_GROUPS):
        used = np.flatnonzero(filters.any(axis=0))
        bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
        groups.append((bins, np.ascontiguousarray(filters[:, bins].T)))
    return tuple(groups)


@lru_cache(maxsize=8)
def _chroma_bank(sample_rate: int) -> np.ndarray:
    bank = librosa.filters.chroma(sr=sample_rate, n_fft=WINDOW, tuning=0.0, n_chroma=N_CHROMA)
    return np.ascontiguousarray(bank.T.astype(np.float32))


@lru_cache(maxsize=1)
def _hann() -> np.ndarray:
    return librosa.filters.get_window("hann", WINDOW, fftbins=True).astype(np.float32)


def _crossings(samples: np.ndarray) -> np.ndarray:
    """Return zero-crossing rates, computed as differences of one cumulative count."""
    padded = np.pad(samples, WINDOW // 2, mode="edge")
    padded[np.abs(padded) <= 1e-10] = 0
    negative = np.signbit(padded)
    count = np.concatenate([[0], np.cumsum(negative[1:] != negative[:-1])])
    starts = np.arange(0, len(padded) - WINDOW + 1, HOP)
    return ((count[starts + WINDOW - 1] - count[starts]) / WINDOW).astype(np.float32)


def _shape(magnitude: np.ndarray, frequencies: np.ndarray) -> dict[str, np.ndarray]:
    """Return centroid, bandwidth and roll-off in Hz of magnitudes ``(n_frames, n_bins)``."""
    total = magnitude.sum(axis=1)
    safe = np.maximum(total, np.finfo(np.float32).tiny)
    centroid = magnitude @ frequencies / safe
    deviation = frequencies - centroid[:, np.newaxis]
    deviation *= deviation
    variance = np.einsum("ij,ij->i", magnitude, deviation) / safe
    running = np.cumsum(magnitude, axis=1)
    rolloff = frequencies[(running >= 0.85 * running[:, -1:]).argmax(axis=1)]
    return {"centroid": centroid, "bandwidth": np.sqrt(variance), "rolloff": rolloff}


def frame_features(
    samples: np.ndarray, sample_rate: int, *, n_mfcc: int = DEFAULT_N_MFCC, prosody: bool = False
) -> dict[str, np.ndarray]:
    """Compute the features of every frame.

    Args:
        samples: Shape ``(n_samples,)``.
        sample_rate: Rate in Hz.
        n_mfcc: Number of MFCC coefficients.
        prosody: Whether to compute :data:`PROSODY`, too.

    Returns:
        A float32 array ``(n_frames, n_coefficients)`` by name, for each of :data:`FRAME_FEATURES` and,
        if requested, :data:`PROSODY`: frequencies in Hz, ``rms`` relative to full scale, ``*_db`` in
        dB relative to full scale, ``mel`` in power.
    """
    frames = _framed(samples)
    # Each block starts with the last frame of the previous one, which flux needs.
    blocks = [
        (_spectral(frames[max(start - 1, 0) : start + BLOCK], sample_rate, prosody), min(start, 1))
        for start in range(0, len(frames), BLOCK)
    ]
    features = {
        name: np.concatenate([block[name][first:] for block, first in blocks])
        for name in blocks[0][0]
    }
    mel_db = librosa.power_to_db(features["mel"])
    features |= {
        "rms_db": librosa.amplitude_to_db(features["rms"], amin=1e-5, top_db=None),
        "zcr": _crossings(samples),
        "mfcc": scipy.fft.dct(mel_db, type=2, norm="ortho", axis=1)[:, :n_mfcc],
        "mel_db": mel_db,
    }
    names: tuple[str, ...] = FRAME_FEATURES
    if prosody:
        features |= settle_prosody(features)
        names += PROSODY
    return {name: features[name].reshape(len(features[name]), -1) for name in names}


def _spectral(frames: np.ndarray, sample_rate: int, prosody: bool) -> dict[str, np.ndarray]:
    """Compute the features that depend on single frames."""
    spectrum = scipy.fft.rfft(frames * _hann(), axis=1)
    squares = spectrum.view(np.float32)
    np.square(squares, out=squares)
    power = squares[:, ::2] + squares[:, 1::2]
    magnitude = np.sqrt(power)
    mel = np.concatenate([power[:, bins] @ bank for bins, bank in _mel_banks(sample_rate)], axis=1)
    chroma = power @ _chroma_bank(sample_rate)
    largest = chroma.max(axis=1, keepdims=True)
    features = {
        "rms": _rms(frames),
        **_shape(magnitude, fft_frequencies(sample_rate, WINDOW)),
        "chroma": chroma / np.where(largest > np.finfo(np.float32).tiny, largest, 1),
        "mel": mel,
    }
    return features | (block_prosody(power, magnitude, sample_rate) if prosody else {})
