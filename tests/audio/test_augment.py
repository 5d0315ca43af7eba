import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import audiomentations
import librosa
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import signal

from speech_emotion.audio import (
    NONE,
    TRANSFORMS,
    AugmentationSettings,
    UnknownTransform,
    augment,
    plan_augmentation,
)
from speech_emotion.features import FeatureSettings, extract_batch

RATE = 22050
RANGES = {
    "noise": {"low": 5, "high": 30},
    "pitch_shift": {"low": -2, "high": 2},
    "time_stretch": {"low": 0.8, "high": 1.2},
    "time_shift": {"low": -0.1, "high": 0.1},
    "trim": {"low": 25, "high": 40},
    "gain": {"low": -8, "high": 6},
    "colored_noise": {"low": 5, "high": 30},
    "reverberation": {"low": 0.1, "high": 0.8},
    "speed": {"low": 0.8, "high": 1.25},
}
SETTINGS = AugmentationSettings.model_validate({"variants": 2, "transforms": RANGES})


def peak_frequency(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * RATE / len(samples)


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


def with_pauses(seconds=1.0, rate=RATE):
    """Noise that swells and fades, quiet at both ends."""
    length = round(seconds * rate)
    swell = np.clip(np.sin(np.linspace(0, np.pi, length)) * 1.6 - 0.6, 1e-5, 1)
    return (0.2 * swell * np.random.default_rng(0).standard_normal(length)).astype(np.float32)


REFERENCES = {
    "gain": (
        lambda samples, rate, value: audiomentations.Gain(value, value, p=1)(samples, rate),
        [-40.0, -3.3, 0.0, 6.0, 40.0],
    ),
    "time_shift": (
        lambda samples, rate, value: audiomentations.Shift(value, value, rollover=False, p=1)(
            samples, rate
        ),
        [-0.5, -0.123, -1e-3, 0.0, 1e-6, 0.1, 0.5],
    ),
    "trim": (
        lambda samples, rate, value: librosa.effects.trim(samples, top_db=value)[0],
        [10.0, 30.0, 55.0, 80.0],
    ),
    "pitch_shift": (
        lambda samples, rate, value: audiomentations.PitchShift(value, value, p=1)(samples, rate),
        [-3.3, 2.0],
    ),
    "time_stretch": (
        lambda samples, rate, value: audiomentations.TimeStretch(
            value, value, leave_length_unchanged=False, p=1
        )(samples, rate),
        [0.8, 1.25],
    ),
}


@pytest.mark.parametrize("rate", [8000, RATE])
@pytest.mark.parametrize("seconds", [0.06, 1.0001])
@pytest.mark.parametrize(
    ("transform", "value"),
    [(name, value) for name, (_, values) in REFERENCES.items() for value in values],
)
def test_transforms_equal_those_of_the_libraries(transform, value, seconds, rate):
    sound = with_pauses(seconds, rate)
    expected = REFERENCES[transform][0](sound, rate, value)
    changed = augment(sound, rate, transform=transform, value=value, seed=0)
    np.testing.assert_allclose(changed, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("value", [-20.0, 10.0, 100.0])
def test_noise_level_equals_that_of_audiomentations(value):
    clean = with_pauses(4)
    reference = audiomentations.AddGaussianSNR(value, value, p=1)
    reference.randomize_parameters(clean, RATE)
    deviation = reference.parameters["noise_std"]
    noisy = augment(clean, RATE, transform="noise", value=value, seed=3)
    drawn = np.random.default_rng(3).standard_normal(len(clean), dtype=np.float32)
    np.testing.assert_allclose(noisy - clean, deviation * drawn, rtol=1e-4, atol=1e-7)
    assert level_db(clean) - level_db(deviation * drawn) == pytest.approx(value, abs=0.1)
    other = augment(clean, RATE, transform="noise", value=value, seed=4)
    assert not np.array_equal(noisy, other)


@pytest.mark.parametrize(("semitones", "expected"), [(12, 880), (-12, 220), (0, 440)])
def test_pitch_shift_keeps_the_length(tone, semitones, expected):
    shifted = augment(tone(seconds=2), RATE, transform="pitch_shift", value=semitones, seed=0)
    assert peak_frequency(shifted) == pytest.approx(expected, rel=0.01)
    assert len(shifted) == 2 * RATE


@pytest.mark.parametrize("rate", [0.5, 1.25, 2.0])
def test_time_stretch_keeps_the_pitch(tone, rate):
    stretched = augment(tone(seconds=2), RATE, transform="time_stretch", value=rate, seed=0)
    assert len(stretched) == pytest.approx(2 * RATE / rate, rel=0.02)
    assert peak_frequency(stretched) == pytest.approx(440, rel=0.01)


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_speed_changes_pitch_and_length(tone, factor):
    changed = augment(tone(440, seconds=2), RATE, transform="speed", value=factor, seed=0)
    assert len(changed) == pytest.approx(2 * RATE / factor, rel=0.001)
    spectrum = np.abs(np.fft.rfft(changed))
    peak = np.fft.rfftfreq(len(changed), 1 / RATE)[spectrum.argmax()]
    assert peak == pytest.approx(440 * factor, rel=0.002)


def test_copies_precede_variants_and_are_the_same_for_all():
    copies = [{"transform": "speed", "value": 0.9}, {"transform": "gain", "value": -6}]
    chosen = AugmentationSettings.model_validate(
        {"copies": copies, "variants": 1, "transforms": RANGES}
    )
    plan = plan_augmentation(["a", "b"], chosen)
    assert list(plan["variant"]) == [1, 2, 3] * 2
    assert list(plan["transform"].iloc[:2]) == ["speed", "gain"]
    assert list(plan["value"].iloc[3:5]) == [0.9, -6]


def test_gain_shift_and_trim(tone):
    sound = tone(seconds=1)
    louder = augment(sound, RATE, transform="gain", value=6, seed=0)
    assert level_db(louder) - level_db(sound) == pytest.approx(6, abs=0.01)
    shifted = augment(sound, RATE, transform="time_shift", value=0.25, seed=0)
    start = np.flatnonzero(np.abs(shifted) > 0.1)[0]
    assert start == pytest.approx(RATE / 4, abs=200)
    padded = np.concatenate([np.zeros(RATE, np.float32), sound, np.zeros(RATE, np.float32)])
    trimmed = augment(padded, RATE, transform="trim", value=30, seed=0)
    assert len(trimmed) == pytest.approx(len(sound), abs=4096)


@pytest.mark.parametrize("value", [-5.0, 20.0])
def test_colored_noise_has_its_level_and_falls_with_frequency(value):
    clean = with_pauses(4)
    slopes = []
    for seed in range(8):
        noise = augment(clean, RATE, transform="colored_noise", value=value, seed=seed) - clean
        assert level_db(clean) - level_db(noise) == pytest.approx(value, abs=0.1)
        frequencies, density = signal.welch(noise, RATE, nperseg=4096)
        octaves = (frequencies > 100) & (frequencies < 6400)
        slope = np.polyfit(np.log2(frequencies[octaves]), 10 * np.log10(density[octaves]), 1)[0]
        slopes.append(slope)
    assert all(-6.4 < slope < -2.6 for slope in slopes)  # dB per octave, brown to pink
    assert max(slopes) - min(slopes) > 1


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.0])
def test_reverberation_decays_by_60_db_in_its_time(seconds):
    length = 2 * RATE
    click = np.zeros(length, dtype=np.float32)
    click[100] = 1.0
    wet = augment(click, RATE, transform="reverberation", value=seconds, seed=2)
    assert len(wet) == length
    assert wet[:100] == pytest.approx(0, abs=1e-6)
    assert wet.argmax() == 100
    assert level_db(wet) == pytest.approx(level_db(click), abs=0.01)
    # Backward integration of the tail (Schroeder): the slope of the decay from -5 to -25 dB.
    tail = wet[101 : 101 + round(seconds * RATE)].astype(float)
    remaining = np.cumsum(tail[::-1] ** 2)[::-1]
    decay = 10 * np.log10(remaining / remaining[0])
    straight = (decay < -5) & (decay > -25)
    times = np.arange(len(tail)) / RATE
    slope = np.polyfit(times[straight], decay[straight], 1)[0]
    assert -60 / slope == pytest.approx(seconds, rel=0.1)
    direct = 20 * np.log10(wet[100] / np.sqrt(tail @ tail))
    assert 0 <= direct <= 10


