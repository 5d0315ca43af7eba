"""A synthetic voice: glottal pulses through formant resonators, varied by speaker and emotion.

The source-filter model of speech (Fant, *Acoustic Theory of Speech Production*, 1960) with acoustic
cues to emotion (Scherer, *Speech Communication* 40, 2003): pitch level and range, tempo, energy, spectral
tilt, jitter and breath. It provides test data; it is not a model of human emotion.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np

__all__ = ["SPOKEN_EMOTIONS", "Speaker", "generator_of", "speak"]

# First three formants of five vowels in Hz, for an average male vocal tract.
VOWELS: Final = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
BANDWIDTHS: Final = (80.0, 110.0, 160.0)


@dataclass(frozen=True)
class _Manner:
    """Acoustic cues to an emotion; deviations are from a neutral voice."""

    pitch: float  # semitones
    span: float  # semitones between low and high syllables
    tempo: float  # syllables per second, relative
    energy: float  # dB
    tilt: float  # dB per octave, relative to the neutral slope
    jitter: float  # relative deviation from pulse to pulse
    breath: float  # noise in the source, relative
    rise: float = 0.0  # semitones from the first to the last syllable


SPOKEN_EMOTIONS: Final = {
    "neutral": _Manner(0.0, 1.5, 1.0, 0.0, 0.0, 0.008, 0.03, -1.0),
    "calm": _Manner(-1.0, 1.5, 0.88, -3.0, -1.0, 0.006, 0.05, -1.5),
    "happy": _Manner(4.0, 5.0, 1.12, 3.0, 1.5, 0.010, 0.03, 1.0),
    "sad": _Manner(-1.5, 1.0, 0.78, -6.0, -2.5, 0.015, 0.10, -3.0),
    "angry": _Manner(3.0, 4.0, 1.15, 7.0, 3.0, 0.030, 0.03, -2.0),
    "fearful": _Manner(6.0, 2.0, 1.25, 0.0, 0.5, 0.035, 0.12, 0.0),
    "disgust": _Manner(-2.0, 3.5, 0.85, 1.0, 0.5, 0.030, 0.06, -3.0),
    "surprised": _Manner(6.0, 7.0, 0.98, 3.0, 1.0, 0.010, 0.05, 6.0),
}


def generator_of(*names: object) -> np.random.Generator:
    """Return a random generator that is seeded by names, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


@dataclass(frozen=True)
class Speaker:
    """A synthetic speaker.

    Attributes:
        name: Name, which seeds all traits.
        sex: ``female`` or ``male``.
    """

    name: str
    sex: str

    def traits(self) -> dict[str, float]:
        """Draw pitch in Hz, formant scale, loudness in dB, tempo, expressivity and breath."""
        generator = generator_of("speaker", self.name)
        female = self.sex == "female"
        return {
            "pitch": (205.0 if female else 115.0) * 2 ** (generator.normal(0, 2) / 12),
            "formants": (1.17 if female else 1.0) * generator.uniform(0.94, 1.06),
            "loudness": generator.normal(0, 2),
            "tempo": generator.uniform(0.9, 1.1),
            "expressivity": generator.uniform(0.55, 1.15),
            "breath": generator.uniform(0.7, 1.6),
        }


def speak(
    speaker: Speaker, emotion: str, statement: str, recording: str, sample_rate: int
) -> np.ndarray:
    """Synthesize a spoken statement.

    Args:
        speaker: The speaker.
        emotion: One of :data:`SPOKEN_EMOTIONS`.
        statement: Name of the statement; equal names have equal syllables.
        recording: Name of the recording, which seeds its random variation.
        sample_rate: Rate in Hz.

    Returns:
        float32 samples of shape ``(n,)`` with a short pause at both ends, peak below 1.

    Example:
        >>> samples = speak(Speaker("anna", "female"), "angry", "kids", "first", 16000)
        >>> samples.dtype, bool(abs(samples).max() < 1)
        (dtype('float32'), True)
    """
    generator = generator_of("take", speaker.name, emotion, statement, recording)
    traits, manner = speaker.traits(), SPOKEN_EMOTIONS[emotion]
    neutral = SPOKEN_EMOTIONS["neutral"]
    strength = traits["expressivity"] * generator.uniform(0.5, 1.2)

    def shade(name: str, spread: float) -> float:
        base = getattr(neutral, name)
        return base + strength * (getattr(manner, name) - base) + generator.normal(0, spread)

    syllables = _syllables(statement)
    height = shade("pitch", 1.2) + np.linspace(0, shade("rise", 1.0), len(syllables))
    height = height + shade("span", 0.5) * generator.uniform(-0.5, 0.5, len(syllables))
    pitch = traits["pitch"] * 2 ** (height / 12)
    seconds = 0.2 / (traits["tempo"] * max(shade("tempo", 0.06), 0.4))
    lengths = np.maximum(seconds * generator.uniform(0.8, 1.25, len(syllables)), 0.05)
    voice = _voiced(
        pitch,
        lengths,
        jitter=max(shade("jitter", 0.004), 0.0),
        breath=max(shade("breath", 0.02), 0.005) * traits["breath"],
        tilt=shade("tilt", 0.6),
        sample_rate=sample_rate,
        generator=generator,
    )
    spoken = _articulate(voice, syllables, lengths, traits["formants"], sample_rate, generator)
    level = -26 + traits["loudness"] + shade("energy", 1.5)
    spoken *= 10 ** (level / 20) / np.sqrt(np.mean(spoken**2))
    ends = [np.zeros(int(generator.uniform(0.1, 0.25) * sample_rate)) for _ in range(2)]
    whole = np.concatenate([ends[0], spoken, ends[1]])
    whole += generator.normal(0, 10 ** (generator.uniform(-68, -56) / 20), len(whole))
    return (whole / max(1.0, np.abs(whole).max() / 0.98)).astype(np.float32)


