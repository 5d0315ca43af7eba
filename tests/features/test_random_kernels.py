import numpy as np
import pytest

from speech_emotion.features import (
    FeatureSettings,
    extract_features,
    feature_names,
    frame_features,
)
from speech_emotion.features.random_kernels import (
    COUNT,
    DILATIONS,
    LENGTH,
    MFCC_MEANS,
    MFCC_SPREADS,
    _banks,
    kernel_names,
    kernel_responses,
)

RATE = 22050
FIRST_BIASES = [0.466168, -0.725486, -0.582686]


@pytest.fixture(scope="module")
def frames():
    sound = np.random.default_rng(0).normal(scale=0.1, size=RATE).astype(np.float32)
    return frame_features(sound, RATE, prosody=True)


@pytest.mark.parametrize("dilation", DILATIONS)
def test_responses_equal_a_plain_convolution(frames, dilation):
    bank = next(bank for bank in _banks() if (bank.group, bank.dilation) == ("mfcc", dilation))
    contours = (frames["mfcc"][:, :20] - MFCC_MEANS) / MFCC_SPREADS
    number = 17
    weights = bank.weights[:, number].reshape(LENGTH, -1)
    response_at = np.full(len(contours), bank.biases[number])
    for frame in range(len(contours)):
        for step in range(LENGTH):
            position = frame + (step - LENGTH // 2) * dilation
            if 0 <= position < len(contours):
                response_at[frame] += weights[step] @ contours[position]
    responses = dict(zip(kernel_names(), kernel_responses(frames), strict=True))
    name = f"kernel_mfcc_{dilation}_{number:03d}"
    expected = {
        "share": (response_at > 0).mean(),
        "size": np.sqrt(np.maximum(response_at, 0)).mean(),
        "peak": response_at.max(),
    }
    for response, value in expected.items():
        assert responses[f"{name}_{response}"] == pytest.approx(value, abs=1e-4)


def test_every_second_kernel_hears_changes_only():
    for bank in _banks():
        sums = bank.weights.reshape(LENGTH, -1, COUNT).sum(axis=0)
        np.testing.assert_allclose(sums[:, ::2], 0, atol=1e-5)
        assert np.abs(sums[:, 1::2]).max() > 0.1


def test_kernels_never_change():
    # Stored models depend on the kernels, so they must not vary with NumPy's version.
    assert _banks()[0].biases[:3] == pytest.approx(FIRST_BIASES, abs=1e-6)


def test_default_set_has_functionals_and_kernels():
    names = feature_names("contours_3490")
    assert names == [*feature_names("functionals_610"), *kernel_names()]
    assert len(names) == len(set(names)) == 3490
    assert FeatureSettings().feature_set == "contours_3490"


@pytest.mark.parametrize("seconds", [0.06, 0.3])
def test_utterances_shorter_than_a_kernel_are_accepted(seconds):
    sound = np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)
    assert np.isfinite(extract_features(sound, RATE, "contours_3490")).all()
