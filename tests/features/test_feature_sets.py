from pathlib import Path

import librosa
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from speech_emotion.audio import AudioError, trim_silence
from speech_emotion.features import (
    FeatureSettings,
    SequenceSettings,
    UnknownFeatureSet,
    extract,
    extract_features,
    feature_names,
    frame_features,
    sequence_names,
    sequence_shape,
)

RATE = 22050
PROJECT = Path(__file__).resolve().parents[2]


def noise(seconds=1.0, seed=0, amplitude=0.1):
    generator = np.random.default_rng(seed)
    return (amplitude * generator.standard_normal(round(seconds * RATE))).astype(np.float32)


def test_centroid_of_a_tone_is_its_frequency(tone):
    features = extract_features(tone(440), RATE)
    assert features["centroid_mean"] == pytest.approx(440, abs=15)
    assert features["bandwidth_mean"] < 150
    assert features["zcr_mean"] == pytest.approx(2 * 440 / RATE, rel=0.05)
    chroma = features.filter(regex=r"^chroma_\d+_mean")
    assert chroma.idxmax() == "chroma_09_mean"  # A, counted from C


def test_rms_of_a_tone(tone):
    features = extract_features(tone(440, seconds=3, amplitude=0.5), RATE, "means_184")
    # The first and last frames extend beyond the recording.
    assert features["rms_mean"] == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_centroid_of_white_noise_is_a_quarter_of_the_rate():
    features = extract_features(noise(3), RATE)
    assert features["centroid_mean"] == pytest.approx(RATE / 4, rel=0.03)
    assert features["zcr_mean"] == pytest.approx(0.5, rel=0.05)


def chirp_with_noise():
    times = np.arange(2 * RATE) / RATE
    sweep = 0.3 * np.sin(2 * np.pi * (200 * times + 700 * times**2)) * np.hanning(len(times))
    return (sweep + noise(2, amplitude=0.01)).astype(np.float32)


@pytest.mark.parametrize("signal", [chirp_with_noise(), noise(0.7), noise(0.06)])
def test_frames_equal_librosa(signal):
    features = frame_features(signal, RATE)
    reference = {
        "rms": librosa.feature.rms(y=signal),
        "centroid": librosa.feature.spectral_centroid(y=signal, sr=RATE),
        "bandwidth": librosa.feature.spectral_bandwidth(y=signal, sr=RATE),
        "rolloff": librosa.feature.spectral_rolloff(y=signal, sr=RATE),
        "zcr": librosa.feature.zero_crossing_rate(signal),
        "chroma": librosa.feature.chroma_stft(y=signal, sr=RATE, tuning=0),
        "mfcc": librosa.feature.mfcc(y=signal, sr=RATE, n_mfcc=40),
        "mel": librosa.feature.melspectrogram(y=signal, sr=RATE),
        "mel_db": librosa.power_to_db(librosa.feature.melspectrogram(y=signal, sr=RATE)),
    }
    for name, expected in reference.items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            features[name].T / scale, expected / scale, atol=1e-4, err_msg=name
        )


@pytest.mark.parametrize("top_db", [10, 30, 90])
@pytest.mark.parametrize("length", [1, 511, 512, 1300, RATE, RATE + 300])
@pytest.mark.parametrize("level", [1.0, 1e-3, 1e-5, 0.0])
def test_trimming_equals_librosa(level, length, top_db):
    ends = np.zeros(3000, np.float32), 1e-4 * noise(0.6)
    signal = level * np.concatenate([ends[0], noise(3)[:length], ends[1]])
    expected, _ = librosa.effects.trim(signal, top_db=top_db)
    np.testing.assert_array_equal(trim_silence(signal, top_db), expected)
    bare, _ = librosa.effects.trim(level * noise(3)[:length], top_db=top_db)
    np.testing.assert_array_equal(trim_silence(level * noise(3)[:length], top_db), bare)


