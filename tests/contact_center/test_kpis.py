import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binomtest

from speech_emotion.contact_center import (
    CallSelection,
    KpiSettings,
    NoCalls,
    UnknownAgent,
    add_kpi_columns,
    anger_effects,
    angry_calls,
    choose_grain,
    confirm_anger,
    kpi_breakdown,
    kpi_series,
    kpi_table,
    select_period,
)
from speech_emotion.contact_center.effects import cliffs_delta, cohens_h
from speech_emotion.contact_center.kpi_tables import (
    customer_weights,
    mean_intervals,
    wilson_interval,
)

FAST = KpiSettings(resamples=100)


def choose(**asked):
    return CallSelection.model_validate({name.rstrip("_"): value for name, value in asked.items()})


@pytest.fixture
def month(make_calls):
    """Calls in the middle of a month; two more at its ends complete the repeat window."""

    def make(rows):
        ends = [
            {"start": f"2026-01-{day:02d}T12:00Z", "customer_id": f"end{day}", "agent_id": "END"}
            for day in (1, 31)
        ]
        return make_calls([*ends, *rows])

    return make


def flags(calls, settings=FAST):
    table = add_kpi_columns(calls, settings)
    table = table[table["agent_id"] != "END"]
    return table[["repeat", "came_back", "fcr"]].to_numpy().tolist()


def test_handle_time_is_talk_hold_and_after_call_work(month):
    rows = [{"talk_s": 100.0, "hold_s": 20.0, "after_call_s": 30.0}, {"talk_s": 250.0}]
    calls = month([row | {"start": "2026-01-15T10:00Z", "customer_id": "k"} for row in rows])
    own = add_kpi_columns(calls.iloc[1:-1], FAST)
    assert kpi_table(own, [], FAST)["aht_s"].tolist() == [200.0]


@pytest.mark.parametrize(
    ("second", "settings", "expected"),
    [
        # repeat, came back, FCR of the first call and of the second
        ({"day": 16}, {}, [[0, 1, 0], [1, 0, 0]]),
        ({"day": 19}, {"repeat_days": 4}, [[0, 1, 0], [1, 0, 0]]),  # on the edge of the window
        ({"day": 20}, {"repeat_days": 4}, [[0, 0, 1], [0, 0, 1]]),
        ({"day": 16, "topic": "fault"}, {}, [[0, 0, 1], [0, 0, 1]]),
        ({"day": 16, "topic": "fault"}, {"same_topic": False}, [[0, 1, 0], [1, 0, 0]]),
        ({"day": 16, "customer_id": "else"}, {}, [[0, 0, 1], [0, 0, 1]]),
        ({"day": 16, "customer_id": "else", "resolved": False}, {}, [[0, 0, 1], [0, 0, 0]]),
        ({"day": 16}, {"fcr_of": "first_contacts"}, [[0, 1, 0], [1, 0, np.nan]]),
    ],
)
def test_resolution_at_first_contact(month, second, settings, expected):
    second = dict(second)
    start = f"2026-01-{second.pop('day')}T10:00Z"
    first = {"start": "2026-01-15T10:00Z", "customer_id": "k"}
    calls = month([first, first | second | {"start": start}])
    np.testing.assert_equal(flags(calls, KpiSettings(**settings)), expected)


@pytest.mark.parametrize(
    ("day", "known"),
    [(2, [False, True, False]), (15, [True] * 3), (28, [True, False, False])],
)
def test_calls_with_an_incomplete_repeat_window_do_not_count(month, day, known):
    """Neither as resolved nor as unresolved, because that would be biased."""
    calls = month([{"start": f"2026-01-{day:02d}T10:00Z", "resolved": False}])
    assert [not np.isnan(value) for value in flags(calls)[0]] == known
    table = kpi_table(add_kpi_columns(calls, FAST), [], FAST)
    assert table["n_calls"].item() == 3
    assert table["n_fcr"].item() == int(day == 15)


def test_a_repeat_is_seen_across_the_ends_of_the_period(month):
    calls = month([{"start": f"2026-01-{day}T10:00Z", "customer_id": "k"} for day in (14, 16)])
    chosen = select_period(
        add_kpi_columns(calls, FAST), choose(from_="2026-01-15", to="2026-01-20")
    )
    assert chosen["repeat"].tolist() == [1.0]


def test_flags_of_older_versions_are_renamed():
    summary = pd.DataFrame({"call": ["a", "b"], "channel": 0, "flag": ["calm", "angry"]})
    assert confirm_anger(summary, None, None)["flag"].tolist() == ["not_flagged", "angry"]


