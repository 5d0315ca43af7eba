"""Augmentation: a plan of the transform of each variant, and the transforms.

All random values are drawn when the plan is made, from a seed that depends only on the utterance and the
variant. Applying a row of the plan is deterministic: its result depends neither on machine, order nor
thread. Transforms equal those of audiomentations of the same name; speed is that of soxr.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import librosa
import numpy as np
import pandas as pd
import soxr
from pydantic import Field, model_validator

from speech_emotion.audio.trim import trim_silence
from speech_emotion.config import Settings

__all__ = [
    "NONE",
    "TELEPHONE_TRANSFORM",
    "TRANSFORMS",
    "AugmentationSettings",
    "TransformSettings",
    "UnknownTransform",
    "augment",
    "over_telephone",
    "plan_augmentation",
    "variant_seed",
]

NONE: Final = "none"
"""Transform of an unchanged recording."""
TELEPHONE_TRANSFORM: Final = "telephone"
"""Transform that simulates a telephone channel."""
TELEPHONE_BAND: Final = (300.0, 3400.0)
TELEPHONE_RATE: Final = 8000
MU: Final = 255
FADE_S: Final = 0.005
"""Duration of the fade at a cut, in seconds."""


class UnknownTransform(ValueError):
    """Raised for a transform that does not exist."""


class TransformSettings(Settings):
    """Range of the value of a transform, and how often the transform is drawn.

    Attributes:
        low: Smallest value, in the transform's unit.
        high: Largest value.
        weight: Relative frequency of the transform; 0 disables it.
    """

    low: float = 0.0
    high: float = 0.0
    weight: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> TransformSettings:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class CopySettings(Settings):
    """A transform with a fixed value, applied to every training utterance.

    Attributes:
        transform: One of :data:`TRANSFORMS`.
        value: Its value, in its unit.
    """

    transform: str
    value: float = 0.0


class AugmentationSettings(Settings):
    """Augmented copies of training utterances.

    Attributes:
        copies: Fixed copies of every utterance: variants 1, 2, …
        variants: Number of further variants of each utterance with a random transform.
        transforms: Transforms to draw from, by the names of :data:`TRANSFORMS`.
        telephone: Whether a telephone version of every recording and copy is added, for testing and,
            depending on the candidate, for training.
    """

    copies: tuple[CopySettings, ...] = ()
    variants: int = Field(1, ge=0)
    transforms: dict[str, TransformSettings]
    telephone: bool = True

    @model_validator(mode="after")
    def _usable(self) -> AugmentationSettings:
        for copy in self.copies:
            transform = _transform_named(copy.transform)
            if not transform.smallest <= copy.value <= transform.largest:
                raise ValueError(
                    f"{copy.transform}: {copy.value:g} {transform.unit} is outside "
                    f"{transform.smallest:g} … {transform.largest:g}"
                )
        for name, settings in self.transforms.items():
            transform = _transform_named(name)
            if settings.low < transform.smallest or settings.high > transform.largest:
                raise ValueError(
                    f"{name}: {settings.low:g} … {settings.high:g} {transform.unit} is outside "
                    f"{transform.smallest:g} … {transform.largest:g}"
                )
        if self.variants and not any(entry.weight for entry in self.transforms.values()):
            raise ValueError("give a transform a weight above 0, or set variants to 0")
        return self


def _speed(samples: np.ndarray, sample_rate: int, factor: float, seed: int) -> np.ndarray:
    """Change speed; pitch and formants change with the tempo."""
    return soxr.resample(samples, sample_rate * factor, sample_rate, quality="HQ")


def _noise(samples: np.ndarray, sample_rate: int, snr_db: float, seed: int) -> np.ndarray:
    """Add white noise with the given ratio of signal to noise power over the whole recording."""
    noise = np.random.default_rng(seed).standard_normal(len(samples), dtype=np.float32)
    noise *= np.sqrt(samples @ samples / len(samples)) / 10 ** (snr_db / 20)
    noise += samples
    return noise


def _pitch_shift(samples: np.ndarray, sample_rate: int, semitones: float, seed: int) -> np.ndarray:
    stretch = _stretcher(sample_rate, seed)
    stretch.setTransposeSemitones(semitones)
    return stretch.process(samples[np.newaxis])[0]


def _time_stretch(samples: np.ndarray, sample_rate: int, rate: float, seed: int) -> np.ndarray:
    stretch = _stretcher(sample_rate, seed)
    stretch.setTimeFactor(rate)
    return stretch.process(samples[np.newaxis])[0]


def _stretcher(sample_rate: int, seed: int) -> Any:
    """Return the stretcher of audiomentations, seeded: at low tempi it draws random phases."""
    from python_stretch import Signalsmith

    stretch = Signalsmith.Stretch(int(seed))
    stretch.preset(1, sample_rate)
    return stretch


def _time_shift(samples: np.ndarray, sample_rate: int, share: float, seed: int) -> np.ndarray:
    """Shift later, or earlier if negative, without wrapping around; the cut is faded."""
    if share < 0:
        return _time_shift(samples[::-1], sample_rate, -share, seed)[::-1]
    gap = round(share * len(samples))
    shifted = np.empty_like(samples)
    shifted[:gap] = 0
    shifted[gap:] = samples[: len(samples) - gap]
    if gap:
        edge = shifted[gap : gap + int(FADE_S * sample_rate)]
        edge *= _fade_in(int(FADE_S * sample_rate))[: len(edge)]
    return shifted


@lru_cache(maxsize=8)
def _fade_in(length: int) -> np.ndarray:
    """Return an equal-energy fade from 0 to 1.

    Source: https://signalsmith-audio.co.uk/writing/2021/cheap-energy-crossfade
    """
    ramp = np.linspace(0, 1, length, dtype=np.float32)
    bend = ramp * (1 - ramp)
    return np.square(bend * (1 + 1.4186 * bend) + ramp)


def _trim(samples: np.ndarray, sample_rate: int, top_db: float, seed: int) -> np.ndarray:
    return trim_silence(samples, top_db)


def _gain(samples: np.ndarray, sample_rate: int, gain_db: float, seed: int) -> np.ndarray:
    return samples * np.float32(10 ** (gain_db / 20))


def _telephone(samples: np.ndarray, sample_rate: int, _: float, seed: int) -> np.ndarray:
    """Band-pass at 300-3400 Hz, resample to 8 kHz, encode as 8-bit µ-law (ITU-T G.711), and resample back."""
    import audiomentations

    low, high = TELEPHONE_BAND
    band = audiomentations.BandPassFilter()
    # Otherwise it draws them from the global states of Python's and NumPy's generators.
    band.parameters = {
        "should_apply": True,
        "center_freq": (low + high) / 2,
        "bandwidth": high - low,
        "rolloff": 24,
    }
    band.freeze_parameters()
    narrow = librosa.resample(
        band(samples, sample_rate), orig_sr=sample_rate, target_sr=TELEPHONE_RATE
    )
    coded = librosa.mu_compress(np.clip(narrow, -1, 1), mu=MU, quantize=True)
    decoded = librosa.mu_expand(coded, mu=MU, quantize=True).astype(np.float32)
    wide = librosa.resample(decoded, orig_sr=TELEPHONE_RATE, target_sr=sample_rate)
    return wide[: len(samples)]


class Transform(NamedTuple):
    """A transform: function, unit of the value, limits, and the value without effect."""

    apply: Callable[[np.ndarray, int, float, int], np.ndarray]
    unit: str
    smallest: float
    largest: float
    neutral: float


TRANSFORMS: Final = {
    "speed": Transform(_speed, "times as fast", 0.5, 2.0, 1.0),
    "noise": Transform(_noise, "dB signal-to-noise ratio", -20.0, 100.0, 100.0),
    "pitch_shift": Transform(_pitch_shift, "semitones", -12.0, 12.0, 0.0),
    "time_stretch": Transform(_time_stretch, "times as fast", 0.5, 2.0, 1.0),
    "time_shift": Transform(_time_shift, "of the length", -0.5, 0.5, 0.0),
    "trim": Transform(_trim, "dB below the loudest frame", 10.0, 80.0, 80.0),
    "gain": Transform(_gain, "dB", -40.0, 40.0, 0.0),
    TELEPHONE_TRANSFORM: Transform(_telephone, "(300-3400 Hz, µ-law, 8 kHz)", 0.0, 0.0, 0.0),
}
"""All transforms by name."""


def _transform_named(name: str) -> Transform:
    if name not in TRANSFORMS:
        raise UnknownTransform(
            f"There is no transform {name!r}, expected one of: {', '.join(TRANSFORMS)}"
        )
    return TRANSFORMS[name]


def variant_seed(utterance_id: str, variant: int) -> int:
    """Return the 32-bit seed of a variant: a hash of utterance and variant number."""
    digest = hashlib.sha256(f"{utterance_id}/{variant}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def plan_augmentation(utterance_ids: Iterable[str], settings: AugmentationSettings) -> pd.DataFrame:
    """Plan the copies of training utterances; draw transform and value of random variants.

    Args:
        utterance_ids: Training utterances.
        settings: Copies, number of random variants, transforms and their ranges.

    Returns:
        Columns ``utterance_id``, ``variant`` (1, 2, …), ``transform``, ``value``, ``seed`` and
        ``telephone`` (false).
    """
    names = list(settings.transforms)
    weights = np.array([settings.transforms[name].weight for name in names], dtype=float)
    shares = weights / max(weights.sum(), 1e-9)
    rows = []
    for utterance_id in sorted(set(utterance_ids)):
        for number, copy in enumerate(settings.copies, start=1):
            seed = variant_seed(utterance_id, number)
            rows.append((utterance_id, number, copy.transform, copy.value, seed))
        first = len(settings.copies) + 1
        for variant in range(first, first + settings.variants):
            seed = variant_seed(utterance_id, variant)
            generator = np.random.default_rng(seed)
            name = str(generator.choice(names, p=shares))
            limits = settings.transforms[name]
            value = float(generator.uniform(limits.low, limits.high))
            rows.append((utterance_id, variant, name, value, seed))
    columns = ["utterance_id", "variant", "transform", "value", "seed"]
    return pd.DataFrame(rows, columns=columns).assign(telephone=False)


def over_telephone(plan: pd.DataFrame) -> pd.DataFrame:
    """Plan telephone versions: variant ``-1 - k`` is that of variant ``k``."""
    return plan.assign(variant=-1 - plan["variant"], telephone=True)


def augment(
    samples: np.ndarray, sample_rate: int, *, transform: str, value: float, seed: int
) -> np.ndarray:
    """Apply one transform.

    Args:
        samples: Shape ``(n_samples,)``, float32.
        sample_rate: Rate in Hz.
        transform: One of :data:`TRANSFORMS`.
        value: Its value, in its unit.
        seed: Seed of random parts of the transform.

    Returns:
        float32 samples; speed, time stretching and trimming change their number. Values are not clipped
        and may exceed full scale.

    Raises:
        UnknownTransform: If there is none; the message lists the known names.

    Examples:
        >>> tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> len(augment(tone, 22050, transform="time_stretch", value=2.0, seed=0))
        11025
    """
    apply = _transform_named(transform).apply
    changed = apply(np.ascontiguousarray(samples, dtype=np.float32), sample_rate, value, seed)
    return np.ascontiguousarray(changed, dtype=np.float32)
