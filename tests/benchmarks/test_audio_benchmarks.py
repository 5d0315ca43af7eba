"""Speed of feature extraction, each figure beside its reference on the same 3.7 s clip.

``extra_info`` of each case in the group ``features`` holds its cost relative to the floor (decode,
resample and one STFT), from alternating rounds, so that a busy machine slows both sides alike.
"""

import time
from collections.abc import Callable

import librosa
import numpy as np
import pytest

from speech_emotion.audio import (
    TRANSFORMS,
    FeatureSettings,
    augment,
    extract,
    extract_features,
    load_audio,
)

RATE = 22050
SECONDS = 3.7
ROUNDS = 30


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A 48 kHz file like those of RAVDESS: a voiced sound with pauses at both ends."""
    import soundfile

    rate = 48000
    times = np.arange(round(SECONDS * rate)) / rate
    phase = 2 * np.pi * np.cumsum(180 + 40 * np.sin(2 * np.pi * 1.5 * times)) / rate
    voice = sum(np.sin(number * phase) / number for number in range(1, 25))
    samples = 0.1 * voice * np.clip(np.sin(np.pi * times / SECONDS) * 1.6 - 0.6, 0, 1)
    samples += 1e-4 * np.random.default_rng(0).standard_normal(len(times))
    path = tmp_path_factory.mktemp("sound") / "clip.wav"
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


def separate_calls(samples: np.ndarray, tuning: float | None) -> np.ndarray:
    """Compute the 184 means as notebooks do: every librosa function starts from the samples."""
    frames = [
        librosa.feature.rms(y=samples),
        librosa.feature.spectral_centroid(y=samples, sr=RATE),
        librosa.feature.spectral_rolloff(y=samples, sr=RATE),
        librosa.feature.zero_crossing_rate(samples),
        librosa.feature.chroma_stft(y=samples, sr=RATE, tuning=tuning),
        librosa.feature.mfcc(y=samples, sr=RATE, n_mfcc=40),
        librosa.feature.melspectrogram(y=samples, sr=RATE),
    ]
    return np.concatenate([values.mean(axis=1) for values in frames])


def medians(*functions: Callable[[], object]) -> list[float]:
    """Median seconds of each function; the functions take turns."""
    taken = np.empty((ROUNDS, len(functions)))
    for function in functions:
        function()
    for row in taken:
        for column, function in enumerate(functions):
            start = time.perf_counter()
            function()
            row[column] = time.perf_counter() - start
    return np.median(taken, axis=0).tolist()


CASES: dict[str, Callable[[np.ndarray], object]] = {
    "stft": librosa.stft,
    "means_184": lambda samples: extract_features(samples, RATE, "means_184"),
    "moments_370": lambda samples: extract_features(samples, RATE, "moments_370"),
    "functionals_610": lambda samples: extract_features(samples, RATE, "functionals_610"),
    "statistics_and_sequence": lambda samples: extract(samples, RATE, settings=FeatureSettings()),
    "separate_calls": lambda samples: separate_calls(samples, 0.0),
    "separate_calls_default_tuning": lambda samples: separate_calls(samples, None),
}


@pytest.mark.benchmark(group="features")
@pytest.mark.parametrize("name", CASES)
def test_features(benchmark, recording, name):
    samples = load_audio(recording, RATE)
    benchmark(CASES[name], samples)
    load, stft, means, case = medians(
        lambda: load_audio(recording, RATE),
        lambda: librosa.stft(samples),
        lambda: CASES["means_184"](samples),
        lambda: CASES[name](samples),
    )
    ratios = {
        "with load / (load + stft)": (load + case) / (load + stft),
        "alone / (load + stft)": case / (load + stft),
        "alone / means_184": case / means,
    }
    benchmark.extra_info.update({key: round(value, 2) for key, value in ratios.items()})
    print(f"\n{name}: {benchmark.extra_info}")  # noqa: T201


@pytest.mark.benchmark(group="decode and resample")
def test_load(benchmark, recording):
    assert len(benchmark(load_audio, recording, RATE)) == round(SECONDS * RATE)


VALUES = {
    "speed": 0.9,
    "noise": 10.0,
    "pitch_shift": 2.0,
    "time_stretch": 1.2,
    "time_shift": 0.1,
    "trim": 30.0,
    "gain": 6.0,
    "telephone": 0.0,
}


@pytest.mark.benchmark(group="augmentation")
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms(benchmark, recording, transform):
    samples = load_audio(recording, RATE)
    changed = benchmark(
        augment, samples, RATE, transform=transform, value=VALUES[transform], seed=1
    )
    assert np.isfinite(changed).all()