def test_review_is_not_counted_as_not_flagged(make_calls):
    rows = [{"start": f"2026-01-0{n + 1}T10:00Z", "flag": flag} for n, flag in
            enumerate(["angry", "not_flagged", "review", ""])]  # fmt: skip
    table = kpi_table(add_kpi_columns(make_calls(rows), FAST), [], FAST).iloc[0]
    assert (table["n_calls"], table["n_angry"], table["angry"]) == (4, 2, 0.5)


def test_hours_and_days_are_local_across_the_change_of_clocks(make_calls):
    starts = ["2026-03-28T23:30Z", "2026-03-29T00:59Z", "2026-03-29T01:00Z", "2026-03-29T23:30Z"]
    local = add_kpi_columns(make_calls([{"start": start} for start in starts]), FAST)
    assert local["hour"].tolist() == [23, 0, 2, 0]
    assert [str(day.date()) for day in local["day"]] == [
        "2026-03-28",
        *["2026-03-29"] * 2,
        "2026-03-30",
    ]
    assert local["weekday"].tolist() == [5, 6, 6, 0]
    assert [str(day.date()) for day in local["week"]] == [*["2026-03-23"] * 3, "2026-03-30"]
    tokyo = add_kpi_columns(make_calls([{"start": starts[0]}]), KpiSettings(time_zone="Asia/Tokyo"))
    assert (tokyo["hour"].item(), tokyo["day"].item().day) == (8, 29)
    # The local day that lacks an hour is selected whole.
    assert len(select_period(local, choose(from_="2026-03-29", to="2026-03-29"))) == 2


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(counts):
    hits, n = counts
    low, high = wilson_interval(np.array([hits]), np.array([n]))
    reference = binomtest(hits, n).proportion_ci(method="wilson")
    assert (low[0], high[0]) == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_shares_of_no_calls_are_nan():
    assert np.isnan(wilson_interval(np.array([0]), np.array([0]))).all()


def test_intervals_of_means_resample_customers(make_calls):
    rng = np.random.default_rng(0)
    means = rng.normal(300, 60, 400)  # of customers, who call four times each and alike
    rows = [
        {"start": "2026-01-05T10:00Z", "customer_id": f"k{n}", "talk_s": float(means[n])}
        for n in np.repeat(np.arange(400), 4)
    ]
    table = kpi_table(add_kpi_columns(make_calls(rows), FAST), [], KpiSettings(resamples=2000))
    half = (table["aht_s_high"] - table["aht_s_low"]).item() / 2
    assert half == pytest.approx(1.96 * means.std() / 20, rel=0.1)  # over calls: half of that
    assert table["n_customers"].item() == 400


@pytest.mark.parametrize("n_customers", [100, 1000])
def test_intervals_from_moments_are_those_of_the_bootstrap(n_customers):
    """Skewed handle times, which depend on the customer and on the number of calls."""
    rng = np.random.default_rng(n_customers)
    n_calls = rng.geometric(0.4, 2 * n_customers)
    customers = pd.Series(np.repeat(np.arange(2 * n_customers), n_calls))
    typical = rng.lognormal(5.5, 0.5, 2 * n_customers) * n_calls**0.3
    values = np.repeat(typical, n_calls) * rng.lognormal(0, 0.5, len(customers))
    group = (customers >= n_customers).astype(int).to_numpy()
    exact = mean_intervals(values, group, customers, KpiSettings(resamples=20_000), many=10**6)
    fast = mean_intervals(values, group, customers, FAST, many=0)
    half = (exact[1] - exact[0]) / 2
    # The noise of 400 draws is 0.05 on average, and up to 0.15.
    np.testing.assert_array_less(np.abs(np.subtract(fast, exact)) / half, 0.06)


def test_blocks_of_weights_are_all_resamples():
    drawn = list(customer_weights(5, 100, 0, block=30))
    assert [block.shape for block in drawn] == [(5, 30)] * 3 + [(5, 10)]
    assert np.hstack(drawn).mean() == pytest.approx(1, abs=0.15)


def test_one_call_only(make_calls):
    calls = add_kpi_columns(make_calls([{"start": "2026-01-05T10:00Z", "flag": "angry"}]), FAST)
    row = kpi_table(calls, [], FAST).iloc[0]
    assert row["aht_s"] == 100
    assert np.isnan([row["aht_s_low"], row["fcr"], row["repeat"]]).all()
    assert (row["angry"], row["n_fcr"], row["small"]) == (1, 0, True)
    assert row["angry_low"] < 0.3  # a single call proves little
    series = kpi_series(calls, ["A01"], "day", FAST)
    assert series["n_calls"].tolist() == [1, 1, 1]
    assert anger_effects(calls, FAST)["difference"].isna().all()
    assert len(kpi_breakdown(calls, ["A01"], FAST)) == 9 + 7 + 7


