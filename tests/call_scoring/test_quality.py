import numpy as np
import pytest

from speech_emotion.audio import send_over_line
from speech_emotion.call_scoring import CallSettings
from speech_emotion.call_scoring.quality import (
    CLIPPED,
    MUSIC,
    NOISY,
    bandwidth,
    out_of_domain_reason,
    tonality,
)

RATE = 22050
LIMIT = CallSettings().quality.max_tonal


def note(midi, seconds, decay):
    times = np.arange(round(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((midi - 69) / 12)
    sound = sum(np.sin(2 * np.pi * frequency * h * times) / h**1.3 for h in range(1, 9))
    return sound * np.exp(-times / decay)


def music(kind, seconds=5.0):
    """Chords or a tune of plucked notes, with a drum for ``pop``."""
    generator = np.random.default_rng(3)
    beat, chord = {"pads": (2.0, (0, 4, 7)), "pop": (0.5, (0, 12, 16)), "tune": (0.35, (24,))}[kind]
    samples = np.zeros(round(seconds * RATE))
    for start in np.arange(0, seconds - 0.01, beat):
        root = 48 + generator.choice([0, 2, 4, 5, 7, 9])
        for step in chord:
            sound = note(root + step, 2.0, 2.0 if kind == "pads" else 0.4)
            at = round(start * RATE)
            samples[at : at + len(sound)] += sound[: len(samples) - at]
        if kind == "pop":
            drum = 3 * generator.standard_normal(1000) * np.exp(-np.arange(1000) / 300)
            at = round(start * RATE)
            samples[at : at + 1000] += drum[: len(samples) - at]
    return (0.3 * samples / np.abs(samples).max()).astype("f4")


@pytest.mark.parametrize("line", ["clean", "telephone"])
@pytest.mark.parametrize("kind", ["pads", "pop", "tune"])
def test_music_is_tonal(kind, line):
    samples = music(kind)
    if line == "telephone":
        samples = send_over_line(samples, RATE, line="steep_ulaw", seed=0)
    assert tonality(samples, RATE) > LIMIT


def test_ringing_is_tonal_and_noise_is_not():
    times = np.arange(5 * RATE) / RATE
    ring = 0.1 * (np.sin(2 * np.pi * 440 * times) + np.sin(2 * np.pi * 480 * times))
    assert tonality(ring.astype("f4"), RATE) > 0.9
    noise = np.random.default_rng(0).standard_normal(5 * RATE)
    assert tonality(noise.astype("f4"), RATE) < 0.1
    assert tonality(np.zeros(100, dtype="f4"), RATE) == 0


def test_gliding_pitch_is_not_tonal():
    times = np.arange(5 * RATE) / RATE
    pitch = 180 * 2 ** (0.4 * np.sin(2 * np.pi * 1.5 * times))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(h * phase) / h for h in range(1, 15))
    assert tonality(voice.astype("f4"), RATE) < LIMIT / 2


@pytest.mark.parametrize(("edge", "expected"), [(1000, 990), (3400, 3366), (8000, 7920)])
def test_bandwidth_is_where_99_percent_of_the_power_lie_below(edge, expected):
    """White noise up to an edge has its power evenly below it."""
    spectrum = np.zeros(5 * RATE // 2 + 1, dtype=complex)
    frequencies = np.fft.rfftfreq(5 * RATE, 1 / RATE)
    spectrum[frequencies <= edge] = 1
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, len(spectrum))
    noise = np.fft.irfft(spectrum * np.exp(1j * phases))
    assert bandwidth(noise, RATE) == pytest.approx(expected, rel=0.01)
    assert bandwidth(np.zeros(100), RATE) == 0


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        ({}, ""),
        ({"tonal": 0.9}, MUSIC),
        ({"clipped": 0.1}, CLIPPED),
        ({"snr_db": 0.0}, NOISY),
        ({"snr_db": 0.0, "tonal": 0.9}, MUSIC),
    ],
)
def test_reason_names_the_problem(levels, reason):
    good = {"snr_db": 25.0, "clipped": 0.0, "tonal": 0.1}
    assert out_of_domain_reason(CallSettings().quality, **(good | levels)) == reason
