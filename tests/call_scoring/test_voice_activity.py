import numpy as np
import pytest

from speech_emotion.call_scoring import VoiceActivityDetector
from speech_emotion.call_scoring.voice_activity import (
    BLOCK,
    BlockBuffer,
    frame_seconds,
)

FIELDS = ("speech", "kept", "power", "noise", "clipped")


def frames_of(samples, rate):
    detector, buffer = VoiceActivityDetector(rate), BlockBuffer(rate)
    results = [detector.push(block) for block in buffer.push(samples)]
    results += [detector.push(buffer.flush()), detector.close()]
    return {name: np.concatenate([getattr(one, name) for one in results]) for name in FIELDS}


def burst(rate, level=0.1, noise=1e-3, seconds=6.0, start=2.0, stop=4.0):
    """Noise, louder between two times."""
    generator = np.random.default_rng(0)
    times = np.arange(round(seconds * rate)) / rate
    inside = (times >= start) & (times < stop)
    return (generator.standard_normal(len(times)) * np.where(inside, level, noise)).astype("f4")


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_louder_span_is_detected_at_any_rate(rate):
    frames = frames_of(burst(rate), rate)
    times = np.arange(len(frames["speech"])) * frame_seconds(rate)
    assert frames["speech"][(times > 2.1) & (times < 3.9)].all()
    assert not frames["speech"][(times < 1.9) | (times > 4.3)].any()
    assert (frames["kept"] >= frames["speech"]).all()
    assert not frames["kept"][(times < 1.7) | (times > 4.6)].any()


@pytest.mark.parametrize("count", [0, 1, 159, 160, 7999, 8000, 8001, 40000])
def test_every_complete_frame_is_returned_once(count):
    frames = frames_of(burst(8000)[:count], 8000)
    assert {len(values) for values in frames.values()} == {count // 160}


def test_power_excludes_sound_outside_the_speech_band():
    rate = 16000
    tone = np.sqrt(2) * 0.1 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    hum = 0.5 * np.sin(2 * np.pi * 50 * np.arange(rate) / rate)  # outside the band
    frames = frames_of((tone + hum).astype("f4"), rate)
    np.testing.assert_allclose(frames["power"], 0.01, rtol=0.02)


def test_noise_floor_follows_rising_noise():
    rate, seconds = 8000, 40
    generator = np.random.default_rng(1)
    level = np.where(np.arange(seconds * rate) < 15 * rate, 1e-3, 1e-2)
    frames = frames_of((generator.standard_normal(len(level)) * level).astype("f4"), rate)
    assert not frames["speech"][30 * BLOCK :].any()
    excess = 10 * np.log10(frames["noise"][-1] / frames["power"][30 * BLOCK :].mean())
    assert abs(excess) < 1.5


def test_the_background_of_a_channel_is_no_speech():
    """Breath and echo at -62 dB over a floor of -80 dB: speech alone, background beside a voice."""
    rate = 8000
    quiet = burst(rate, level=8e-4, noise=1e-4)  # a faint sound from 2 to 4 s
    voice = burst(rate, level=0.2, noise=1e-4, seconds=2.0, start=0.5, stop=1.5)
    alone = frames_of(quiet, rate)["speech"]
    assert alone.mean() == pytest.approx(2 / 6, abs=0.05)
    after = frames_of(np.concatenate([voice, quiet]), rate)["speech"]
    assert after[25:75].all()
    assert not after[100:].any()
    # A minute later, 12 dB are forgotten, and the faint sound counts again.
    pause = burst(rate, level=1e-4, noise=1e-4, seconds=60.0)
    later = frames_of(np.concatenate([voice, pause, quiet]), rate)["speech"]
    assert later[-300:].mean() == pytest.approx(2 / 6, abs=0.05)


def test_clipped_samples_are_counted():
    samples = np.zeros(8000, dtype="f4")
    samples[:160:2] = 1.0
    frames = frames_of(samples, 8000)
    assert frames["clipped"][0] == pytest.approx(0.5)
    assert frames["clipped"][1:].sum() == 0