def test_groups_add_up_and_small_ones_are_marked(make_calls):
    rows = [
        {"start": f"2026-01-05T{8 + n % 8:02d}:{n:02d}Z", "agent_id": f"A{n % 2}"}
        for n in range(50)
    ]
    calls = add_kpi_columns(make_calls(rows), FAST)
    breakdown = kpi_breakdown(calls, ["A1"], KpiSettings(resamples=100, min_calls=26))
    totals = breakdown.groupby(["scope", "by"])["n_calls"].sum()
    assert set(totals["center"]) == {50}
    assert set(totals["A1"]) == {25}
    assert set(breakdown.loc[breakdown["small"], "n_calls"]) == {6, 7, 3, 4, 25} & set(
        breakdown["n_calls"]
    )


def test_periods_without_calls_are_kept(make_calls):
    rows = [{"start": f"2026-01-{day:02d}T10:00Z"} for day in (5, 6, 9)]
    series = kpi_series(add_kpi_columns(make_calls(rows), FAST), ["A01"], "day", FAST)
    own = series[series["scope"] == "A01"]
    assert own["n_calls"].tolist() == [1, 1, 0, 0, 1]
    assert own["aht_s"].isna().tolist() == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("days", "grain"), [(1, "day"), (31, "day"), (32, "week"), (365, "week"), (400, "month")]
)
def test_grain_follows_the_length(make_calls, days, grain):
    starts = pd.Timestamp("2026-01-05") + pd.to_timedelta([0, days - 1], unit="D")
    calls = add_kpi_columns(make_calls([{"start": start} for start in starts]), FAST)
    assert choose_grain(calls, CallSelection()) == grain
    assert choose_grain(calls, CallSelection(grain="month")) == "month"


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"agent_id": "A99"}, UnknownAgent, "'A99' handled no call; agent_id is one of A01, A02"),
        ({"from_": "2027-01-01"}, NoCalls, "data cover 2026-01-05 to 2026-01-20"),
        (
            {"agent_id": "A02", "to": "2026-01-10"},
            NoCalls,
            "A02 handled no call .* only from 2026-01-20",
        ),
    ],
)
def test_missing_agents_and_periods_are_named(make_calls, asked, error, message):
    rows = [
        {"start": "2026-01-05T10:00Z"},
        {"start": "2026-01-20T10:00Z", "agent_id": "A02"},
    ]
    calls = add_kpi_columns(make_calls(rows), FAST)
    with pytest.raises(error, match=message):
        select_period(calls, choose(**asked))
    with pytest.raises(NoCalls, match="rejected_calls"):
        select_period(calls.iloc[:0], CallSelection())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"from": "2026-02-01", "to": "2026-01-01"}, "lies before"),
        ({"from": "soon"}, "date"),
        ({"agnet": "A01"}, "Extra inputs"),
    ],
)
def test_wrong_selections_are_refused(asked, message):
    with pytest.raises(ValidationError, match=message):
        CallSelection.model_validate(asked)


def test_agents_are_named_with_semicolons():
    assert choose(agent_id="A02; A01;A02;").agents == ["A02", "A01"]
    assert choose(agent_id=17).agents == ["17"]
    assert choose(agent_id="").agents == []


values = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@given(values, values)
def test_cliffs_delta_counts_pairs(first, second):
    pairs = list(itertools.product(first, second))
    expected = np.mean([np.sign(x - y) for x, y in pairs])
    group = np.array([True] * len(first) + [False] * len(second))
    assert cliffs_delta(np.array(first + second, dtype=float), group) == pytest.approx(expected)


def test_a_weight_of_two_is_a_second_copy():
    group = np.array([True, True, False, False])
    weighted = cliffs_delta(np.array([1.0, 5, 2, 3]), group, np.array([1.0, 2, 1, 1]))
    copied = cliffs_delta(np.array([1.0, 5, 5, 2, 3]), np.array([True] * 3 + [False] * 2))
    assert weighted == pytest.approx(copied)


def test_cohens_h():
    assert cohens_h(0.5, 0.5) == 0
    assert cohens_h(1.0, 0.0) == pytest.approx(np.pi)


