import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from scipy import signal

from speech_emotion.audio import (
    LINES,
    NONE,
    TELEPHONE_TEST,
    TEST_LINES,
    TRAINING_LINE,
    AugmentationSettings,
    BandFilter,
    LineUnavailable,
    UnknownLine,
    draw_line,
    line_of_test,
    over_test_lines,
    over_training_lines,
    plan_augmentation,
    send_over_line,
    telephone,
)
from speech_emotion.features import FeatureSettings, extract_batch

RATE = 22050
NARROW = 8000
SEEDS = range(3000)
DRAWN = [draw_line(TRAINING_LINE, seed) for seed in SEEDS]
STEEP = BandFilter("elliptic", 6, 300.0, 3400.0)


def decibels(power):
    return 10 * np.log10(power)


def power_at(samples, frequency, rate):
    """Power of the sine of this frequency in the sound."""
    phase = 2j * np.pi * frequency * np.arange(len(samples)) / rate
    return 2 * abs(np.mean(samples * np.exp(phase))) ** 2


def babble(seconds=2.0, rate=NARROW, seed=0):
    """Noise in the band of a telephone, whose level changes ten times a second."""
    generator = np.random.default_rng(seed)
    count = round(seconds * rate)
    band = signal.butter(4, [300, 3000], "bandpass", fs=rate, output="sos")
    level = np.repeat(generator.uniform(0.1, 1, round(10 * seconds) + 1), rate // 10)[:count]
    sound = signal.sosfilt(band, generator.standard_normal(count)) * level
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def seed_of(wanted):
    """The first seed whose training line fulfils a condition."""
    return next(seed for seed, line in zip(SEEDS, DRAWN, strict=True) if wanted(line))


def plain(line):
    return line.band is None and not line.codecs


def test_training_lines_cover_the_ranges():
    level = np.array([line.level_dbfs for line in DRAWN])
    noise = np.array([line.noise_dbfs for line in DRAWN])
    assert (level.min(), level.max()) == pytest.approx((-20, -1), abs=0.1)
    assert (noise.min(), noise.max()) == pytest.approx((-75, -45), abs=0.1)
    bands = [line.band for line in DRAWN if line.band is not None]
    assert 1 - len(bands) / len(DRAWN) == pytest.approx(1 / 4, abs=0.03)
    assert {band.low_hz for band in bands} == set(range(50, 401, 50))
    assert {band.high_hz for band in bands} == set(range(3000, 3801, 50))
    assert {band.order for band in bands} == {1, 2, 4, 6, 8, 10}
    tandems = [line for line in DRAWN if len(line.codecs) == 2]
    assert all(one != other for one, other in (line.codecs for line in tandems))
    # A tenth of the lines draws two codecs; of these, some draw "none" as one of them.
    assert len(tandems) / len(DRAWN) == pytest.approx(0.07, abs=0.02)


def test_training_lines_have_no_codec_or_filter_of_the_test_lines():
    codecs = {name for line in DRAWN for name in line.codecs}
    assert codecs == set(telephone.TRAINING_CODECS) - {telephone.NO_CODEC}
    assert {line.band.design for line in DRAWN if line.band} == {"butterworth"}
    tested = {name: draw_line(name, 5) for name in TEST_LINES}
    assert {name: line.codecs for name, line in tested.items()} == {
        "opus_12k": ("opus_12k",),
        "gsm": ("gsm",),
        "steep_ulaw": ("ulaw",),
    }
    assert tested["steep_ulaw"].band == STEEP
    assert not {"opus_12k", "gsm"} & codecs


def test_shares_of_codecs_are_those_stated():
    single = [line.codecs for line in DRAWN if len(line.codecs) < 2]
    for name, share in telephone.TRAINING_CODECS.items():
        wanted = () if name == telephone.NO_CODEC else (name,)
        assert single.count(wanted) / len(single) == pytest.approx(share, abs=0.04), name


def test_level_and_noise_are_those_of_the_line():
    drawn = draw_line(TRAINING_LINE, seed := seed_of(plain))
    tone = 0.02 * np.sin(2 * np.pi * 1000 * np.arange(4 * NARROW) / NARROW)
    received = send_over_line(tone, NARROW, line=TRAINING_LINE, seed=seed)
    # A sine has half the power of its squared peak.
    level = decibels(2 * power_at(received, 1000, NARROW))
    assert level == pytest.approx(drawn.level_dbfs, abs=0.05)
    scaled = tone * 10 ** (drawn.level_dbfs / 20) / np.abs(tone).max()
    rest = received - scaled.astype(np.float32)
    assert decibels(np.mean(rest**2)) == pytest.approx(drawn.noise_dbfs, abs=0.2)


def test_silence_gets_noise_alone():
    drawn = draw_line(TRAINING_LINE, seed := seed_of(plain))
    received = send_over_line(np.zeros(NARROW, "f4"), NARROW, line=TRAINING_LINE, seed=seed)
    assert decibels(np.mean(received**2)) == pytest.approx(drawn.noise_dbfs, abs=0.3)


@pytest.mark.parametrize(
    "band",
    [
        STEEP,
        *(BandFilter("butterworth", order, 100.0, 3500.0) for order in (1, 2, 4, 6, 8, 10)),
        BandFilter("butterworth", 4, 400.0, 3000.0),
    ],
)
def test_filters_have_the_response_of_their_design(band, monkeypatch):
    quiet = telephone.TelephoneLine(-6.0, -200.0, band, ())
    monkeypatch.setattr(telephone, "draw_line", lambda name, seed: quiet)

    def gain(frequency):
        tone = np.sin(2 * np.pi * frequency * np.arange(4 * NARROW) / NARROW)
        received = send_over_line(tone, NARROW, line=TRAINING_LINE, seed=0)[NARROW:]
        return decibels(2 * power_at(received, frequency, NARROW)) + 6.0

    middle = np.sqrt(band.low_hz * band.high_hz)
    assert gain(round(middle)) == pytest.approx(0, abs=0.6)
    if band.design == "elliptic":
        assert gain(310) > -0.6
        assert gain(3390) > -0.6
        assert gain(200) < -50
        assert gain(3700) < -50
    else:
        assert gain(band.low_hz) == pytest.approx(-3, abs=0.4)
        assert gain(band.high_hz) == pytest.approx(-3, abs=0.4)
        assert gain(band.low_hz / 4) < -6 * band.order


@pytest.mark.parametrize("name", telephone.CODECS)
@pytest.mark.parametrize("count", [1, 50, 161, 800, 1153, 8001, 16000])
def test_codecs_keep_length_and_position(name, count):
    sound = babble()[:count]
    decoded = telephone._encode_and_decode(sound, telephone.CODECS[name])
    assert decoded.dtype == np.float32
    assert decoded.shape == sound.shape
    assert np.isfinite(decoded).all()
    if count < 8000:
        return
    correlation = signal.correlate(decoded, sound, "full")
    assert correlation.argmax() - (count - 1) == 0
    assert np.corrcoef(decoded, sound)[0, 1] > 0.5
    assert not np.array_equal(decoded, sound)


def test_bit_rates_are_those_of_the_names(monkeypatch):
    sizes = {}
    write = telephone.soundfile.write

    def measure(buffer, samples, rate, **options):
        write(buffer, samples, rate, **options)
        sizes[options["subtype"], options.get("compression_level")] = (
            buffer.tell() * 8 / (len(samples) / rate) / 1000
        )

    monkeypatch.setattr(telephone.soundfile, "write", measure)
    for codec in telephone.CODECS.values():
        telephone._encode_and_decode(babble(10.0), codec)
    rates = [
        sizes[c.subtype, c.options.get("compression_level")] for c in telephone.CODECS.values()
    ]
    expected = {
        "ulaw": 64,
        "alaw": 64,
        "ima_adpcm": 32,
        "nms_adpcm_16": 16,
        "mp3_8k": 8,
        "mp3_16k": 16,
        "gsm": 13.2,
        "opus_12k": 12,
    }
    # The container of Opus takes about 1 kbit/s.
    assert dict(zip(telephone.CODECS, rates, strict=True)) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("rate", [8000, 16000, RATE, 48000])
def test_lines_keep_length_rate_and_position(line, rate):
    sound = babble(1.0, rate)
    sound[: rate // 2] = 0
    received = send_over_line(sound, rate, line=line, seed=3)
    assert received.dtype == np.float32
    assert received.shape == sound.shape
    envelope = np.convolve(received**2, np.ones(rate // 50), "same")
    onset = np.flatnonzero(envelope > 0.05 * envelope.max())[0] / rate
    assert onset == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("line", LINES)
def test_nothing_passes_above_four_kilohertz(line):
    for seed in range(6):
        received = send_over_line(babble(1.0, RATE), RATE, line=line, seed=seed)
        frequencies, density = signal.welch(received, RATE, nperseg=2048)
        assert decibels(density[frequencies > 4300].max() / density.max()) < -60


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("samples", [np.zeros(0), np.ones(1), np.zeros(400), 5 * np.ones(100)])
def test_degenerate_sounds_pass(line, samples):
    received = send_over_line(samples, RATE, line=line, seed=1)
    assert received.shape == samples.shape
    assert np.isfinite(received).all()


@pytest.mark.parametrize("line", LINES)
def test_lines_depend_on_the_seed_alone(line):
    sound = babble(0.5, RATE)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: send_over_line(sound, RATE, line=line, seed=7), range(6)))
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    other = send_over_line(sound, RATE, line=line, seed=8)
    assert not np.array_equal(other, results[0])


def test_lines_are_the_same_in_another_process():
    code = (
        "import hashlib, numpy as np; from speech_emotion.audio import *;"
        "sound = np.sin(np.arange(8000) / 5).astype('f4');"
        "found = [send_over_line(sound, 8000, line=n, seed=s) for n in LINES for s in range(5)];"
        "print(hashlib.sha256(np.stack(found).tobytes()).hexdigest(), line_of_test('a'))"
    )
    sound = np.sin(np.arange(8000) / 5).astype("f4")
    found = [
        send_over_line(sound, 8000, line=name, seed=seed) for name in LINES for seed in range(5)
    ]
    digest = hashlib.sha256(np.stack(found).tobytes()).hexdigest()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest, line_of_test("a")]


def test_seeds_of_transforms_and_lines_are_independent():
    # NumPy pads seeds with zeros: [seed, 0] would be the stream of the transforms.
    numbers = (telephone.DRAWS, telephone.NOISE, telephone.CHOICE)
    streams = [np.random.default_rng(5), *(np.random.default_rng([5, n]) for n in numbers)]
    assert len({stream.random() for stream in streams}) == 4


def test_unavailable_codecs_become_mu_law_in_training_and_errors_in_tests(monkeypatch):
    complete = telephone.soundfile.available_formats()
    without = {name: title for name, title in complete.items() if name not in {"MP3", "OGG"}}
    monkeypatch.setattr(telephone.soundfile, "available_formats", lambda: without)
    telephone._is_available.cache_clear()
    try:
        for before, seed in zip(DRAWN[:300], SEEDS, strict=False):
            after = draw_line(TRAINING_LINE, seed)
            replaced = ["ulaw" if name.startswith("mp3") else name for name in before.codecs]
            assert after.codecs == tuple(dict.fromkeys(replaced))
            assert (after.level_dbfs, after.band) == (before.level_dbfs, before.band)
        with pytest.raises(LineUnavailable, match=r"opus_12k needs Opus.*install libsndfile 1\.2"):
            send_over_line(babble(), NARROW, line="opus_12k", seed=0)
        recordings = pd.DataFrame({"utterance_id": ["a"], "variant": 0})
        with pytest.raises(LineUnavailable, match=r"augmentation\.telephone to false"):
            over_test_lines(recordings)
    finally:
        telephone._is_available.cache_clear()


def test_unknown_lines_are_refused():
    with pytest.raises(UnknownLine, match="'isdn', expected one of: training, opus_12k"):
        send_over_line(babble(), NARROW, line="isdn", seed=0)


def recordings_of(names):
    return pd.DataFrame(
        {
            "utterance_id": names,
            "variant": 0,
            "transform": NONE,
            "value": 0.0,
            "seed": 0,
            "line": "",
        }
    )


def test_plans_of_lines_depend_on_the_utterance_alone():
    names = [f"corpus:{number}" for number in range(600)]
    tests = over_test_lines(recordings_of(names))
    assert (tests["variant"] == TELEPHONE_TEST).all()
    assert tests["line"].tolist() == [line_of_test(name) for name in names]
    assert tests["line"].value_counts(normalize=True).to_numpy() == pytest.approx(1 / 3, abs=0.06)
    # Neighbours in file order, and every sixth file (an emotion), have all lines alike.
    sixths = tests.iloc[::6]["line"].value_counts(normalize=True)
    assert sixths.to_numpy() == pytest.approx(1 / 3, abs=0.13)
    backwards = over_test_lines(recordings_of(names[::-1])).iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(backwards, tests)
    assert tests["seed"].is_unique


def test_copies_have_versions_over_training_lines(tone, write_sound):
    path = write_sound("a.wav", tone(1000, seconds=0.5) + tone(6000, seconds=0.5))
    chosen = AugmentationSettings.model_validate(
        {"copies": [{"transform": "speed", "value": 0.5}], "variants": 0, "transforms": {}}
    )
    plan = pd.concat([recordings_of(["a"]), plan_augmentation(["a"], chosen)], ignore_index=True)
    over = over_training_lines(plan)
    assert over["variant"].tolist() == [-1, -2]
    assert over["line"].tolist() == [TRAINING_LINE] * 2
    assert over["seed"].iloc[1] == plan["seed"].iloc[1]  # the copy itself is the same
    assert over["seed"].iloc[0] not in {0, plan["seed"].iloc[1]}
    rows = [plan, over, over_test_lines(recordings_of(["a"]))]
    rows = pd.concat(rows, ignore_index=True).assign(path=str(path))
    features = extract_batch(rows, FeatureSettings()).set_index("variant")
    np.testing.assert_allclose(features["duration"], [0.5, 1, 0.5, 1, 0.5], atol=0.05)
    # At half the speed both tones lie within the telephone band.
    assert features.loc[-1, "centroid_mean"] == pytest.approx(1000, rel=0.15)
    assert features.loc[-2, "centroid_mean"] > 1400
    assert (features["treble_ratio_mean"] < -50).to_dict() == {
        0: False,
        1: True,
        -1: True,
        -2: True,
        TELEPHONE_TEST: True,
    }
