"""Prosody: pitch, voicing and spectral shape of every frame, from a power spectrogram.

Pitch and harmonicity follow P. Boersma, *Accurate short-term analysis of the fundamental frequency
and the harmonics-to-noise ratio of a sampled sound*, IFA Proceedings 17, 1993: the autocorrelation of
a windowed frame, divided by that of the window. The autocorrelation is the inverse FFT of the power
spectrum, so it costs as much as the spectrogram and a hundredth of probabilistic methods. Spectral
balance follows F. Eyben et al., *The Geneva Minimalistic Acoustic Parameter Set*, IEEE TAC 7, 2016.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Final

import librosa
import numpy as np
import scipy.fft
import scipy.ndimage

__all__ = [
    "N_BANDS",
    "PROSODY",
    "SPECTRAL_SHAPE",
    "block_prosody",
    "fft_frequencies",
    "settle_prosody",
]

N_BANDS: Final = 40
PITCH_RANGE: Final = (65.0, 600.0)
"""Hz, from low male to excited female voices."""
OCTAVE_COST: Final = 0.03
"""Harmonicity by which a candidate an octave lower must exceed the higher one."""
VOICING: Final = 0.5
"""Smallest harmonicity of a voiced frame."""
VOICED_DB: Final = 30.0
"""Frames this far below the loudest one are never voiced."""
POWER_FLOOR: Final = 1e-10
SLOPES: Final = {
    "slope_0_500": (30.0, 500.0),
    "slope_500_1500": (500.0, 1500.0),
    "slope_0_5000": (0.0, 5000.0),
}
"""Frequency ranges of spectral slopes, in Hz."""
RANGES: Final = ((50.0, 1000.0), (1000.0, 5000.0), (5000.0, np.inf), (50.0, 5000.0))
"""Frequency ranges whose levels are compared, in Hz."""
PEAKS: Final = ((0.0, 2000.0), (2000.0, 5000.0))
"""Frequency ranges whose peaks are compared, in Hz."""
LOWEST_OCTAVE: Final = 200.0
N_OCTAVES: Final = 6
QUANTILE: Final = 0.02
"""Share of an octave's bins that form its peak, and its valley."""

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
def fft_frequencies(sample_rate: int, window: int) -> np.ndarray:
    """Return the center frequencies of FFT bins in Hz, float32."""
    return np.fft.rfftfreq(window, 1 / sample_rate).astype(np.float32)


@lru_cache(maxsize=64)
def _bins(sample_rate: int, window: int, low: float, high: float) -> slice:
    """Return the bins from ``low`` up to, but not including, ``high``."""
    first, last = np.searchsorted(fft_frequencies(sample_rate, window), (low, high))
    return slice(int(first), int(last))


@lru_cache(maxsize=8)
def _power_bank(sample_rate: int, window: int) -> np.ndarray:
    """Return filters of :data:`N_BANDS` bands, then of sums over :data:`RANGES`."""
    top = min(8000.0, sample_rate / 2)
    bank = librosa.filters.mel(sr=sample_rate, n_fft=window, n_mels=N_BANDS, fmin=50.0, fmax=top)
    sums = np.zeros((len(RANGES), bank.shape[1]))
    for row, (low, high) in zip(sums, RANGES, strict=True):
        row[_bins(sample_rate, window, low, high)] = 1
    return np.ascontiguousarray(np.concatenate([bank, sums]).T, dtype=np.float32)


@lru_cache(maxsize=8)
def _slope_bank(sample_rate: int, window: int) -> np.ndarray:
    """Return weights of the mean of a dB spectrum and of its :data:`SLOPES`, in dB per kHz."""
    frequencies = fft_frequencies(sample_rate, window)
    bank = np.zeros((1 + len(SLOPES), len(frequencies)), dtype=np.float32)
    bank[0] = 1 / len(frequencies)
    for row, (low, high) in zip(bank[1:], SLOPES.values(), strict=True):
        inside = _bins(sample_rate, window, low, high)
        centered = frequencies[inside] - frequencies[inside].mean()
        row[inside] = 1000 * centered / (centered @ centered)
    return np.ascontiguousarray(bank.T)


@lru_cache(maxsize=8)
def _octaves(sample_rate: int, window: int) -> tuple[tuple[slice, int], ...]:
    """Return the bins of each octave of the contrast and the size of its peak and valley.

    As in ``librosa.feature.spectral_contrast``, an octave starts one bin below its lower edge.
    """
    frequencies = np.fft.rfftfreq(window, 1 / sample_rate)
    edges = [0.0, *(LOWEST_OCTAVE * 2.0**number for number in range(N_OCTAVES + 1))]
    octaves = []
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
        first, last = int(inside[0]) - (number > 0), int(inside[-1]) + 1
        if number == N_OCTAVES:
            last = len(frequencies)
        count = max(round(QUANTILE * (last - first)), 1)
        octaves.append((slice(first, last - (number < N_OCTAVES)), count))
    return tuple(octaves)


