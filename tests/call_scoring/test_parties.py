import io

import numpy as np
import pandas as pd
import pytest

from speech_emotion.call_scoring import (
    CallSettings,
    Inspection,
    Party,
    assign_roles,
    find_agent_voices,
    inspect_blocks,
    steps,
    summarize,
)
from speech_emotion.call_scoring.activity import PARTY_MEASURES, party_measures
from speech_emotion.call_scoring.speakers import _fewest_changes

RATE = 8000
FRAME_S = 0.1


def frames(*spans, n=600):
    speech = np.zeros(n, dtype=bool)
    for start, end in spans:
        speech[start:end] = True
    return speech


def measures_of(first, second):
    speech = np.stack([first, second])
    return party_measures(speech, np.full(speech.shape, 0.01), FRAME_S)


def test_measures_of_a_dialogue():
    # customer 0-10 s and 20-30 s, agent 9-15 s (cuts in) and 40-41.5 s
    table = measures_of(frames((0, 100), (200, 300)), frames((90, 150), (400, 415)))
    assert list(table) == list(PARTY_MEASURES)
    assert table["talk_s"].tolist() == pytest.approx([20, 7.5])
    assert table["talk_share"].tolist() == pytest.approx([20 / 60, 7.5 / 60])
    assert table["overlap_share"].tolist() == pytest.approx([1 / 60, 1 / 60])
    assert table["silence_share"].tolist() == pytest.approx([33.5 / 60] * 2)
    assert table["interruptions"].tolist() == [0, 1]
    assert table["longest_monologue_s"].tolist() == pytest.approx([10, 5])
    assert table["loudness_dbfs"].tolist() == pytest.approx([-20, -20])


def test_listeners_signals_neither_interrupt_nor_end_a_monologue():
    monologue = frames((0, 100), (110, 200))
    table = measures_of(monologue, frames((50, 55), (150, 158)))
    assert table["interruptions"].tolist() == [0, 0]
    assert table["longest_monologue_s"].iloc[0] == pytest.approx(20)
    # A turn of a second in its pause ends it, although both are never heard at once.
    table = measures_of(frames((0, 100), (115, 200)), frames((101, 114)))
    assert table["longest_monologue_s"].iloc[0] == pytest.approx(10)
    assert table["interruptions"].tolist() == [0, 0]


def test_parties_on_one_channel_have_no_overlap():
    speech = np.stack([frames((0, 100)), frames((100, 200))])
    table = party_measures(speech, np.ones(speech.shape), FRAME_S, separable=False)
    assert table[["overlap_share", "interruptions"]].isna().all(axis=None)
    assert party_measures(speech & False, speech, FRAME_S)["loudness_dbfs"].isna().all()


@pytest.fixture(scope="module")
def parts(dialogue):
    customer, _ = dialogue(["neutral"] * 8, rate=RATE, pause_s=2.5)
    agent, _ = dialogue(["neutral"] * 8, rate=RATE, pause_s=2.5, lead_s=2.6, speaker="berta")
    size = min(len(customer), len(agent))
    return customer[:size], agent[:size]


def inspect(samples, predictor, **settings):
    settings = CallSettings(**settings)
    return inspect_blocks(
        lambda: np.array_split(samples, 7), RATE, samples.shape[1], settings, predictor, source="x"
    )


def with_noise(samples, seed):
    noise = 1e-3 * np.random.default_rng(seed).standard_normal(samples.shape)
    return (samples + noise).astype("f4")


def test_layouts_of_two_channels(parts, predictor):
    customer, agent = parts
    own = np.stack([customer, agent], axis=1)
    both = customer + agent
    late = np.roll(0.4 * both, 80)  # quieter, 10 ms later, with noise of its own
    leak = np.stack([customer + 0.1 * agent, agent + 0.05 * customer], axis=1)
    assert inspect(own, predictor).layout == "separate"
    assert inspect(np.stack([both, both], axis=1), predictor).layout == "same"
    assert inspect(with_noise(np.stack([both, late], axis=1), 1), predictor).layout == "same"
    assert inspect(leak, predictor).layout == "leaking"
    assert inspect(np.stack([customer, 0 * agent], axis=1), predictor).layout == "separate"
    assert inspect(both[:, np.newaxis], predictor).layout == "mono"


def test_channels_that_leak_are_attributed_by_level(parts, predictor):
    customer, agent = parts
    clear = inspect(np.stack([customer, agent], axis=1), predictor)
    leaking = inspect(
        np.stack([4 * (customer + 0.1 * agent), agent + 0.1 * customer], axis=1), predictor
    )
    for number in (0, 1):
        want, got = (one.parties[number].measures["talk_s"] for one in (clear, leaking))
        assert got == pytest.approx(want, rel=0.15)
        mask = leaking.parties[number].mask(leaking.n_frames)
        assert 0.2 < mask.mean() < 0.6


def test_inspections_survive_storage(parts, predictor):
    customer, agent = parts
    leak = np.stack([customer + 0.1 * agent, agent + 0.1 * customer], axis=1)
    leaking = inspect(leak, predictor)
    assert leaking.layout == "leaking"
    again = Inspection.from_dict(leaking.to_dict())
    assert again.layout == leaking.layout
    np.testing.assert_array_equal(again.parties[0].spans, leaking.parties[0].spans)
    assert again.parties[1].measures == pytest.approx(leaking.parties[1].measures, nan_ok=True)


def voices(first_s=(0.5, 3.0), layout="mono"):
    measures = dict.fromkeys(PARTY_MEASURES, 0.0)
    spans = np.array([[0, 10]])
    parties = tuple(Party(0, spans, measures, start, 0.5) for start in first_s)
    return Inspection(60.0, 3000, layout, parties)


