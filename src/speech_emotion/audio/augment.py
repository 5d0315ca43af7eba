"""Augmentation: a plan of what happens to which utterance, and the transforms.

Every value is drawn when the plan is made, from a seed that depends on the utterance and the variant
alone. Applying a row of the plan is then a plain function: any subset comes out the same on any
machine, in any order, in any thread. Each is defined by audiomentations' transform of its name (speed by
soxr, telephone by its parts); what costs little more than a copy of the samples is done by NumPy.
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
"""What is done to a recording that is taken as it is."""
TELEPHONE_TRANSFORM: Final = "telephone"
"""Transform that carries a sound over a telephone."""
TELEPHONE_BAND: Final = (300.0, 3400.0)
TELEPHONE_RATE: Final = 8000
MU: Final = 255
FADE_S: Final = 0.005
"""Seconds in which a sound that was cut open fades in or out."""


class UnknownTransform(ValueError):
    """A transform was named that does not exist."""


class TransformSettings(Settings):
    """Range of a transform's one value, and how often the transform is drawn.

    Attributes:
        low: Smallest value, in the transform's unit.
        high: Largest value.
        weight: Share among the transforms; 0 leaves it out.
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
    """One transform with one value, applied to every training utterance.

    Attributes:
        transform: One of :data:`TRANSFORMS`.
        value: Its value, in its unit.
    """

    transform: str
    value: float = 0.0


class AugmentationSettings(Settings):
    """Which copies of training utterances are made.

    Attributes:
        copies: Copies that every utterance gets; they are variants 1, 2, …
        variants: Further variants of each utterance, drawn at random; 0 for none.
        transforms: Transforms to draw from, by the names of :data:`TRANSFORMS`.
        telephone: Whether every utterance and every copy is also described as a telephone would
            carry it, to test with it and, where a model is set so, to train on it.
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
    """Play faster: pitch and formants rise with the tempo, as of a smaller speaker."""
    return soxr.resample(samples, sample_rate * factor, sample_rate, quality="HQ")


def _noise(samples: np.ndarray, sample_rate: int, snr_db: float, seed: int) -> np.ndarray:
    """Add white noise whose expected power is so far below that of the sound, pauses included."""
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
    """Set up what audiomentations uses, which takes no seed: at half the tempo it draws phases."""
    from python_stretch import Signalsmith

    stretch = Signalsmith.Stretch(int(seed))
    stretch.preset(1, sample_rate)
    return stretch


def _time_shift(samples: np.ndarray, sample_rate: int, share: float, seed: int) -> np.ndarray:
    """Move the sound later, below 0 earlier: what falls out is lost, and the cut is faded."""
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
    """Rise from 0 to 1 at equal energy (signalsmith-audio.co.uk/writing/2021/cheap-energy-crossfade)."""
    line = np.linspace(0, 1, length, dtype=np.float32)
    bend = line * (1 - line)
    return np.square(bend * (1 + 1.4186 * bend) + line)


def _trim(samples: np.ndarray, sample_rate: int, top_db: float, seed: int) -> np.ndarray:
    return trim_silence(samples, top_db)


def _gain(samples: np.ndarray, sample_rate: int, gain_db: float, seed: int) -> np.ndarray:
    return samples * np.float32(10 ** (gain_db / 20))


def _telephone(samples: np.ndarray, sample_rate: int, _: float, seed: int) -> np.ndarray:
    """Narrow band: 300-3400 Hz, 8 kHz, µ-law in 8 bits (ITU-T G.711), back at the given rate."""
    import audiomentations

    low, high = TELEPHONE_BAND
    band = audiomentations.BandPassFilter()
    # Else it draws them from Python's and NumPy's global states, which others use, too.
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
    """A transform: its function, what its value means, its limits, and where it does nothing."""

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
            f"There is no transform {name!r}; write one of: {', '.join(TRANSFORMS)}"
        )
    return TRANSFORMS[name]


def variant_seed(utterance_id: str, variant: int) -> int:
    """Return the 32-bit seed of a variant: a hash of its name, and of nothing else."""
    digest = hashlib.sha256(f"{utterance_id}/{variant}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def plan_augmentation(utterance_ids: Iterable[str], settings: AugmentationSettings) -> pd.DataFrame:
    """List the copies of training utterances, and draw transform and value of random variants.

    Args:
        utterance_ids: Utterances to train on.
        settings: Copies, number of variants, transforms and ranges.

    Returns:
        Columns ``utterance_id``, ``variant`` (1, 2, …), ``transform``, ``value``, ``seed`` and
        ``telephone``, which is false.
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
            chosen = settings.transforms[name]
            value = float(generator.uniform(chosen.low, chosen.high))
            rows.append((utterance_id, variant, name, value, seed))
    columns = ["utterance_id", "variant", "transform", "value", "seed"]
    return pd.DataFrame(rows, columns=columns).assign(telephone=False)


def over_telephone(plan: pd.DataFrame) -> pd.DataFrame:
    """Plan the same sounds as a telephone would carry them: variant ``-1 - k`` is that of variant k."""
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
        seed: Seed of what is random inside the transform.

    Returns:
        float32 samples; stretching and trimming change their number. Values may exceed full scale,
        as nothing is clipped.

    Raises:
        UnknownTransform: With the names that exist.
    """
    apply = _transform_named(transform).apply
    changed = apply(np.ascontiguousarray(samples, dtype=np.float32), sample_rate, value, seed)
    return np.ascontiguousarray(changed, dtype=np.float32)
