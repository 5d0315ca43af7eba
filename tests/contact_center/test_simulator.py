import pandas as pd
import pytest

from speech_emotion.contact_center import (
    CALLS,
    ExportSettings,
    KpiSettings,
    SimulatorSettings,
    add_kpi_columns,
    anger_effects,
    attach_recordings,
    join_emotions,
    kpi_table,
    read_export,
    simulate_calls,
)

SMALL = SimulatorSettings(calls=12_000, days=120, agents=6)


@pytest.fixture(scope="module")
def calls():
    return CALLS.validate(simulate_calls(SMALL))


def test_the_same_seed_gives_the_same_calls_and_all_are_marked(calls):
    pd.testing.assert_frame_equal(calls, simulate_calls(SMALL))
    other = simulate_calls(SMALL.model_copy(update={"seed": 1}))
    assert not other["talk_s"].head(100).equals(calls["talk_s"].head(100))
    assert calls["synthetic"].all()
    assert (calls["emotion_source"] == "generated").all()
    assert abs(len(calls) - SMALL.calls) < 0.15 * SMALL.calls
    assert calls["agent_id"].nunique() == 6
    assert calls["team"].nunique() == 3


def test_a_simulated_export_is_read_without_rejections(calls, tmp_path):
    """No two calls of an agent overlap, and local times survive the change to summer time."""
    local = calls["start"].dt.tz_convert("Europe/London").dt.tz_localize(None)
    calls.assign(start=local).to_csv(tmp_path / "calls.csv", index=False)
    rows = pd.read_csv(tmp_path / "calls.csv", dtype=str, keep_default_na=False)
    read, rejected = read_export(rows, ExportSettings())
    assert rejected.empty
    ours = ["call_id", "start", "talk_s", "hold_s", "after_call_s", "wait_s", "resolved"]
    pd.testing.assert_frame_equal(
        read[ours].sort_values("call_id", ignore_index=True),
        calls[ours].sort_values("call_id", ignore_index=True),
    )


def test_calls_follow_hours_and_weekdays_and_anger_follows_waiting_and_repetition(calls):
    local = calls["start"].dt.tz_convert("Europe/London")
    assert local.dt.hour.between(8, 21).all()
    by_day = calls.groupby(local.dt.day_of_week).size()
    assert by_day[0] > 1.1 * by_day[3] > 2 * by_day[6]
    enriched = add_kpi_columns(calls, KpiSettings())
    anger = enriched.groupby(enriched["repeat"])["angry"].mean()
    assert anger[1.0] > 1.3 * anger[0.0]
    waited = enriched.groupby(enriched["wait_s"] > 180)["angry"].mean()
    assert waited[True] > 1.2 * waited[False]
    effects = anger_effects(enriched, KpiSettings(resamples=100)).set_index("outcome")
    assert effects.loc["handle_s", "adjusted_ratio_low"] > 1.1
    assert effects.loc["came_back", "adjusted_ratio_low"] > 1.0


def test_agents_differ_beyond_chance(calls):
    table = kpi_table(add_kpi_columns(calls, KpiSettings()), ["agent"], KpiSettings(resamples=100))
    quick, slow = table.loc[table["aht_s"].idxmin()], table.loc[table["aht_s"].idxmax()]
    assert quick["aht_s_high"] < slow["aht_s_low"]


@pytest.mark.parametrize(
    "settings",
    [SimulatorSettings(calls=1, days=1, agents=1, teams=1), SimulatorSettings(calls=40, days=3)],
)
def test_small_simulations_are_valid(settings):
    assert len(CALLS.validate(simulate_calls(settings))) >= 1


def test_scored_recordings_are_assigned_to_calls_of_similar_length(calls):
    summary = pd.DataFrame(
        {"call": ["a.wav", "b.wav", "b.wav", "c.wav"], "minutes": [5.0, 5, 5, 2]}
    )
    summary = summary.assign(
        channel_role="customer", flag="not_flagged", score=0.1, share_angry=0.0
    )
    attached = attach_recordings(calls, summary.assign(first_angry_s=float("nan")))
    given = attached[attached["recording"] != ""].set_index("recording")["talk_s"]
    assert given.to_dict() == pytest.approx({"a.wav": 300, "b.wav": 300, "c.wav": 120}, abs=5)
    joined = join_emotions(attached, summary.assign(first_angry_s=float("nan")))
    assert (joined["emotion_source"] == "recording").sum() == 3
    pd.testing.assert_frame_equal(attach_recordings(calls, None), calls)