def _pitch(power: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pitch in semitones above 27.5 Hz and harmonicity (0 to 1) of each frame."""
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
        np.take_along_axis(values, best, axis=1)[:, 0] for values in (before, here, after)
    )
    # Vertex of the parabola through three points.
    curvature = np.minimum(left - 2 * top + right, -1e-6)
    offset = np.clip(0.5 * (left - right) / curvature, -0.5, 0.5)
    frequency = sample_rate / (lags[best[:, 0]] + offset)
    return librosa.hz_to_midi(frequency) - librosa.hz_to_midi(27.5), np.clip(top, 1e-3, 0.9999)


def _peaks_and_valleys(magnitude: np.ndarray, sample_rate: int, window: int) -> np.ndarray:
    """Return means of the largest, then of the smallest magnitudes of each octave."""
    peaks, valleys = [], []
    for inside, count in _octaves(sample_rate, window):
        ordered = np.sort(magnitude[:, inside], axis=1)
        peaks.append(ordered[:, -count:].sum(axis=1) / count)
        valleys.append(ordered[:, :count].sum(axis=1) / count)
    return np.stack(peaks + valleys, axis=1)


def _flux(magnitude: np.ndarray) -> np.ndarray:
    share = magnitude / np.maximum(magnitude.sum(axis=1, keepdims=True), POWER_FLOOR)
    step = np.diff(share, axis=0, prepend=share[:1])
    return np.sqrt(np.einsum("ij,ij->i", step, step))


def _decibels(floored: np.ndarray) -> np.ndarray:
    # The natural logarithm is four times as fast as log10.
    level = np.log(floored)
    level *= 10 / np.log(10)
    return level


def block_prosody(
    power: np.ndarray, magnitude: np.ndarray, sample_rate: int
) -> dict[str, np.ndarray]:
    """Compute prosody that depends on single frames and their predecessors.

    Args:
        power: Power spectrogram, shape ``(n_frames, n_bins)``, of Hann-windowed frames.
        magnitude: Its square root.
        sample_rate: Rate in Hz; some results are meaningless below 16 kHz.

    Returns:
        Arrays ``(n_frames,)`` or ``(n_frames, n_coefficients)`` for :func:`settle_prosody`.
    """
    window = 2 * (power.shape[1] - 1)
    pitch, harmonic = _pitch(power, sample_rate)
    floored = np.maximum(power, POWER_FLOOR)
    level = _decibels(floored)
    mean, *slopes = (level @ _slope_bank(sample_rate, window)).T
    bands = _decibels(np.maximum(power @ _power_bank(sample_rate, window), POWER_FLOOR))
    low, high, treble, broad = bands[:, N_BANDS:].T
    bass_peak, treble_peak = (
        level[:, _bins(sample_rate, window, *edges)].max(axis=1) for edges in PEAKS
    )
    return {
        "pitch": pitch,
        "harmonic": harmonic,
        "flatness": mean - _decibels(floored.mean(axis=1)),
        "flux": _flux(magnitude),
        **dict(zip(SLOPES, slopes, strict=True)),
        "alpha_ratio": low - high,
        "hammarberg": bass_peak - treble_peak,
        "treble_ratio": treble - broad,
        "octaves": _peaks_and_valleys(magnitude, sample_rate, window),
        "bands_db": bands[:, :N_BANDS],
    }


def settle_prosody(frames: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute prosody that depends on the whole utterance: voicing and noise floors.

    Args:
        frames: Results of :func:`block_prosody` for all frames, and ``rms_db``.

    Returns:
        An array ``(n_frames,)`` or ``(n_frames, n_coefficients)`` for each of :data:`PROSODY`:
        ``pitch`` in semitones above 27.5 Hz, meaningful where ``voiced`` is 1; ``harmonicity`` and
        ratios in dB; slopes in dB per kHz; ``flux`` between 0 and the square root of 2.
    """
    harmonic, level, bands = (frames[name] for name in ("harmonic", "rms_db", "bands_db"))
    voiced = (harmonic > VOICING) & (level > level.max() - VOICED_DB)
    peaks, valleys = np.split(frames["octaves"], 2, axis=1)
    return {
        "pitch": scipy.ndimage.median_filter(frames["pitch"], 3),
        "voiced": voiced.astype(np.float32),
        "harmonicity": 10 * np.log10(harmonic / (1 - harmonic)),
        "contrast": librosa.power_to_db(peaks) - librosa.power_to_db(valleys),
        "bands_db": np.maximum(bands, bands.max() - 80),
    }
