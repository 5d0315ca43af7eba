"""Named feature sets: statistics over time for tables, frame sequences for convolutions."""

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
from speech_emotion.features.frames import N_CHROMA, N_MELS, check_samples, frame_features
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
"""Hz that functionals need: they look at the spectrum up to 6.4 kHz."""


class UnknownFeatureSet(ValueError):
    """A feature set was named that does not exist."""


@dataclass(frozen=True)
class FeatureSet:
    """What is computed from an utterance for models that read tables.

    Attributes:
        name: Name of the set.
        features: Frame features, in the order of the columns.
        statistics: Statistics over the frames.
        trim_db: Silence so far below the loudest frame is cut from both ends; ``None`` keeps it.
        source: Where the set comes from.
        functionals: Whether the set is what :func:`speech_emotion.features.functionals.functionals`
            gives, in the place of features and statistics.
        kernels: Whether the responses of :func:`speech_emotion.features.random_kernels.kernel_responses`
            follow.
    """

    name: str
    features: tuple[FrameFeature, ...]
    statistics: tuple[str, ...]
    trim_db: float | None
    source: str
    functionals: bool = False
    kernels: bool = False


FEATURE_SETS: Final = {
    entry.name: entry
    for entry in (
        FeatureSet(
            "means_184",
            ("rms", "centroid", "rolloff", "zcr", "chroma", "mfcc", "mel"),
            ("mean",),
            None,
            "Means over the whole clip, as student projects on these corpora take them.",
        ),
        FeatureSet(
            "means_36",
            ("chroma", "centroid", "bandwidth", "rolloff", "zcr", "mfcc"),
            ("mean",),
            None,
            "Means of another student project, which takes 20 MFCCs (set n_mfcc).",
        ),
        FeatureSet(
            "means_162",
            ("zcr", "chroma", "mfcc", "rms", "mel"),
            ("mean",),
            None,
            "Means of a third student project, which takes 20 MFCCs (set n_mfcc).",
        ),
        FeatureSet(
            "moments_370",
            ("rms_db", "centroid", "bandwidth", "rolloff", "zcr", "chroma", "mfcc", "mel_db"),
            ("mean", "std"),
            30.0,
            "The same features in dB with their spread over time, silence cut, loudness kept.",
        ),
        FeatureSet(
            "functionals_610",
            (),
            (),
            30.0,
            "Contours of level, pitch, voice quality, spectral shape and MFCCs, summarised.",
            functionals=True,
        ),
        FeatureSet(
            "contours_3490",
            (),
            (),
            30.0,
            "The same functionals, and the responses of random convolution kernels to the contours.",
            functionals=True,
            kernels=True,
        ),
    )
}
DEFAULT_FEATURE_SET: Final = "contours_3490"


