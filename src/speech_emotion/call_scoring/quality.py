"""Quality checks: windows with noise, clipping, music or signal tones are out of domain."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import scipy.fft

from speech_emotion.call_scoring.settings import QualitySettings

__all__ = ["CLIPPED", "MUSIC", "NOISY", "bandwidth", "out_of_domain_reason", "tonality"]

NOISY: Final = "too noisy"
CLIPPED: Final = "clipped"
MUSIC: Final = "music or tones"
SPECTRUM_S: Final = 0.18
"""Seconds of a spectrum: resolves neighboring notes, and is longer than a voice holds its pitch."""
TONE_BAND_HZ: Final = (120.0, 3400.0)
POWER_SHARE: Final = 0.99
"""Share of the power that the bandwidth of a window contains."""
STEADY: Final = 0.5
"""Cosine similarity of the peaks of two spectra from which they contain the same tones."""


def out_of_domain_reason(
    settings: QualitySettings, *, snr_db: float, clipped: float, tonal: float
) -> str:
    """Return why a window is out of domain; an empty string if it can be scored.

    Args:
        settings: Limits.
        snr_db: Signal-to-noise ratio in dB.
        clipped: Share of samples at full scale.
        tonal: Result of :func:`tonality`.

    Example:
        >>> out_of_domain_reason(QualitySettings(), snr_db=3.0, clipped=0.0, tonal=0.1)
        'too noisy'
    """
    if tonal >= settings.max_tonal:
        return MUSIC
    if clipped >= settings.max_clipped:
        return CLIPPED
    if snr_db < settings.min_snr_db:
        return NOISY
    return ""


@lru_cache(maxsize=8)
def _window_and_band(sample_rate: int) -> tuple[np.ndarray, slice]:
    length = 2 ** round(np.log2(SPECTRUM_S * sample_rate))
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate)
    first, last = np.searchsorted(frequencies, TONE_BAND_HZ)
    return np.hanning(length).astype(np.float32), slice(int(first), int(last))


def bandwidth(samples: np.ndarray, sample_rate: int) -> float:
    """Compute the frequency in Hz below which 99 % of the power of a sound lies; 0 if it is silent.

    Args:
        samples: Shape ``(n_samples,)``.
        sample_rate: Rate in Hz.

    Example:
        >>> import numpy as np
        >>> times = np.arange(16000) / 16000
        >>> bandwidth(np.sin(2 * np.pi * 440 * times), 16000)
        440.0
    """
    power = np.abs(scipy.fft.rfft(samples)) ** 2
    running = np.cumsum(power, dtype=np.float64)
    if not len(running) or running[-1] == 0:
        return 0.0
    highest = int(np.searchsorted(running, POWER_SHARE * running[-1]))
    return float(highest * sample_rate / len(samples))


def tonality(samples: np.ndarray, sample_rate: int) -> float:
    """Compute the share of a sound in which tones continue, between 0 and 1.

    Spectral peaks of consecutive frames are compared. Peaks of chords and signal tones stay in place,
    those of a voice move with its pitch, and those of noise are random.

    Args:
        samples: Shape ``(n_samples,)``.
        sample_rate: Rate in Hz.

    Example:
        >>> import numpy as np
        >>> times = np.arange(16000) / 16000
        >>> tonality(np.sin(2 * np.pi * 440 * times), 16000)
        1.0
    """
    window, band = _window_and_band(sample_rate)
    frames = samples[: len(samples) // len(window) * len(window)].reshape(-1, len(window))
    if len(frames) < 2:
        return 0.0
    magnitude = np.abs(scipy.fft.rfft(frames * window, axis=1))[:, band]
    inner = magnitude[:, 1:-1]
    is_peak = (inner > magnitude[:, :-2]) & (inner >= magnitude[:, 2:])
    peaks = np.where(is_peak, inner, 0)
    norm = np.sqrt((peaks**2).sum(axis=1))
    peaks = peaks / np.maximum(norm, 1e-9)[:, np.newaxis]
    similarity = (peaks[1:] * peaks[:-1]).sum(axis=1)
    return float((similarity > STEADY).mean())
