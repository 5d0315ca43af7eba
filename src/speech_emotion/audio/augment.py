"""Augmentation: a plan of the transform of each variant, and the transforms.

All random values are drawn when the plan is made, from a seed that depends only on the utterance and the
variant. Applying a row of the plan is deterministic: its result depends neither on machine, order nor
thread. Transforms equal those of audiomentations of the same name; speed is that of soxr.

Variants of an utterance by number:

======================  ================================================================
0                       the recording
1, 2, …                 copies of training utterances
-1 - k                  variant k over a training line, of training utterances
:data:`TELEPHONE_TEST`  the recording over a test line, of every utterance, for tests only
======================  ================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import soxr
from pydantic import Field, model_validator

from speech_emotion.audio.telephone import TRAINING_LINE, check_lines, choose_test_line
from speech_emotion.audio.trim import trim_silence
from speech_emotion.config import Settings

__all__ = [
    "NONE",
    "TELEPHONE_TEST",
    "TRANSFORMS",
    "AugmentationSettings",
    "TransformSettings",
    "UnknownTransform",
    "augment",
    "line_of_test",
    "over_test_lines",
    "over_training_lines",
    "pink_noise",
    "plan_augmentation",
    "variant_seed",
]

NONE: Final = "none"
"""Transform of an unchanged recording."""
TELEPHONE_TEST: Final = -1000
"""Variant of a recording over a telephone line that no training line resembles."""
MAX_VARIANTS: Final = 100
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
        telephone: Whether every training recording and copy gets a version over a training line, and
            every recording one over a test line.
    """

    copies: tuple[CopySettings, ...] = Field((), max_length=MAX_VARIANTS)
    variants: int = Field(1, ge=0, le=MAX_VARIANTS)
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


def _colored_noise(samples: np.ndarray, sample_rate: int, snr_db: float, seed: int) -> np.ndarray:
    """Add noise whose power falls by 3 dB (pink) to 6 dB (brown) per octave, drawn from the seed."""
    generator = np.random.default_rng(seed)
    noise = _noise_of_slope(generator, len(samples), generator.uniform(0.5, 1.0))
    level = np.sqrt(samples @ samples / len(samples)) / 10 ** (snr_db / 20)
    return samples + (noise * level).astype(np.float32)


def pink_noise(generator: np.random.Generator, count: int) -> np.ndarray:
    """Draw noise with equal power per octave and a mean square of 1.

    Args:
        generator: Source of random numbers.
        count: Number of samples.

    Example:
        >>> noise = pink_noise(np.random.default_rng(0), 1000)
        >>> noise.shape, round(float((noise**2).mean()), 6)
        ((1000,), 1.0)
    """
    return _noise_of_slope(generator, count, 0.5)


def _noise_of_slope(generator: np.random.Generator, count: int, exponent: float) -> np.ndarray:
    """Draw noise with a mean square of 1 whose amplitude falls with frequency to this power."""
    spectrum = np.fft.rfft(generator.standard_normal(count))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** exponent
    noise = np.fft.irfft(spectrum, count)
    return noise / np.sqrt((noise**2).mean())


def _reverberation(samples: np.ndarray, sample_rate: int, t60_s: float, seed: int) -> np.ndarray:
    """Convolve with a synthetic room response, keeping length and level.

    The response is a direct sound and white noise that decays by 60 dB in ``t60_s`` seconds; the ratio of
    their energies, 0 to 10 dB, is drawn from the seed.
    """
    length = round(t60_s * sample_rate)
    if not length:
        return samples
    from scipy import signal

    generator = np.random.default_rng(seed)
    ratio_db = generator.uniform(0, 10)
    tail = generator.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail *= 10 ** (-ratio_db / 20) / np.sqrt(tail @ tail)
    response = np.concatenate([[1.0], tail])
    wet = signal.fftconvolve(samples, response)[: len(samples)]
    energy = wet @ wet
    if energy > 0:
        wet *= np.sqrt((samples @ samples) / energy)
    return wet.astype(np.float32)


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
    "colored_noise": Transform(_colored_noise, "dB signal-to-noise ratio", -20.0, 100.0, 100.0),
    "reverberation": Transform(_reverberation, "s until -60 dB", 0.0, 3.0, 0.0),
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
        ``line`` (empty: no telephone line).
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
    return pd.DataFrame(rows, columns=columns).assign(line="")


def over_training_lines(plan: pd.DataFrame) -> pd.DataFrame:
    """Plan versions over training lines: variant ``-1 - k`` is that of variant ``k``.

    Args:
        plan: Rows of :func:`plan_augmentation`, and rows of recordings: variant 0.

    Returns:
        The rows with their new ``variant`` and ``line``. The seed of a recording, which no transform
        uses, becomes that of the new variant.
    """
    variant = -1 - plan["variant"]
    seed = [
        variant_seed(utterance_id, number) if number == -1 else seed
        for utterance_id, number, seed in zip(
            plan["utterance_id"], variant, plan["seed"], strict=True
        )
    ]
    return plan.assign(variant=variant, seed=seed, line=TRAINING_LINE)


def over_test_lines(recordings: pd.DataFrame) -> pd.DataFrame:
    """Plan versions of recordings over test lines: variant :data:`TELEPHONE_TEST`.

    Args:
        recordings: Rows of recordings: variant 0.

    Raises:
        LineUnavailable: If libsndfile cannot write the codec of a test line.
    """
    check_lines()
    ids = recordings["utterance_id"]
    return recordings.assign(
        variant=TELEPHONE_TEST,
        seed=[variant_seed(utterance_id, TELEPHONE_TEST) for utterance_id in ids],
        line=[line_of_test(utterance_id) for utterance_id in ids],
    )


def line_of_test(utterance_id: str) -> str:
    """Return the test line of an utterance, drawn from its name."""
    return choose_test_line(variant_seed(utterance_id, TELEPHONE_TEST))


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