@pytest.mark.parametrize(
    ("metadata", "agent_voice", "roles", "known_by"),
    [
        ({}, -1, ("unknown", "unknown"), ""),
        ({"direction": "inbound"}, -1, ("agent", "customer"), "direction"),
        ({"direction": "outbound"}, -1, ("customer", "agent"), "direction"),
        (
            {"first_speaker": "customer", "direction": "inbound"},
            -1,
            ("customer", "agent"),
            "metadata",
        ),
        ({"first_speaker": "agent"}, -1, ("agent", "customer"), "metadata"),
        ({}, 0, ("agent", "customer"), "voice"),
        ({"direction": "inbound"}, 0, ("agent", "customer"), "voice"),
        ({"direction": "inbound"}, 1, ("unknown", "unknown"), ""),  # they disagree
        ({"customer_channel": 0}, -1, ("unknown", "unknown"), ""),  # both are on it
    ],
)
def test_customer_of_two_voices(metadata, agent_voice, roles, known_by):
    found = assign_roles(voices(), CallSettings(), metadata, agent_voice)
    assert (found.roles, found.known_by) == (roles, known_by)
    assert bool(found.unknown) == (known_by == "")
    assert found.scored(CallSettings()) == ([roles.index("customer")] if known_by else [])


def test_stated_channel_is_the_customers(parts, predictor):
    stereo = inspect(np.stack(parts, axis=1), predictor)
    assert assign_roles(stereo, CallSettings()).roles == ("customer", "agent")
    stated = assign_roles(stereo, CallSettings(), {"customer_channel": 1})
    assert (stated.roles, stated.known_by) == (("agent", "customer"), "metadata")
    assert stated.scored(CallSettings(score_agent=True)) == [1, 0]
    missing = assign_roles(stereo, CallSettings(), {"customer_channel": 2})
    assert "no customer_channel 2" in missing.rejected


def test_voice_that_recurs_is_the_agents():
    generator = np.random.default_rng(0)
    agent, others = generator.normal(size=32), generator.normal(size=(8, 32))
    truth = generator.integers(0, 2, 8)
    calls = np.empty((8, 2, 32))
    calls[np.arange(8), truth] = agent + 0.3 * generator.normal(size=(8, 32))
    calls[np.arange(8), 1 - truth] = others
    assert find_agent_voices(calls).tolist() == truth.tolist()
    calls[3] = calls[3, truth[3]]  # twice the same voice
    assert find_agent_voices(calls)[3] == -1
    assert find_agent_voices(calls[:2]).tolist() == [-1, -1]
    assert set(find_agent_voices(generator.normal(size=(8, 2, 32)))) == {-1}


def test_a_change_of_speaker_has_a_cost():
    score = np.array([3.0] * 5 + [-1.0] + [3.0] * 5 + [-3.0] * 5)
    assert _fewest_changes(score).tolist() == [0] * 11 + [1] * 5


def test_columns_of_results_are_stable(parts, predictor, score_call):
    """Changing these columns breaks programs that read the exports: say so in the changelog."""
    settings = CallSettings()
    scored = score_call([np.stack(parts, axis=1)], RATE, predictor, settings)
    labels = predictor.labels
    summary, _ = summarize(scored.channels, scored.windows, settings, labels=labels, threshold=0.4)
    measures = {
        "talk_s": "float64",
        "talk_share": "float64",
        "silence_share": "float64",
        "overlap_share": "float64",
        "interruptions": "float64",
        "longest_monologue_s": "float64",
        "loudness_dbfs": "float64",
    }
    named = ("channel_role", "customer_known_by", "layout")
    start = {"call": "str", "path": "str", "channel": "int64", **dict.fromkeys(named, "str")}
    numbers = (
        *(f"share_{label}" for label in labels),
        *(f"{label}_q{quarter}" for quarter in (1, 2, 3, 4) for label in labels),
        *("longest_angry_s", "first_angry_s", "trend", "trend_low", "trend_high"),
    )
    end = {"at_end": "str", "flag": "str", "score": "float64", "threshold": "float64"}
    expected = start | {"minutes": "float64"} | measures | dict.fromkeys(numbers, "float64")
    expected |= end | {"reason": "str"}
    assert {name: str(kind) for name, kind in summary.dtypes.items()} == expected
    assert list(summary) == list(expected)
    parties = scored.channels[steps.PARTY_COLUMNS]
    assert list(parties) == [
        "call",
        "channel",
        "party",
        *named,
        "minutes",
        *measures,
        "scored",
    ]
    # What the exports hold is what the Parquet files hold.
    text = summary.to_json(orient="records", lines=True)
    again = pd.read_json(io.StringIO(text), orient="records", lines=True)
    assert again["talk_s"].tolist() == pytest.approx(summary["talk_s"].tolist())


def test_change_at_the_end_has_an_interval():
    from speech_emotion.call_scoring.summary import _trend

    generator = np.random.default_rng(0)
    calm, angry = generator.normal(0.2, 0.05, 20), generator.normal(0.7, 0.05, 20)
    rising = _trend(np.concatenate([calm, calm, angry]))
    assert rising["at_end"] == "angrier"
    assert rising["trend_low"] < rising["trend"] < rising["trend_high"]
    assert rising["trend"] == pytest.approx(0.5, abs=0.05)
    assert _trend(np.concatenate([angry, calm, calm]))["at_end"] == "calmer"
    assert _trend(np.concatenate([calm, calm, calm]))["at_end"] == "unchanged"
    assert _trend(calm[:11])["at_end"] == "too little speech"
    # Chance alone: at most about one call in twenty changes.
    calls = generator.normal(0.3, 0.1, (400, 30))
    changed = np.mean([_trend(call)["at_end"] != "unchanged" for call in calls])
    assert changed < 0.05
