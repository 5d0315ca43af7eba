"""Voice and spectral shape, frame by frame, from a spectrogram that is already there.

Pitch and harmonicity follow P. Boersma, *Accurate short-term analysis of the fundamental frequency
and the harmonics-to-noise ratio of a sampled sound*, IFA Proceedings 17, 1993: the autocorrelation of
a windowed frame, divided by that of the window. It is the inverse transform of the power spectrum,
which costs as much as the spectrogram itself and a hundredth of probabilistic methods. Spectral
balance follows F. Eyben et al., *The Geneva Minimalistic Acoustic Parameter Set*, IEEE TAC 7, 2016.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import librosa
import numpy as np
import scipy.fft
import scipy.ndimage

__all__ = ["N_BANDS", "PROSODY", "SPECTRAL_SHAPE", "prosody_features"]

N_BANDS: Final = 40
PITCH_RANGE: Final = (65.0, 600.0)
"""Hz; from low male to excited female voices."""
OCTAVE_COST: Final = 0.03
"""Harmonicity that a pitch one octave higher may lack and still be taken."""
VOICING: Final = 0.5
"""Harmonicity from which a frame is voiced."""
VOICED_DB: Final = 30.0
"""Frames so far below the loudest one are never voiced."""
POWER_FLOOR: Final = 1e-10

SPECTRAL_SHAPE: Final = (
    "flatness",
    "flux",
    "slope_0_500",
    "slope_500_1500",
    "slope_0_5000",
    "alpha_ratio",
    "hammarberg",
    "treble_ratio",
)
PROSODY: Final = ("pitch", "voiced", "harmonicity", *SPECTRAL_SHAPE, "contrast", "bands_db")


@lru_cache(maxsize=8)
def _window_autocorrelation(window: int) -> np.ndarray:
    hann = librosa.filters.get_window("hann", window, fftbins=True)
    values = scipy.fft.irfft(np.abs(scipy.fft.rfft(hann)) ** 2)
    return (values / values[0]).astype(np.float32)


@lru_cache(maxsize=8)
def _band_bank(sample_rate: int, window: int) -> np.ndarray:
    top = min(8000.0, sample_rate / 2)
    bank = librosa.filters.mel(sr=sample_rate, n_fft=window, n_mels=N_BANDS, fmin=50.0, fmax=top)
    return np.ascontiguousarray(bank.T)


def _pitch(power: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in semitones above 27.5 Hz and harmonicity (0 to 1) of each frame."""
    window = 2 * (power.shape[1] - 1)
    shortest = int(sample_rate / PITCH_RANGE[1])
    longest = int(sample_rate / PITCH_RANGE[0])
    correlation = scipy.fft.irfft(power, axis=1)[:, : longest + 2]
    correlation /= np.maximum(correlation[:, :1], POWER_FLOOR)
    correlation /= _window_autocorrelation(window)[: longest + 2]
    lags = np.arange(shortest, longest + 1)
    before = correlation[:, shortest - 1 : longest]
    here = correlation[:, shortest : longest + 1]
    after = correlation[:, shortest + 1 : longest + 2]
    is_peak = (here >= before) & (here > after)
    cost = (OCTAVE_COST * np.log2(lags / shortest)).astype(np.float32)
    best = np.where(is_peak, here - cost, -1.0).argmax(axis=1)[:, np.newaxis]
    left, top, right = (
        np.take_along_axis(part, best, axis=1)[:, 0] for part in (before, here, after)
    )
    # The peak of the parabola through three points.
    curvature = np.minimum(left - 2 * top + right, -1e-6)
    offset = np.clip(0.5 * (left - right) / curvature, -0.5, 0.5)
    frequency = sample_rate / (lags[best[:, 0]] + offset)
    return librosa.hz_to_midi(frequency) - librosa.hz_to_midi(27.5), np.clip(top, 1e-3, 0.9999)


def _slope(level: np.ndarray, frequencies: np.ndarray, low: float, high: float) -> np.ndarray:
    """Slope of a straight line through the spectrum between two frequencies, in dB a kHz."""
    inside = (frequencies >= low) & (frequencies < high)
    centred = frequencies[inside] - frequencies[inside].mean()
    return level[:, inside] @ (1000 * centred / (centred @ centred))


def _level(power: np.ndarray, frequencies: np.ndarray, low: float, high: float) -> np.ndarray:
    """Level between two frequencies, in dB."""
    inside = (frequencies >= low) & (frequencies < high)
    return 10 * np.log10(np.maximum(power[:, inside].sum(axis=1), POWER_FLOOR))


def _peak(level: np.ndarray, frequencies: np.ndarray, low: float, high: float) -> np.ndarray:
    return level[:, (frequencies >= low) & (frequencies < high)].max(axis=1)


def prosody_features(
    power: np.ndarray, rms_db: np.ndarray, sample_rate: int
) -> dict[str, np.ndarray]:
    """Describe voice and spectral shape of every frame.

    Args:
        power: Power spectrogram, shape ``(n_frames, n_bins)``, of Hann-windowed frames.
        rms_db: Level of each frame in dB, shape ``(n_frames,)``.
        sample_rate: Rate in Hz, 16 kHz or more for all of it to have a meaning.

    Returns:
        For each of :data:`PROSODY` an array ``(n_frames,)`` or ``(n_frames, n_coefficients)``:
        ``pitch`` in semitones above 27.5 Hz, meaningful where ``voiced`` is 1; ``harmonicity`` and
        ratios in dB; slopes in dB a kHz; ``flux`` between 0 and the square root of 2.
    """
    window = 2 * (power.shape[1] - 1)
    frequencies = np.fft.rfftfreq(window, 1 / sample_rate).astype(np.float32)
    nyquist = sample_rate / 2 + 1
    pitch, harmonic = _pitch(power, sample_rate)
    voiced = (harmonic > VOICING) & (rms_db > rms_db.max() - VOICED_DB)
    floored = np.maximum(power, POWER_FLOOR)
    level = 10 * np.log10(floored)
    magnitude = np.sqrt(power)
    share = magnitude / np.maximum(magnitude.sum(axis=1, keepdims=True), POWER_FLOOR)
    flux = np.zeros(len(power), dtype=np.float32)
    flux[1:] = np.sqrt((np.diff(share, axis=0) ** 2).sum(axis=1))
    bands = 10 * np.log10(np.maximum(power @ _band_bank(sample_rate, window), POWER_FLOOR))
    return {
        "pitch": scipy.ndimage.median_filter(pitch, 3),
        "voiced": voiced.astype(np.float32),
        "harmonicity": 10 * np.log10(harmonic / (1 - harmonic)),
        "flatness": level.mean(axis=1) - 10 * np.log10(floored.mean(axis=1)),
        "flux": flux,
        "slope_0_500": _slope(level, frequencies, 30, 500),
        "slope_500_1500": _slope(level, frequencies, 500, 1500),
        "slope_0_5000": _slope(level, frequencies, 0, 5000),
        "alpha_ratio": _level(power, frequencies, 50, 1000)
        - _level(power, frequencies, 1000, 5000),
        "hammarberg": _peak(level, frequencies, 0, 2000) - _peak(level, frequencies, 2000, 5000),
        "treble_ratio": _level(power, frequencies, 5000, nyquist)
        - _level(power, frequencies, 50, 5000),
        "contrast": librosa.feature.spectral_contrast(
            S=magnitude.T, sr=sample_rate, n_fft=window
        ).T,
        "bands_db": np.maximum(bands, bands.max() - 80),
    }
