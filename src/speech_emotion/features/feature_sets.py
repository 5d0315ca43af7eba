"""Named feature sets: statistics over time for tables, frame sequences for networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from speech_emotion.audio import HOP, check_rate, trim_silence
from speech_emotion.config import Settings
from speech_emotion.features.frames import (
    DEFAULT_N_MFCC,
    N_CHROMA,
    N_MELS,
    check_samples,
    frame_features,
)
from speech_emotion.features.functionals import N_MFCC, functionals
from speech_emotion.features.random_kernels import kernel_names, kernel_responses

__all__ = [
    "DEFAULT_FEATURE_SET",
    "FEATURE_SETS",
    "FeatureSet",
    "FeatureSettings",
    "SequenceSettings",
    "UnknownFeatureSet",
    "extract",
    "extract_features",
    "feature_names",
    "feature_set_named",
    "sequence_names",
    "sequence_shape",
]

STATISTICS: Final[dict[str, Callable[..., np.ndarray]]] = {"mean": np.mean, "std": np.std}
FrameFeature = Literal[
    "rms", "rms_db", "centroid", "bandwidth", "rolloff", "zcr", "chroma", "mfcc", "mel", "mel_db"
]

LOWEST_RATE: Final = 16000
"""Lowest rate for functionals, in Hz: they use the spectrum up to 6.4 kHz."""


class UnknownFeatureSet(ValueError):
    """Raised for a feature set that does not exist."""


@dataclass(frozen=True)
class FeatureSet:
    """Definition of the statistics of an utterance.

    Attributes:
        name: Name of the set.
        features: Frame features, in the order of the columns.
        statistics: Statistics over the frames.
        trim_db: Frames at both ends that are this far below the loudest one are trimmed; ``None``
            keeps them.
        functionals: Whether the set is that of
            :func:`speech_emotion.features.functionals.functionals` instead of features and statistics.
        kernels: Whether :func:`speech_emotion.features.random_kernels.kernel_responses` are appended.
    """

    name: str
    features: tuple[FrameFeature, ...]
    statistics: tuple[str, ...]
    trim_db: float | None
    functionals: bool = False
    kernels: bool = False


FEATURE_SETS: Final = {
    entry.name: entry
    for entry in (
        # Means over the whole clip, common in student projects on these corpora.
        FeatureSet(
            "means_184",
            ("rms", "centroid", "rolloff", "zcr", "chroma", "mfcc", "mel"),
            ("mean",),
            None,
        ),
        # Means of another student project, which uses 20 MFCCs (set n_mfcc).
        FeatureSet(
            "means_36",
            ("chroma", "centroid", "bandwidth", "rolloff", "zcr", "mfcc"),
            ("mean",),
            None,
        ),
        # Means of a third student project, which uses 20 MFCCs (set n_mfcc).
        FeatureSet(
            "means_162",
            ("zcr", "chroma", "mfcc", "rms", "mel"),
            ("mean",),
            None,
        ),
        # Means and standard deviations, levels in dB, silence trimmed, loudness kept.
        FeatureSet(
            "moments_370",
            ("rms_db", "centroid", "bandwidth", "rolloff", "zcr", "chroma", "mfcc", "mel_db"),
            ("mean", "std"),
            30.0,
        ),
        # Functionals of level, pitch, voice quality, spectral shape and MFCC contours.
        FeatureSet(
            "functionals_610",
            (),
            (),
            30.0,
            functionals=True,
        ),
        # The same functionals and responses of random convolution kernels to the contours.
        FeatureSet(
            "contours_3490",
            (),
            (),
            30.0,
            functionals=True,
            kernels=True,
        ),
    )
}
DEFAULT_FEATURE_SET: Final = "contours_3490"


class SequenceSettings(Settings):
    """Frame sequences for networks.

    Attributes:
        seconds: Length; longer utterances are truncated, shorter ones padded with zeros.
        pool: Number of neighboring frames that are averaged into one.
        features: Frame features, in the order of the channels.
    """

    seconds: float = Field(4.0, gt=0)
    pool: int = Field(2, ge=1)
    features: tuple[FrameFeature, ...] = (
        "rms_db",
        "centroid",
        "bandwidth",
        "rolloff",
        "zcr",
        "chroma",
        "mfcc",
    )


class FeatureSettings(Settings):
    """Settings of feature extraction.

    Attributes:
        sample_rate: Sample rate that recordings are resampled to, in Hz.
        feature_set: One of :data:`FEATURE_SETS`.
        n_mfcc: Number of MFCC coefficients.
        sequence: Frame sequences.
    """

    sample_rate: int = Field(22050, ge=8000)
    feature_set: str = DEFAULT_FEATURE_SET
    n_mfcc: int = Field(DEFAULT_N_MFCC, ge=1, le=N_MELS)
    sequence: SequenceSettings = SequenceSettings()

    @model_validator(mode="after")
    def _set_fits(self) -> FeatureSettings:
        check_feature_set(self.feature_set, self.sample_rate, self.n_mfcc)
        return self


def feature_set_named(name: str) -> FeatureSet:
    """Return the feature set called ``name``.

    Raises:
        UnknownFeatureSet: If there is none; the message lists the known names.
    """
    if name not in FEATURE_SETS:
        raise UnknownFeatureSet(
            f"There is no feature set {name!r}, expected one of: {', '.join(FEATURE_SETS)}"
        )
    return FEATURE_SETS[name]


def check_feature_set(name: str, sample_rate: int, n_mfcc: int) -> FeatureSet:
    """Return the feature set called ``name`` if rate and number of MFCCs suffice.

    Raises:
        UnknownFeatureSet: If there is none; the message lists the known names.
        ValueError: If functionals are requested below 16 kHz or with fewer than 20 MFCCs.
    """
    chosen = feature_set_named(name)
    check_rate(sample_rate)
    if chosen.functionals and (sample_rate < LOWEST_RATE or n_mfcc < N_MFCC):
        raise ValueError(
            f"{name} needs at least {LOWEST_RATE} Hz and {N_MFCC} MFCCs, got {sample_rate} Hz and "
            f"{n_mfcc}: raise features.sample_rate or features.n_mfcc"
        )
    return chosen


def _coefficients(feature: str, n_mfcc: int) -> list[str]:
    counts = {"chroma": N_CHROMA, "mfcc": n_mfcc, "mel": N_MELS, "mel_db": N_MELS}
    if feature not in counts:
        return [feature]
    digits = len(str(counts[feature] - 1))
    return [f"{feature}_{number:0{digits}d}" for number in range(counts[feature])]


def feature_names(
    feature_set: str = DEFAULT_FEATURE_SET, *, n_mfcc: int = DEFAULT_N_MFCC
) -> list[str]:
    """Return the column names of a feature set: ``feature_coefficient_statistic``.

    Args:
        feature_set: One of :data:`FEATURE_SETS`.
        n_mfcc: Number of MFCC coefficients.

    Raises:
        UnknownFeatureSet: If there is none; the message lists the known names.

    Examples:
        >>> len(feature_names("contours_3490"))
        3490
        >>> feature_names("means_184")[:3]
        ['rms_mean', 'centroid_mean', 'rolloff_mean']
    """
    chosen = feature_set_named(feature_set)
    if chosen.functionals:
        return [*_functional_names(), *(kernel_names() if chosen.kernels else ())]
    return [
        f"{coefficient}_{statistic}"
        for statistic in chosen.statistics
        for feature in chosen.features
        for coefficient in _coefficients(feature, n_mfcc)
    ]


@lru_cache(maxsize=8)
def _index(feature_set: str, n_mfcc: int) -> pd.Index:
    return pd.Index(feature_names(feature_set, n_mfcc=n_mfcc))


@lru_cache(maxsize=1)
def _functional_names() -> tuple[str, ...]:
    """Return the names of functionals, which are the same for every recording."""
    rate = 22050
    tone = np.sin(np.arange(rate, dtype=np.float32))
    return tuple(functionals(frame_features(tone, rate, prosody=True), rate / HOP))


def sequence_names(settings: SequenceSettings, *, n_mfcc: int = DEFAULT_N_MFCC) -> list[str]:
    """Return the channel names of a frame sequence."""
    return [name for feature in settings.features for name in _coefficients(feature, n_mfcc)]


def sequence_shape(settings: FeatureSettings) -> tuple[int, int]:
    """Return the shape of a frame sequence, ``(n_frames, n_channels)``."""
    sequence = settings.sequence
    frames = round(sequence.seconds * settings.sample_rate / (HOP * sequence.pool))
    return max(frames, 1), len(sequence_names(sequence, n_mfcc=settings.n_mfcc))


def extract_features(
    samples: np.ndarray,
    sample_rate: int,
    feature_set: str = DEFAULT_FEATURE_SET,
    *,
    n_mfcc: int = DEFAULT_N_MFCC,
) -> pd.Series:
    """Compute statistics over the frames of an utterance.

    Args:
        samples: Shape ``(n_samples,)``.
        sample_rate: Rate in Hz.
        feature_set: One of :data:`FEATURE_SETS`.
        n_mfcc: Number of MFCC coefficients.

    Returns:
        float32 values, indexed by :func:`feature_names`.

    Raises:
        AudioError: If the samples are silent, too short, too large, not finite or not one-dimensional.
        UnknownFeatureSet: If there is none; the message lists the known names.
        ValueError: If functionals are requested below 16 kHz or with fewer than 20 MFCCs.

    Examples:
        >>> import numpy as np
        >>> tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> features = extract_features(tone, 22050, "moments_370")
        >>> features.shape
        (370,)
        >>> features.filter(regex="chroma_.*_mean").idxmax()  # pitch class A
        'chroma_09_mean'
    """
    chosen = check_feature_set(feature_set, sample_rate, n_mfcc)
    frames = _frames(samples, sample_rate, chosen, n_mfcc)
    return _summary(frames, sample_rate, chosen, n_mfcc)


def extract(
    samples: np.ndarray, sample_rate: int, *, settings: FeatureSettings
) -> tuple[pd.Series, np.ndarray]:
    """Compute statistics and the frame sequence of an utterance from one spectrogram.

    Args:
        samples: Shape ``(n_samples,)``.
        sample_rate: Rate in Hz; features depend on it.
        settings: Feature set and frame sequence.

    Returns:
        The statistics, as :func:`extract_features` returns them, and the float32 sequence of shape
        :func:`sequence_shape`.

    Raises:
        AudioError: If the samples are silent, too short, too large, not finite or not one-dimensional.
    """
    chosen = feature_set_named(settings.feature_set)
    frames = _frames(samples, sample_rate, chosen, settings.n_mfcc)
    summary = _summary(frames, sample_rate, chosen, settings.n_mfcc)
    return summary, _sequence(frames, settings)


def _frames(
    samples: np.ndarray, sample_rate: int, chosen: FeatureSet, n_mfcc: int
) -> dict[str, np.ndarray]:
    samples = check_samples(samples, sample_rate)
    if chosen.trim_db is not None:
        samples = trim_silence(samples, chosen.trim_db)
    return frame_features(samples, sample_rate, n_mfcc=n_mfcc, prosody=chosen.functionals)


def _summary(
    frames: dict[str, np.ndarray], sample_rate: int, chosen: FeatureSet, n_mfcc: int
) -> pd.Series:
    if chosen.functionals:
        values = [np.fromiter(functionals(frames, sample_rate / HOP).values(), np.float32)]
        if chosen.kernels:
            values.append(kernel_responses(frames))
        return pd.Series(np.concatenate(values), index=_index(chosen.name, n_mfcc))
    table = np.concatenate([frames[feature] for feature in chosen.features], axis=1)
    values = [STATISTICS[name](table, axis=0, dtype=np.float64) for name in chosen.statistics]
    return pd.Series(np.concatenate(values).astype(np.float32), index=_index(chosen.name, n_mfcc))


def _sequence(frames: dict[str, np.ndarray], settings: FeatureSettings) -> np.ndarray:
    n_frames, n_channels = sequence_shape(settings)
    pool = settings.sequence.pool
    table = np.concatenate([frames[name] for name in settings.sequence.features], axis=1)
    table = table[: n_frames * pool]
    starts = np.arange(0, len(table), pool)
    pooled = np.add.reduceat(table, starts, axis=0)
    pooled /= np.diff(np.append(starts, len(table)))[:, np.newaxis]
    sequence = np.zeros((n_frames, n_channels), dtype=np.float32)
    sequence[: len(pooled)] = pooled
    return sequence