def test_without_effect_transforms_return_the_sound(tone):
    sound = tone(seconds=0.5)
    for name, transform in TRANSFORMS.items():
        if name == "trim":
            continue
        changed = augment(sound, RATE, transform=name, value=transform.neutral, seed=3)
        assert level_db(changed[1000:-1000] - sound[1000:-1000] + 1e-9) < level_db(sound) - 25, name


@given(
    names=st.sets(st.text("abcdefgh", min_size=1, max_size=6), min_size=2, max_size=12),
    variants=st.integers(1, 4),
)
@settings(max_examples=25, deadline=None)
def test_plans_of_subsets_equal_the_whole(names, variants):
    chosen = SETTINGS.model_copy(update={"variants": variants})
    whole = plan_augmentation(names, chosen)
    assert len(whole) == len(names) * variants
    some = sorted(names)[::2]
    subset = whole[whole["utterance_id"].isin(some)].reset_index(drop=True)
    pd.testing.assert_frame_equal(plan_augmentation(reversed(some), chosen), subset)
    for row in whole.itertuples():
        limits = SETTINGS.transforms[row.transform]
        assert limits.low <= row.value <= limits.high


def test_weights_set_the_frequency_of_transforms():
    ranges = {"gain": {"low": 1, "high": 1, "weight": 3}, "trim": {"low": 30, "high": 30}}
    ranges["noise"] = {"low": 5, "high": 5, "weight": 0}
    chosen = AugmentationSettings.model_validate({"variants": 1, "transforms": ranges})
    counts = plan_augmentation(map(str, range(2000)), chosen)["transform"].value_counts()
    assert "noise" not in counts
    assert counts["gain"] / 2000 == pytest.approx(0.75, abs=0.03)