def test_adjustment_removes_what_the_topic_explains(make_calls):
    """Anger is commoner about the long topic, and makes every call just 10 s longer."""
    rows = []
    for topic, talk, n_angry, n_calm in (("short", 100.0, 10, 90), ("long", 300.0, 90, 10)):
        for flag, n, extra in (("angry", n_angry, 10.0), ("not_flagged", n_calm, 0.0)):
            rows += [{"topic": topic, "flag": flag, "talk_s": talk + extra}] * n
    calls = make_calls([row | {"start": "2026-01-05T10:00Z"} for row in rows])
    row = anger_effects(add_kpi_columns(calls, FAST), FAST).set_index("outcome").loc["handle_s"]
    assert row["difference"] == pytest.approx(290 - 120)
    assert row["adjusted_difference"] == pytest.approx(10)
    assert row["adjusted_difference_low"] == pytest.approx(10)
    assert row["adjusted_ratio"] == pytest.approx((110 * 9 + 310 * 9) / (100 * 9 + 300 * 9))
    assert (row["n_angry"], row["n_other"]) == (100, 100)


def test_intervals_cover_the_absence_of_an_effect(make_calls):
    """Where there is none, about 95 of 100 intervals hold 0."""
    calls = add_kpi_columns(
        make_calls(
            [
                {"start": "2026-01-05T10:00Z", "flag": flag}
                for flag in ["angry", "not_flagged"] * 100
            ]
        ),
        FAST,
    )
    held = []
    for seed in range(40):
        times = np.random.default_rng(seed).lognormal(5, 0.5, len(calls))
        row = anger_effects(calls.assign(handle_s=times), FAST).iloc[0]
        held.append([row["difference_low"] < 0 < row["difference_high"],
                     row["effect_low"] < 0 < row["effect_high"]])  # fmt: skip
    assert (np.mean(held, axis=0) > 0.84).all()


def test_angry_calls_are_listed_with_local_time_the_angriest_first(make_calls):
    rows = [
        {"start": "2026-07-05T10:00Z", "flag": "angry", "angry_share": 0.2},
        {"start": "2026-07-06T10:00Z", "flag": "angry", "angry_share": 0.6, "agent_id": "A02"},
        {"start": "2026-07-07T10:00Z", "flag": "not_flagged", "angry_share": 0.1},
    ]
    calls = add_kpi_columns(make_calls(rows), FAST)
    assert angry_calls(calls, [], FAST)["start"].tolist() == [
        "2026-07-06T11:00:00+01:00",
        "2026-07-05T11:00:00+01:00",
    ]
    assert angry_calls(calls, ["A01"], FAST)["angry_share"].tolist() == [0.2]


def test_verdicts_replace_flags_where_they_say_enough():
    summary = pd.DataFrame(
        {
            "call": ["a", "b", "c", "d", "e"],
            "channel": 0,
            "channel_role": "customer",
            "flag": ["angry", "angry", "angry", "not_flagged", "review"],
            "score": 0.5,
            "share_angry": 0.1,
            "first_angry_s": 3.0,
        }
    )
    passages = pd.DataFrame(
        {
            "call": ["a", "b", "b", "c"],
            "channel": 0,
            "start_s": [0, 0, 50, 0],
            "end_s": [9, 9, 60, 9],
        }
    )
    rows = [
        ("1", "a", "passage", 0, 9, "not_angry"),  # its only passage
        ("2", "b", "passage", 0, 9, "not_angry"),  # one of two
        ("3", "c", "passage", 0, 9, "angry"),
        ("4", "d", "window", 5, 8, "angry"),  # missed by the model
        ("5", "e", "window", 5, 8, "not_angry"),  # says nothing about the call
    ]
    columns = ["item_id", "call_id", "kind", "start_s", "end_s", "verdict"]
    verdicts = pd.DataFrame(rows, columns=columns).assign(channel=0, superseded=False)
    table = confirm_anger(summary, passages, verdicts).set_index("call")
    assert table["flag"].tolist() == ["not_flagged", "angry", "angry", "angry", "review"]
    assert table["confirmed"].tolist() == [True, False, True, True, False]
    undone = verdicts.assign(superseded=True)
    assert not confirm_anger(summary, passages, undone)["confirmed"].any()
    assert not confirm_anger(summary, passages, None)["confirmed"].any()


def test_kpis_say_which_share_of_the_angry_calls_is_confirmed(month):
    rows = [
        {"start": f"2026-01-15T1{number}:00Z", "flag": flag, "emotion_source": source}
        for number, (flag, source) in enumerate(
            [
                ("angry", "verdict"),
                ("angry", "recording"),
                ("angry", "recording"),
                ("not_flagged", "verdict"),
            ]
        )
    ]
    table = kpi_table(add_kpi_columns(month(rows), FAST), [], FAST)
    assert table["confirmed"].tolist() == pytest.approx([1 / 3])
