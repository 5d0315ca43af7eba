import warnings

import numpy as np
import pytest
from scipy.stats import binomtest, poisson

from speech_emotion.bootstrap import (
    bootstrap_counts,
    bootstrap_interval,
    no_event_rate,
    share_interval,
)


def test_each_resample_has_as_many_clusters_as_the_data():
    counts = bootstrap_counts(7, resamples=300, seed=0)
    assert counts.shape == (300, 7)
    assert (counts.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(counts, bootstrap_counts(7, resamples=300, seed=0))
    assert (counts != bootstrap_counts(7, resamples=300, seed=1)).any()
    # A resample leaves out (1 - 1/7)^7, about 34 %, of the clusters.
    assert (counts == 0).mean() == pytest.approx((6 / 7) ** 7, abs=0.02)


def test_interval_leaves_out_resamples_without_a_value():
    values = np.linspace(0, 1, 201)
    expected = np.percentile(values, [2.5, 97.5])
    np.testing.assert_allclose(bootstrap_interval(values, 5), expected)
    with_gaps = np.insert(values, [0, 50, 201], [np.nan, np.inf, np.nan])
    np.testing.assert_allclose(bootstrap_interval(with_gaps, 5), expected)


@pytest.mark.parametrize(("values", "n_clusters"), [([0.1, 0.2], 1), ([np.nan, np.nan], 5)])
def test_no_interval_without_clusters_or_values(values, n_clusters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(bootstrap_interval(values, n_clusters)).all()


def test_rows_have_intervals_of_their_own():
    values = np.stack([np.linspace(0, 1, 101), np.linspace(2, 3, 101), np.full(101, np.nan)])
    low, high = bootstrap_interval(values, np.array([4, 1, 4]))
    np.testing.assert_allclose(low, [0.025, np.nan, np.nan])
    np.testing.assert_allclose(high, [0.975, np.nan, np.nan])


@pytest.mark.parametrize("n", [2, 9, 40])
def test_share_without_any_variation_has_the_exact_bound(n):
    draws = bootstrap_counts(n + 1, resamples=500, seed=0)
    among = np.array([*np.full(n, 3.0), 0.0])  # one cluster has none of them
    none = binomtest(0, n).proportion_ci(method="exact")
    share, low, high = share_interval(np.zeros(n + 1), among, draws)
    assert (share, low) == (0, 0)
    assert high == pytest.approx(none.high)
    share, low, high = share_interval(among, among, draws)
    assert (share, high) == (1, 1)
    assert low == pytest.approx(1 - none.high)


def test_share_has_the_bounds_of_the_bootstrap():
    draws = bootstrap_counts(12, resamples=500, seed=0)
    hits, among = np.arange(12.0), np.full(12, 12.0)
    low, high = map(float, bootstrap_interval(draws @ hits / (draws @ among), 12))
    assert share_interval(hits, among, draws) == pytest.approx((66 / 144, low, high))
    assert np.isnan(share_interval(np.zeros(12), np.zeros(12), draws)).all()
    assert np.isnan(share_interval([0], [5], bootstrap_counts(1, resamples=9, seed=0))[1:]).all()


def test_rate_of_what_was_never_seen():
    # With this rate, nothing is seen in 2.5 % of the cases.
    assert poisson.pmf(0, 4 * no_event_rate(4.0)) == pytest.approx(0.025)
    assert np.isnan(no_event_rate(0))
