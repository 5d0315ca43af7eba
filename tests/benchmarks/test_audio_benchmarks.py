"""Speed of features and augmentation, each relative to a reference on the same clip of 3.7 s.

The reference of a feature set is the minimum that any set needs: decoding, resampling and one STFT. Feature
sets are timed both from samples in memory and from a file. Chroma uses concert pitch (``tuning=0``) here and
in librosa; the cost of librosa's default, an estimated tuning, is listed separately. One thread runs all.
"""

from collections.abc import Callable

import librosa
import numpy as np
import pytest
import soundfile
from threadpoolctl import threadpool_limits

from speech_emotion.audio import TRANSFORMS, augment, load_audio, read_samples
from speech_emotion.features import FEATURE_SETS, FeatureSettings, extract, extract_features

RATE = 22050
SECONDS = 3.7
MOST = {"means_184": 1.5, "contours_3490": 3.0}
"""Times the floor that a set may cost."""
FASTER = {"means_184": 6.0}
"""Times that a set must be faster than a librosa call a feature."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A 48 kHz file like those of RAVDESS: a voiced sound with pauses at both ends."""
    rate = 48000
    times = np.arange(round(SECONDS * rate)) / rate
    phase = 2 * np.pi * np.cumsum(180 + 40 * np.sin(2 * np.pi * 1.5 * times)) / rate
    voice = sum(np.sin(number * phase) / number for number in range(1, 25))
    samples = 0.1 * voice * np.clip(np.sin(np.pi * times / SECONDS) * 1.6 - 0.6, 0, 1)
    samples += 1e-4 * np.random.default_rng(0).standard_normal(len(times))
    path = tmp_path_factory.mktemp("sound") / "clip.wav"
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def samples(recording):
    return load_audio(recording, RATE)


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


def of_set(name: str) -> Callable[[np.ndarray], object]:
    return lambda samples: extract_features(samples, RATE, name)


CASES: dict[str, Callable[[np.ndarray], object]] = {
    **{name: of_set(name) for name in FEATURE_SETS},
    "statistics and sequence": lambda samples: extract(samples, RATE, settings=FeatureSettings()),
    "librosa, estimated tuning": lambda samples: separate_calls(samples, None),
}


@pytest.mark.benchmark(group="features")
@pytest.mark.parametrize("name", CASES)
def test_features(benchmark, recording, samples, take_turns, ratios, name):
    benchmark(CASES[name], samples)
    load, stft, separate, case = take_turns(
        lambda: load_audio(recording, RATE),
        lambda: librosa.stft(samples),
        lambda: separate_calls(samples, 0.0),
        lambda: CASES[name](samples),
    )
    most, floor = MOST.get(name), load + stft
    ratios.add(name, "decode, resample, STFT", case / floor, at_most=most)
    ratios.add(f"{name}, of a file", "decode, resample, STFT", (load + case) / floor, at_most=most)
    ratios.add(
        "librosa, a call a feature, tuning=0", name, separate / case, at_least=FASTER.get(name)
    )


def test_means_are_those_of_librosa(samples):
    ours = extract_features(samples, RATE, "means_184").to_numpy()
    np.testing.assert_allclose(ours, separate_calls(samples, 0.0), rtol=1e-4, atol=1e-9)


@pytest.mark.benchmark(group="decode and resample")
def test_load(benchmark, recording):
    assert len(benchmark(load_audio, recording, RATE)) == round(SECONDS * RATE)


MP3 = "call, MP3 without Xing header.mp3"
DECODED = {
    "clip.wav": "clip.wav",
    "call.wav": "call.wav",
    "call.flac": "call.flac",
    MP3: "call.mp3",
}
"""Files, and those that libsndfile reads to the same end: without Xing header it stops at an estimate."""


@pytest.fixture(scope="module")
def files(tmp_path_factory, recording):
    """A clip, and five minutes of a telephone call in several formats."""
    folder, rate = tmp_path_factory.mktemp("decoding"), 8000
    call = np.resize(load_audio(recording, rate), 300 * rate)
    for name in ("call.wav", "call.flac"):
        soundfile.write(folder / name, np.stack([call, call[::-1]], axis=1), rate)
    soundfile.write(folder / "call.mp3", call, rate, bitrate_mode="VARIABLE")
    content = (folder / "call.mp3").read_bytes()
    first = content.index(b"Xing") - 13  # the frame that holds the header, then frames of sound
    (folder / MP3).write_bytes(content[content.index(content[first : first + 2], first + 40) :])
    return {path.name: path for path in (recording, *folder.iterdir())}


def by_libsndfile(path):
    with soundfile.SoundFile(path) as file:
        blocks = []
        while len(block := file.read(10 * file.samplerate, dtype="float32", always_2d=True)):
            blocks.append(block)
    return np.concatenate(blocks)


@pytest.mark.benchmark(group="decode")
@pytest.mark.parametrize("name", DECODED)
def test_decoding(benchmark, files, take_turns, ratios, name):
    path, other = files[name], files[DECODED[name]]
    samples = benchmark.pedantic(read_samples, args=(path,), rounds=5)[0]
    assert len(samples) == pytest.approx(len(by_libsndfile(other)), abs=2000)  # MP3: its padding
    case, reference = take_turns(
        lambda: read_samples(path), lambda: by_libsndfile(other), rounds=15
    )
    ratios.add(f"decoding {name}", "blocks of libsndfile", case / reference, at_most=2)


VALUES = {
    "speed": 0.9,
    "noise": 10.0,
    "pitch_shift": 2.0,
    "time_stretch": 1.2,
    "time_shift": 0.1,
    "trim": 30.0,
    "gain": 6.0,
    "colored_noise": 10.0,
    "reverberation": 0.5,
}
LIBROSA: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "pitch_shift": lambda samples: librosa.effects.pitch_shift(samples, sr=RATE, n_steps=2.0),
    "time_stretch": lambda samples: librosa.effects.time_stretch(samples, rate=1.2),
}


@pytest.mark.benchmark(group="augmentation")
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms(benchmark, samples, take_turns, ratios, transform):
    def change():
        return augment(samples, RATE, transform=transform, value=VALUES[transform], seed=1)

    assert np.isfinite(benchmark(change)).all()
    case, copy = take_turns(change, samples.copy)
    ratios.add(transform, "a copy of the samples", case / copy)
    if transform in LIBROSA:
        case, reference = take_turns(change, lambda: LIBROSA[transform](samples), rounds=5)
        ratios.add(f"{transform} by librosa", f"{transform} by python-stretch", reference / case)