def test_plan_is_the_same_in_another_process():
    code = (
        "import json, sys; from speech_emotion.audio import *;"
        "s = AugmentationSettings.model_validate(json.loads(sys.argv[1]));"
        "print(plan_augmentation(['a', 'b'], s).to_json())"
    )
    arguments = [sys.executable, "-c", code, SETTINGS.model_dump_json()]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    expected = json.loads(plan_augmentation(["a", "b"], SETTINGS).to_json())
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize(
    ("transform", "value"),
    [
        *((name, SETTINGS.transforms[name].high) for name in TRANSFORMS),
        *((name, limits.smallest) for name, limits in TRANSFORMS.items()),
    ],
)
def test_transforms_are_deterministic_in_threads_and_leave_global_states_alone(
    transform, value, tone
):
    sound = tone(seconds=0.5) + 0.01
    np.random.seed(1)  # noqa: NPY002
    before = str(np.random.get_state()), random.getstate()  # noqa: NPY002

    def change(_):
        return augment(sound, RATE, transform=transform, value=value, seed=7)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(change, range(8)))
    for result in results:
        np.testing.assert_array_equal(result, results[0])
        assert np.isfinite(result).all()
        assert len(result) > 0
    assert (str(np.random.get_state()), random.getstate()) == before  # noqa: NPY002


def test_batches_report_failures(tone, write_sound, tmp_path):
    good = [write_sound(f"{name}.wav", tone(f)) for name, f in (("a", 300), ("b", 500))]
    paths = pd.Series([*good, tmp_path / "gone.wav"], index=["a", "b", "c"]).astype(str)
    plan = plan_augmentation(["a", "b", "c"], SETTINGS)
    recordings = pd.DataFrame({"utterance_id": ["a", "b", "c"], "variant": 0})
    recordings = recordings.assign(transform=NONE, value=0.0, seed=0, line="")
    rows = pd.concat([plan, recordings], ignore_index=True)
    rows["path"] = rows["utterance_id"].map(paths)
    alone = extract_batch(rows, FeatureSettings())
    assert alone[["utterance_id", "variant"]].equals(rows[["utterance_id", "variant"]])
    failed = alone["utterance_id"] == "c"
    assert (alone.loc[failed, "reason"].str.startswith("no such file")).all()
    assert (alone.loc[~failed, "reason"] == "").all()
    original = alone[(alone["utterance_id"] == "a") & (alone["variant"] == 0)].iloc[0]
    assert original["centroid_mean"] == pytest.approx(300, abs=15)


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        (
            {"variants": 1, "transforms": {"reverb": {}}},
            "no transform 'reverb', expected one of: speed, noise",
        ),
        (
            {"copies": [{"transform": "speed", "value": 3.0}], "transforms": RANGES},
            "speed: 3 times as fast is outside 0.5",
        ),
        ({"variants": 1, "transforms": {"gain": {"low": 2, "high": 1}}}, "low 2.0 is above high 1"),
        ({"variants": 1, "transforms": {"pitch_shift": {"low": -30}}}, "outside -12 … 12"),
        ({"variants": 1, "transforms": {"gain": {"weight": 0}}}, "a weight above 0"),
        ({"variants": -1, "transforms": RANGES}, "variants"),
        ({"variants": 101, "transforms": RANGES}, "less than or equal to 100"),
        (
            {"transforms": {"reverberation": {"low": 1, "high": 4}}},
            "reverberation: 1 … 4 s until -60 dB",
        ),
    ],
)
def test_invalid_settings_are_rejected(given_settings, message):
    with pytest.raises(ValidationError, match=message):
        AugmentationSettings.model_validate(given_settings)


def test_unknown_transforms_are_rejected(tone):
    with pytest.raises(UnknownTransform, match="'reverb'"):
        augment(tone(), RATE, transform="reverb", value=0, seed=0)
