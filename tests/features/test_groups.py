import re

import numpy as np
import pytest

from speech_emotion.features import (
    FEATURE_SETS,
    feature_groups,
    feature_names,
    mfcc_moments,
    mfcc_number,
)
from speech_emotion.features.groups import BLOCK, GROUPS, OTHER


@pytest.mark.parametrize("feature_set", FEATURE_SETS)
@pytest.mark.parametrize("n_mfcc", [20, 40])
def test_every_column_of_every_set_is_in_exactly_one_group(feature_set, n_mfcc):
    names = feature_names(feature_set, n_mfcc=n_mfcc)
    groups = feature_groups(names)
    assert sorted(name for columns in groups.values() for name in columns) == sorted(names)
    assert OTHER not in groups
    for name in names:
        assert sum(bool(re.match(f"(?:{p})(?:_|$)", name)) for p in GROUPS.values()) == 1, name


def test_contours_have_every_group():
    assert list(feature_groups(feature_names("contours_3490"))) == list(GROUPS)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("rms_db_voiced_mean", "level"),
        ("pitch_slope", "pitch"),
        ("voiced_share", "voicing"),
        ("bandwidth_p05", "spectral shape"),
        ("band_03_mean", "mel bands"),
        ("mel_db_003_std", "mel bands"),
        ("mfcc_03_mean", "MFCC"),
        ("mfcc_delta_03_mean", "MFCC deltas"),
        ("slope_0_500_voiced_std", "spectral balance"),
        ("speech_share", "timing"),
        ("duration", "timing"),
        ("jitter_mean", OTHER),
        ("rmsx", OTHER),
    ],
)
def test_group_of_a_column(name, group):
    assert feature_groups([name]) == {group: [name]}


@pytest.mark.parametrize(
    ("name", "number"),
    [("mfcc_03_mean", 3), ("mfcc_delta_19_size", 19), ("mfcc_12", 12), ("mel_03_mean", None)],
)
def test_number_of_an_mfcc(name, number):
    assert mfcc_number(name) == number


def test_moments_ignore_padding_and_excluded_coefficients():
    rng = np.random.default_rng(0)
    sequences = rng.normal(3.0, 1.0, size=(BLOCK + 3, 12, 3)).astype(np.float32)
    sequences[:, 8:] = 0
    sequences[5] = 0
    table = mfcc_moments(sequences, ["rms_db", "mfcc_00", "mfcc_01"], exclude={0, None})
    assert list(table) == ["mfcc_01_mean", "mfcc_01_std"]
    frames = sequences[:, :8, 2].astype(np.float64)
    np.testing.assert_allclose(table["mfcc_01_mean"], frames.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(table["mfcc_01_std"], frames.std(axis=1), rtol=1e-4)
    assert (table.iloc[5] == 0).all()


def test_sequences_without_mfccs_have_no_moments():
    assert mfcc_moments(np.ones((4, 5, 1)), ["rms_db"]).shape == (4, 0)