class SequenceSettings(Settings):
    """Frame sequences for convolutional models.

    Attributes:
        seconds: Length; longer utterances are cut, shorter ones end in rows of zeros.
        pool: So many neighbouring frames are averaged into one.
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
    """Everything that decides what a model reads of an utterance.

    Attributes:
        sample_rate: Rate that recordings are resampled to, in Hz.
        feature_set: One of :data:`FEATURE_SETS`.
        n_mfcc: Number of MFCC coefficients.
        sequence: Frame sequences.
    """

    sample_rate: int = Field(22050, ge=8000)
    feature_set: str = DEFAULT_FEATURE_SET
    n_mfcc: int = Field(40, ge=1, le=N_MELS)
    sequence: SequenceSettings = SequenceSettings()

    @model_validator(mode="after")
    def _set_fits(self) -> FeatureSettings:
        check_feature_set(self.feature_set, self.sample_rate, self.n_mfcc)
        return self


def feature_set_named(name: str) -> FeatureSet:
    """Return the feature set called ``name``.

    Raises:
        UnknownFeatureSet: With the names that exist.
    """
    if name not in FEATURE_SETS:
        raise UnknownFeatureSet(
            f"There is no feature set {name!r}; write one of: {', '.join(FEATURE_SETS)}"
        )
    return FEATURE_SETS[name]


def check_feature_set(name: str, sample_rate: int, n_mfcc: int) -> FeatureSet:
    """Return the feature set called ``name`` if it can be had at this rate and with these MFCCs.

    Raises:
        UnknownFeatureSet: With the names that exist.
        ValueError: If functionals are asked below 16 kHz or with fewer than 20 MFCCs.
    """
    chosen = feature_set_named(name)
    check_rate(sample_rate)
    if chosen.functionals and (sample_rate < LOWEST_RATE or n_mfcc < N_MFCC):
        raise ValueError(
            f"{name} needs {LOWEST_RATE} Hz and {N_MFCC} MFCCs or more, not {sample_rate} Hz and "
            f"{n_mfcc}: raise features.sample_rate or features.n_mfcc"
        )
    return chosen


def _coefficients(feature: str, n_mfcc: int) -> list[str]:
    counts = {"chroma": N_CHROMA, "mfcc": n_mfcc, "mel": N_MELS, "mel_db": N_MELS}
    if feature not in counts:
        return [feature]
    digits = len(str(counts[feature] - 1))
    return [f"{feature}_{number:0{digits}d}" for number in range(counts[feature])]


def feature_names(feature_set: str = DEFAULT_FEATURE_SET, *, n_mfcc: int = 40) -> list[str]:
    """Names of a set's columns, ``feature_coefficient_statistic``, statistic after statistic."""
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
    """Names as they come: those of any sound, as they are always the same."""
    rate = 22050
    sound = np.sin(np.arange(rate, dtype=np.float32))
    return tuple(functionals(frame_features(sound, rate, prosody=True), rate / HOP))


def sequence_names(settings: SequenceSettings, *, n_mfcc: int = 40) -> list[str]:
    """Names of the channels of a frame sequence."""
    return [name for feature in settings.features for name in _coefficients(feature, n_mfcc)]


def sequence_shape(settings: FeatureSettings) -> tuple[int, int]:
    """``(n_frames, n_channels)`` of every frame sequence."""
    sequence = settings.sequence
    frames = round(sequence.seconds * settings.sample_rate / (HOP * sequence.pool))
    return max(frames, 1), len(sequence_names(sequence, n_mfcc=settings.n_mfcc))


def extract_features(
    samples: np.ndarray,
    sample_rate: int,
    feature_set: str = DEFAULT_FEATURE_SET,
    *,
    n_mfcc: int = 40,
) -> pd.Series:
    """Describe an utterance by statistics over its frames.

    Args:
        samples: Shape ``(n_samples,)``.
        sample_rate: Rate in Hz.
        feature_set: One of :data:`FEATURE_SETS`.
        n_mfcc: Number of MFCC coefficients.

    Returns:
        float32 values by the names of :func:`feature_names`.

    Raises:
        AudioError: If the samples are silent, too short, not numbers or not one-dimensional.
        UnknownFeatureSet: With the names that exist.
        ValueError: If functionals are asked below 16 kHz or with fewer than 20 MFCCs.
    """
    chosen = check_feature_set(feature_set, sample_rate, n_mfcc)
    frames = _describe(samples, sample_rate, chosen, n_mfcc)
    return _summary(frames, sample_rate, chosen, n_mfcc)


def extract(
    samples: np.ndarray, sample_rate: int, *, settings: FeatureSettings
) -> tuple[pd.Series, np.ndarray]:
    """Describe an utterance by statistics and by a frame sequence, from one spectrogram.

    Args:
        samples: Shape ``(n_samples,)``.
        sample_rate: Rate in Hz; features compare only at equal rates.
        settings: What to compute.

    Returns:
        The statistics, as :func:`extract_features`, and the sequence, float32 of
        :func:`sequence_shape`.

    Raises:
        AudioError: If the samples are silent, too short, not numbers or not one-dimensional.
    """
    chosen = feature_set_named(settings.feature_set)
    frames = _describe(samples, sample_rate, chosen, settings.n_mfcc)
    summary = _summary(frames, sample_rate, chosen, settings.n_mfcc)
    return summary, _sequence(frames, settings)


def _describe(
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