def _syllables(statement: str) -> list[tuple[str, float]]:
    """Draw vowels, and the center frequency in Hz of the consonant noise before each."""
    generator = generator_of("statement", statement)
    count = int(generator.integers(4, 7))
    vowels = generator.choice(list(VOWELS), count)
    return [(str(vowel), float(generator.uniform(2000, 6000))) for vowel in vowels]


def _voiced(
    pitch: np.ndarray,
    lengths: np.ndarray,
    *,
    jitter: float,
    breath: float,
    tilt: float,
    sample_rate: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Glottal pulses with a gliding pitch, jitter, breath noise and spectral slope."""
    from scipy.signal import lfilter

    n_samples = int(lengths.sum() * sample_rate)
    centers = np.cumsum(lengths) - lengths / 2
    times = np.arange(n_samples) / sample_rate
    contour = np.interp(times, centers, pitch)
    wobble = np.repeat(generator.normal(1, jitter, n_samples // 64 + 1), 64)[:n_samples]
    phase = np.cumsum(contour * np.maximum(wobble, 0.5)) / sample_rate
    pulses = np.diff(np.floor(phase), prepend=0.0) * np.sqrt(sample_rate / contour)
    source = pulses + breath * generator.normal(0, 1, n_samples)
    # One pole gives 6 dB per octave; a higher corner frequency makes the voice harder.
    corner = float(np.clip(500 * 2 ** (tilt / 2), 120, 0.4 * sample_rate))
    pole = np.exp(-2 * np.pi * corner / sample_rate)
    return lfilter([1 - pole], [1, -pole], source)


def _articulate(
    voice: np.ndarray,
    syllables: list[tuple[str, float]],
    lengths: np.ndarray,
    scale: float,
    sample_rate: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Filter the voice with the formants of each vowel, and add a burst of noise before it."""
    from scipy.signal import butter, sosfilt

    ends = np.minimum((np.cumsum(lengths) * sample_rate).astype(int), len(voice))
    starts = np.concatenate([[0], ends[:-1]])
    spoken = np.zeros(len(voice))
    for (vowel, center), start, end in zip(syllables, starts, ends, strict=True):
        syllable = voice[start:end]
        for formant, bandwidth in zip(VOWELS[vowel], BANDWIDTHS, strict=True):
            if formant * scale < 0.45 * sample_rate:
                syllable = _resonate(syllable, formant * scale, bandwidth, sample_rate)
        syllable *= np.hanning(len(syllable)) ** 0.5
        length = min(int(0.05 * sample_rate), len(syllable))
        burst = generator.normal(0, 0.4 * syllable.std(), length)
        edges = np.clip([center * 0.7, center * 1.3], 100, 0.48 * sample_rate)
        if edges[1] > edges[0] * 1.05:
            burst = sosfilt(butter(2, edges, "bandpass", fs=sample_rate, output="sos"), burst)
        syllable[: len(burst)] += burst * np.hanning(len(burst))
        spoken[start:end] = syllable
    return spoken


def _resonate(
    signal: np.ndarray, frequency: float, bandwidth: float, sample_rate: int
) -> np.ndarray:
    from scipy.signal import lfilter

    radius = np.exp(-np.pi * bandwidth / sample_rate)
    angle = 2 * np.pi * frequency / sample_rate
    poles = [1, -2 * radius * np.cos(angle), radius**2]
    return lfilter([sum(poles)], poles, signal)  # unit gain at 0 Hz