def test_names_of_feature_sets():
    assert len(feature_names("means_184")) == 184
    assert len(feature_names("moments_370")) == 370
    assert len(set(feature_names("moments_370"))) == 370
    assert {"rms_db_mean", "mfcc_07_std", "mel_db_013_mean"} <= set(feature_names("moments_370"))
    assert len(feature_names("means_184", n_mfcc=20)) == 164
    assert len(feature_names("means_36", n_mfcc=20)) == 36
    assert len(feature_names("means_162", n_mfcc=20)) == 162
    assert extract_features(noise(), RATE).index.tolist() == feature_names()


def test_gain_changes_the_level_only():
    quiet, loud = noise(amplitude=0.01), noise(amplitude=0.1)
    difference = extract_features(loud, RATE) - extract_features(quiet, RATE)
    assert difference["rms_db_mean"] == pytest.approx(20, abs=0.05)
    assert difference["centroid_mean"] == pytest.approx(0, abs=1)


def test_silence_at_both_ends_does_not_change_the_default_set():
    signal = chirp_with_noise()[: 40 * 512]
    padded = np.concatenate(
        [np.zeros(20 * 512, np.float32), signal, np.zeros(20 * 512, np.float32)]
    )
    trimmed = extract_features(trim_silence(padded, 30), RATE, "means_184")
    both = extract_features(padded, RATE), extract_features(signal, RATE)
    np.testing.assert_allclose(both[0]["centroid_mean"], both[1]["centroid_mean"], rtol=0.05)
    assert extract_features(padded, RATE, "means_184")["rms_mean"] < 0.7 * trimmed["rms_mean"]


def test_statistics_and_sequence_share_one_spectrogram():
    settings_ = FeatureSettings()
    statistics, sequence = extract(noise(1.0), RATE, settings=settings_)
    np.testing.assert_array_equal(statistics, extract_features(noise(1.0), RATE))
    assert sequence.shape == sequence_shape(settings_)
    names = sequence_names(settings_.sequence)
    assert sequence.shape[1] == len(names) == 57
    is_frame = np.any(sequence != 0, axis=1)
    assert is_frame.sum() == -(-(1 + RATE // 512) // 2)  # frames in pairs
    assert not is_frame[is_frame.sum() :].any()
    centroid = sequence[: is_frame.sum(), names.index("centroid")]
    assert centroid.mean() == pytest.approx(statistics["centroid_mean"], rel=0.01)


def test_long_utterances_are_truncated():
    settings_ = FeatureSettings(sequence=SequenceSettings(seconds=0.5, pool=1))
    _, sequence = extract(noise(2), RATE, settings=settings_)
    assert sequence.shape[0] == round(0.5 * RATE / 512)
    assert np.any(sequence != 0, axis=1).all()


@given(
    seconds=st.floats(0.06, 3.0),
    amplitude=st.floats(1e-3, 2.0),
    seed=st.integers(0, 2**16),
    chosen=st.sampled_from(["means_184", "moments_370", "contours_3490"]),
)
@settings(max_examples=25, deadline=None)
def test_features_are_finite(seconds, amplitude, seed, chosen):
    features = extract_features(noise(seconds, seed, amplitude), RATE, chosen)
    assert np.isfinite(features).all()
    assert features.dtype == np.float32


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(RATE), "silent"),
        (np.full(RATE, np.nan), "NaN or infinite"),
        (np.ones((2, RATE)), "average the channels"),
        (np.ones(100), "too short"),
        (np.zeros(0), "too short"),
    ],
)
def test_unusable_samples_are_rejected(samples, message):
    with pytest.raises(AudioError, match=message):
        extract_features(samples, RATE)


def test_errors_for_unknown_feature_sets_list_the_known_ones():
    known = "means_184, means_36, means_162, moments_370, functionals_610, contours_3490"
    with pytest.raises(UnknownFeatureSet, match=f"'best', expected one of: {known}"):
        extract_features(noise(), RATE, "best")
    with pytest.raises(ValidationError, match="expected one of: means_184"):
        FeatureSettings(feature_set="best")
    with pytest.raises(ValueError, match="above 0 Hz"):
        extract_features(noise(), 0)


def test_defaults_equal_the_base_configuration():
    configured = yaml.safe_load(
        (PROJECT / "conf/base/feature_engineering/parameters.yml").read_text()
    )
    assert FeatureSettings.model_validate(configured["features"]) == FeatureSettings()
