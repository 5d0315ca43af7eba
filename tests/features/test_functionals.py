import librosa
import numpy as np
import pytest

from speech_emotion.features import (
    FeatureSettings,
    extract_features,
    feature_names,
    frame_features,
)

RATE = 22050
SET = "functionals_610"


def voice(frequency, seconds=1.0, amplitude=0.3):
    """A pulse-like periodic sound: twelve harmonics that fall by their number."""
    times = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(frequency, times.shape)) / RATE
    wave = sum(np.sin(number * phase) / number for number in range(1, 13))
    return (amplitude * wave / np.abs(wave).max()).astype(np.float32)


def noise(seconds=1.0, amplitude=0.1):
    generator = np.random.default_rng(0)
    return (amplitude * generator.standard_normal(round(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize("frequency", [80, 120, 220, 350, 550])
def test_pitch_of_a_voice(frequency):
    frames = frame_features(voice(frequency), RATE, prosody=True)
    pitch = 27.5 * 2 ** (np.median(frames["pitch"]) / 12)
    assert pitch == pytest.approx(frequency, rel=0.005)
    assert frames["voiced"].mean() == 1
    assert np.median(frames["harmonicity"]) > 20


def test_noise_is_unvoiced():
    frames = frame_features(noise(), RATE, prosody=True)
    assert frames["voiced"].mean() == 0
    assert np.median(frames["harmonicity"]) < 0


def test_pitch_agrees_with_yin_on_a_glide():
    glide = voice(np.linspace(120, 300, 2 * RATE), seconds=2)
    frames = frame_features(glide, RATE, prosody=True)
    pitch = 27.5 * 2 ** (frames["pitch"][:, 0] / 12)
    reference = librosa.yin(glide, fmin=65, fmax=600, sr=RATE, frame_length=2048, hop_length=512)
    assert np.median(np.abs(pitch / reference - 1)) < 0.02
    features = extract_features(glide, RATE, SET)
    octaves = 12 * np.log2(300 / 120)
    assert features["pitch_slope"] == pytest.approx(octaves / 2, rel=0.1)
    assert features["pitch_rise"] > 0
    assert features["pitch_range"] == pytest.approx(0.9 * octaves, rel=0.1)


def test_contrast_equals_librosa():
    frames = frame_features(noise(), RATE, prosody=True)
    expected = librosa.feature.spectral_contrast(y=noise(), sr=RATE)
    np.testing.assert_allclose(frames["contrast"].T, expected, rtol=1e-3)


def test_flatness_separates_noise_from_a_tone(tone):
    flat = extract_features(noise(), RATE, SET)["flatness_mean"]
    peaked = extract_features(tone(440), RATE, SET)["flatness_mean"]
    # The log of an exponentially distributed power lies 2.5 dB below its mean.
    assert flat == pytest.approx(-2.5, abs=0.3)
    assert peaked < -30


def test_spectral_balance():
    bright = extract_features(np.diff(noise(), prepend=0).astype(np.float32), RATE, SET)
    dull = extract_features(np.cumsum(noise(amplitude=0.01)).astype(np.float32), RATE, SET)
    for name in ("alpha_ratio_mean", "hammarberg_mean"):
        assert dull[name] > bright[name]
    for name in ("treble_ratio_mean", "slope_0_5000_mean", "centroid_mean"):
        assert bright[name] > dull[name]


def test_pauses_and_pace():
    # Four bursts a second for two seconds, each followed by a pause of the same length.
    burst = np.concatenate([voice(150, 0.125), np.zeros(round(0.125 * RATE), np.float32)])
    features = extract_features(np.tile(burst, 8), RATE, SET)
    assert features["duration"] == pytest.approx(1.9, abs=0.1)  # the last pause is cut
    assert features["peak_rate"] == pytest.approx(4, rel=0.2)
    assert 0.4 < features["speech_share"] < 0.9
    four = features[[f"modulation_{band}_4hz" for band in range(3)]].mean()
    twelve = features[[f"modulation_{band}_14hz" for band in range(3)]].mean()
    assert four > twelve


def test_statistics_of_contours():
    sound = np.concatenate([noise(0.5, 0.2), noise(0.5, 0.02)])
    level = frame_features(sound, RATE)["rms_db"][:, 0]
    features = extract_features(sound, RATE, SET)
    assert features["rms_db_mean"] == pytest.approx(level.mean(), rel=1e-5)
    assert features["rms_db_p95"] == pytest.approx(np.percentile(level, 95), rel=1e-5)
    assert features["rms_db_range"] == pytest.approx(
        np.percentile(level, 95) - np.percentile(level, 5), rel=1e-5
    )
    assert features["rms_db_change"] == pytest.approx(np.abs(np.diff(level)).mean(), rel=1e-5)
    assert features["rms_db_slope"] < 0


def test_gain_changes_level_features_only():
    quiet, loud = (extract_features(voice(200, amplitude=a), RATE, SET) for a in (0.03, 0.3))
    assert loud["rms_db_mean"] - quiet["rms_db_mean"] == pytest.approx(20, abs=0.01)
    for name in ("pitch_mean", "harmonicity_mean", "alpha_ratio_mean", "speech_share"):
        assert loud[name] == pytest.approx(quiet[name], abs=0.02)


def test_names_do_not_depend_on_recording_and_rate():
    names = feature_names(SET)
    assert len(names) == len(set(names)) == 610
    for sound in (noise(0.06), noise(3), voice(100)):
        assert extract_features(sound, RATE, SET).index.tolist() == names
    assert extract_features(noise(), 16000, SET).index.tolist() == names


def test_low_rates_are_rejected():
    with pytest.raises(ValueError, match="needs at least 16000 Hz and 20 MFCCs, got 8000 Hz"):
        extract_features(noise(), 8000, SET)
    with pytest.raises(ValueError, match="raise features"):
        FeatureSettings(feature_set=SET, n_mfcc=13)
