"""What is no speech that a model could judge: noise, overdriven sound, music and signal tones."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import scipy.fft

if TYPE_CHECKING:
    from speech_emotion.call_scoring.settings import QualitySettings
    from speech_emotion.call_scoring.windows import Window

__all__ = ["CLIPPED", "MUSIC", "NOISY", "out_of_domain_reason", "tonality"]

NOISY: Final = "too noisy"
CLIPPED: Final = "clipped"
MUSIC: Final = "music or tones"
SPECTRUM_S: Final = 0.18
"""Seconds of a spectrum: fine enough to tell neighbouring notes apart, and longer than a voice holds
its pitch."""
TONE_BAND: Final = (120.0, 3400.0)
STEADY: Final = 0.5
"""Similarity of two spectra's peaks from which they hold the same tones."""


def out_of_domain_reason(window: Window, settings: QualitySettings) -> str:
    """Say why a window is not judged; empty if it is."""
    if window.tonal >= settings.max_tonal:
        return MUSIC
    if window.clipped >= settings.max_clipped:
        return CLIPPED
    if window.snr_db < settings.min_snr_db:
        return NOISY
    return ""


@lru_cache(maxsize=8)
def _spectra(sample_rate: int) -> tuple[np.ndarray, slice]:
    length = 2 ** round(np.log2(SPECTRUM_S * sample_rate))
    lines = np.fft.rfftfreq(length, 1 / sample_rate)
    first, last = np.searchsorted(lines, TONE_BAND)
    return np.hanning(length).astype(np.float32), slice(int(first), int(last))


def tonality(samples: np.ndarray, sample_rate: int) -> float:
    """Share of a sound in which the same tones sound on, between 0 and 1.

    The peaks of neighbouring spectra are compared: those of chords and signal tones stay where they
    are, those of a voice move with its pitch, and those of noise come and go.

    Args:
        samples: Shape ``(n_samples,)``.
        sample_rate: Rate in Hz.
    """
    window, band = _spectra(sample_rate)
    frames = samples[: len(samples) // len(window) * len(window)].reshape(-1, len(window))
    if len(frames) < 2:
        return 0.0
    magnitude = np.abs(scipy.fft.rfft(frames * window, axis=1))[:, band]
    inside = magnitude[:, 1:-1]
    is_peak = (inside > magnitude[:, :-2]) & (inside >= magnitude[:, 2:])
    peaks = np.where(is_peak, inside, 0)
    size = np.sqrt((peaks**2).sum(axis=1))
    peaks = peaks / np.maximum(size, 1e-9)[:, np.newaxis]
    alike = (peaks[1:] * peaks[:-1]).sum(axis=1)
    return float((alike > STEADY).mean())
