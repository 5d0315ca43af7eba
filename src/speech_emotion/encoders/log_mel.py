"""The log-mel spectrogram that Whisper models expect."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import librosa
import numpy as np
import scipy.fft

__all__ = ["MEL_HOP", "MEL_RATE", "log_mel"]

MEL_RATE: Final = 16000
"""Sample rate in Hz."""
MEL_HOP: Final = 160
"""Samples between successive frames."""
N_FFT: Final = 400
RANGE: Final = 8.0
"""Dynamic range below the largest value, in powers of ten."""
FLOOR: Final = 1e-10


@lru_cache(maxsize=4)
def _filters(n_mels: int) -> np.ndarray:
    bank = librosa.filters.mel(sr=MEL_RATE, n_fft=N_FFT, n_mels=n_mels)
    return np.ascontiguousarray(bank.T, dtype=np.float32)


@lru_cache(maxsize=1)
def _window() -> np.ndarray:
    return librosa.filters.get_window("hann", N_FFT, fftbins=True).astype(np.float32)


def log_mel(samples: np.ndarray, n_mels: int = 80) -> np.ndarray:
    """Compute the log-mel spectrogram of Whisper models.

    It equals that of ``transformers.WhisperFeatureExtractor`` for the clip's own length, without padding
    to 30 s (A. Radford et al., 2022, https://arxiv.org/abs/2212.04356, section 2.2).

    Args:
        samples: Shape ``(n_samples,)``, at 16 kHz, more than 200 samples.
        n_mels: Number of mel bands.

    Returns:
        float32 array ``(n_mels, n_samples // 160)``.

    Examples:
        >>> tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
        >>> log_mel(tone).shape
        (80, 100)
    """
    padded = np.pad(np.asarray(samples, dtype=np.float32), N_FFT // 2, mode="reflect")
    count = len(samples) // MEL_HOP
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::MEL_HOP][:count]
    spectrum = scipy.fft.rfft(frames * _window(), axis=1).view(np.float32)
    np.square(spectrum, out=spectrum)
    mel = (spectrum[:, ::2] + spectrum[:, 1::2]) @ _filters(n_mels)
    logarithm = np.log10(np.maximum(mel, FLOOR, out=mel), out=mel)
    np.maximum(logarithm, logarithm.max(initial=-10) - RANGE, out=logarithm)
    return np.ascontiguousarray(((logarithm + 4) / 4).T)
