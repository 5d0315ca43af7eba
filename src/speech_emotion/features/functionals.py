"""Functionals: statistics over time of the contours of an utterance.

Moments, percentiles, range and change of every contour, separate statistics of voiced frames, pauses
and pace, the long-term spectrum of all and of the loudest frames, and modulation spectra of bands.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Final

import numpy as np
import scipy.ndimage

from speech_emotion.features.prosody import N_BANDS, SPECTRAL_SHAPE

__all__ = ["functionals"]

N_MFCC: Final = 20
"""Number of MFCCs; higher ones vary more between speakers than between emotions."""
PERCENTILES: Final = (5, 25, 50, 75, 95)
CONTOURS: Final = (
    "rms_db",
    "harmonicity",
    "centroid",
    "bandwidth",
    "rolloff",
    "zcr",
    *SPECTRAL_SHAPE,
)
VOICED: Final = (
    "rms_db",
    "harmonicity",
    "centroid",
    "flatness",
    "slope_0_500",
    "slope_500_1500",
    "alpha_ratio",
    "hammarberg",
    "treble_ratio",
)
SPEECH_DB: Final = 25.0
"""Frames this far below the loudest one are pauses."""
LOUDEST: Final = 80
"""Percentile of the level that the loudest frames exceed."""
MODULATION_BANDS: Final = 8
MODULATION_EDGES: Final = (0.5, 2.0, 4.0, 6.0, 9.0, 14.0, 21.0)
"""Edges of modulation ranges in Hz; the syllable rate is 4 to 6 Hz."""
DELTA_WIDTH: Final = 9


def functionals(frames: dict[str, np.ndarray], frame_rate: float) -> dict[str, float]:
    """Compute functionals of the frames of one utterance.

    Args:
        frames: Result of :func:`frame_features` with prosody and at least 20 MFCCs, each array of
            shape ``(n_frames, n_coefficients)``.
        frame_rate: Frames per second.

    Returns:
        Values by name, ``feature_coefficient_statistic``; names and their order never vary.
    """
    frames = {name: _at_least(values, 2) for name, values in frames.items()}
    mfcc = frames["mfcc"][:, :N_MFCC]
    contours = np.concatenate([*(frames[name] for name in CONTOURS), mfcc], axis=1)
    names = (*CONTOURS, *_numbered("mfcc", N_MFCC))
    voiced = frames["voiced"][:, 0] > 0
    return {
        **_statistics(contours, names),
        **_voice(frames, voiced, frame_rate),
        **_pace(frames["rms_db"][:, 0], voiced, frame_rate),
        **_spread(frames["contrast"], "contrast"),
        **_spread(frames["chroma"], "chroma"),
        **_change(mfcc),
        **_spectrum(frames["bands_db"], frames["rms_db"][:, 0]),
        **_modulation(frames["bands_db"], frame_rate),
    }


def _at_least(values: np.ndarray, count: int) -> np.ndarray:
    return values if len(values) >= count else np.repeat(values[:1], count, axis=0)


@lru_cache(maxsize=64)
def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_{number:0{len(str(count - 1))}d}" for number in range(count))


@lru_cache(maxsize=128)
def _columns(names: tuple[str, ...], statistic: str) -> tuple[str, ...]:
    return tuple(f"{name}_{statistic}" for name in names)


def _named(names: tuple[str, ...], statistic: str, values: np.ndarray) -> dict[str, float]:
    return dict(zip(_columns(names, statistic), values.tolist(), strict=True))


def _statistics(contours: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    percentiles = np.percentile(contours, PERCENTILES, axis=0)
    change = np.abs(np.diff(contours, axis=0)).mean(axis=0)
    result = _named(names, "mean", contours.mean(axis=0))
    result |= _named(names, "std", contours.std(axis=0))
    for percentile, values in zip(PERCENTILES, percentiles, strict=True):
        result |= _named(names, f"p{percentile:02d}", values)
    result |= _named(names, "range", percentiles[-1] - percentiles[0])
    return result | _named(names, "change", change)


def _spread(values: np.ndarray, name: str) -> dict[str, float]:
    names = _numbered(name, values.shape[1])
    return _named(names, "mean", values.mean(axis=0)) | _named(names, "std", values.std(axis=0))


def _voice(
    frames: dict[str, np.ndarray], voiced: np.ndarray, frame_rate: float
) -> dict[str, float]:
    """Compute statistics of voiced frames; of all frames if fewer than three are voiced."""
    chosen = voiced if voiced.sum() >= 3 else np.ones_like(voiced)
    contours = np.concatenate([frames[name] for name in VOICED], axis=1)[chosen]
    result = _named(VOICED, "voiced_mean", contours.mean(axis=0))
    result |= _named(VOICED, "voiced_std", contours.std(axis=0))
    pitch = frames["pitch"][:, 0]
    result |= _statistics(pitch[chosen][:, np.newaxis], ("pitch",))
    steps = np.diff(pitch)[voiced[1:] & voiced[:-1]] * frame_rate
    result["pitch_rise"] = _mean(steps[steps > 0])
    result["pitch_fall"] = _mean(steps[steps < 0])
    result["pitch_slope"] = _trend(np.flatnonzero(chosen) / frame_rate, pitch[chosen])
    return result


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _trend(seconds: np.ndarray, values: np.ndarray) -> float:
    """Return the slope of a fitted line, per second."""
    centered = seconds - seconds.mean()
    return float(centered @ (values - values.mean()) / max(centered @ centered, 1e-9))


def _pace(level: np.ndarray, voiced: np.ndarray, frame_rate: float) -> dict[str, float]:
    seconds = len(level) / frame_rate
    speech = level > level.max() - SPEECH_DB
    is_peak = (level[1:-1] > level[:-2]) & (level[1:-1] > level[2:]) & speech[1:-1]
    return {
        "duration": seconds,
        "duration_log": float(np.log(seconds)),
        "speech_duration": speech.sum() / frame_rate,
        "speech_share": float(speech.mean()),
        "voiced_share": float(voiced.mean()),
        "voiced_rate": float((np.diff(voiced.astype(int)) == 1).sum() / seconds),
        "peak_rate": float(is_peak.sum() / seconds),
        "rms_db_slope": _trend(np.arange(len(level)) / frame_rate, level),
    }


@lru_cache(maxsize=1)
def _delta_filter() -> np.ndarray:
    """Return the filter of ``librosa.feature.delta``: the slope over :data:`DELTA_WIDTH` frames."""
    from scipy.signal import savgol_coeffs  # slow to import

    return savgol_coeffs(DELTA_WIDTH, polyorder=1, deriv=1)


def _change(mfcc: np.ndarray) -> dict[str, float]:
    """Compute statistics of the local slopes of MFCCs."""
    delta = scipy.ndimage.convolve1d(mfcc, _delta_filter(), axis=0, mode="nearest")
    names = _numbered("mfcc_delta", N_MFCC)
    return {
        **_named(names, "mean", delta.mean(axis=0)),
        **_named(names, "std", delta.std(axis=0)),
        **_named(names, "size", np.abs(delta).mean(axis=0)),
    }


def _spectrum(bands: np.ndarray, level: np.ndarray) -> dict[str, float]:
    loudest = level >= np.percentile(level, LOUDEST)
    names = _numbered("band", N_BANDS)
    return {
        **_named(names, "mean", bands.mean(axis=0)),
        **_named(names, "std", bands.std(axis=0)),
        **_named(names, "loudest", bands[loudest].mean(axis=0)),
    }


@lru_cache(maxsize=8)
def _modulation_groups(size: int, frame_rate: float) -> np.ndarray:
    """Return weights that average FFT bins over modulation ranges, shape ``(n_ranges, n_bins)``."""
    lines = np.fft.rfftfreq(size, 1 / frame_rate)
    groups = np.stack(
        [(lines >= low) & (lines < high) for low, high in itertools.pairwise(MODULATION_EDGES)]
    ).astype(np.float32)
    return groups / np.maximum(groups.sum(axis=1, keepdims=True), 1)


def _modulation(bands: np.ndarray, frame_rate: float) -> dict[str, float]:
    """Compute log modulation amplitudes of eight groups of bands by modulation frequency."""
    count = len(bands)
    grouped = bands.reshape(count, MODULATION_BANDS, -1).mean(axis=2)
    grouped = (grouped - grouped.mean(axis=0)) * np.hanning(count)[:, np.newaxis]
    size = max(256, 2 ** int(np.ceil(np.log2(count))))
    lines = np.abs(np.fft.rfft(grouped, n=size, axis=0)) / np.sqrt(count)
    values = np.log(_modulation_groups(size, frame_rate) @ lines + 1e-3)
    return dict(zip(_modulation_names(), values.ravel().tolist(), strict=True))


@lru_cache(maxsize=1)
def _modulation_names() -> tuple[str, ...]:
    return tuple(
        f"modulation_{band}_{edge:g}hz"
        for edge in MODULATION_EDGES[:-1]
        for band in range(MODULATION_BANDS)
    )
