import numpy as np
import pandas as pd
import pytest

from speech_emotion.audio import NONE, AudioError, augment, load_audio
from speech_emotion.features import FeatureSettings, extract, extract_batch, extract_features

RATE = 22050


@pytest.mark.parametrize("amplitude", [1e7, 1e20, 1e38])
def test_samples_far_beyond_full_scale_are_rejected(tone, amplitude):
    samples = tone().astype(np.float64) * amplitude
    with pytest.raises(AudioError, match="divide them so that full scale is 1"):
        extract_features(samples, RATE)


def test_levels_above_full_scale_are_accepted(tone):
    loud, full = (extract_features(tone() * factor, RATE) for factor in (1e5, 1.0))
    assert np.isfinite(loud).all()
    assert loud["rms_db_mean"] - full["rms_db_mean"] == pytest.approx(100, abs=0.1)


def test_recordings_too_short_to_resample_are_rejected(write_sound):
    path = write_sound("click.wav", np.array([0.5]), 96000, subtype="FLOAT")
    with pytest.raises(AudioError, match="too short: 1 samples at 96000 Hz") as caught:
        load_audio(path, 8000)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_invalid_rates_are_rejected(tone, write_sound, rate):
    with pytest.raises(ValueError, match="above 0 Hz"):
        load_audio(write_sound("a.wav", tone()), rate)
    with pytest.raises(ValueError, match="above 0 Hz"):
        extract_features(tone(), rate)


@pytest.mark.parametrize(
    "samples",
    [
        np.full(RATE, 0.3, np.float32),
        np.eye(1, RATE, 9000, dtype=np.float32)[0],
        np.eye(1, RATE, RATE - 1, dtype=np.float32)[0],
    ],
    ids=["constant", "click", "click at the end"],
)
def test_degenerate_recordings_have_finite_features(samples):
    statistics, sequence = extract(samples, RATE, settings=FeatureSettings())
    assert np.isfinite(statistics).all()
    assert np.isfinite(sequence).all()


@pytest.mark.parametrize(
    ("transform", "value"),
    [
        ("noise", 5.0),
        ("pitch_shift", 2.0),
        ("time_stretch", 2.0),
        ("time_shift", 0.5),
        ("trim", 10.0),
        ("gain", 40.0),
        ("colored_noise", 5.0),
        ("reverberation", 3.0),
    ],
)
def test_transforms_accept_the_shortest_recordings(tone, transform, value):
    changed = augment(tone(seconds=0.06), RATE, transform=transform, value=value, seed=1)
    assert len(changed) > 0
    assert np.isfinite(changed).all()
    assert changed.dtype == np.float32


def test_recordings_that_ingestion_accepted_are_extracted(write_sound, tone):
    """Limits are those of ``corpora.limits``; no reader has further ones of its own."""
    path = write_sound("slow.wav", tone(300, seconds=2.0)[: 2 * 5000], 5000)
    row = {"utterance_id": "a", "variant": 0, "path": str(path), "transform": NONE, "value": 0.0}
    rows = pd.DataFrame([row | {"seed": 0, "line": ""}])
    extracted = extract_batch(rows, FeatureSettings(feature_set="means_184"))
    assert extracted["reason"].tolist() == [""]
