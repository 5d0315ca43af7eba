import numpy as np
import pandas as pd
import pytest
import soundfile

from speech_emotion.audio import TEST_LINES
from speech_emotion.call_scoring import (
    CHANNEL_COLUMNS,
    CallSettings,
    ScoredCall,
    SynthesisSettings,
    SyntheticCall,
    call_metrics,
    evaluate_calls,
    synthesize_calls,
)
from speech_emotion.call_scoring.evaluation import METRICS, evaluate_call
from speech_emotion.reporting.calls import call_evaluation_figure

SETTINGS = SynthesisSettings(calls=6, minutes=1.0, angry_calls=0.5, snr_db=(20.0, 10.0))


@pytest.fixture(scope="module")
def utterances(tmp_path_factory):
    """Tones instead of utterances."""
    folder = tmp_path_factory.mktemp("utterances")
    rows = []
    for speaker in ("a", "b", "c"):
        for label in ("angry", "neutral", "sad"):
            for number in range(2):
                path = folder / f"{speaker}{label}{number}.wav"
                times = np.arange(round((1.0 + 0.3 * number) * 16000)) / 16000
                soundfile.write(path, 0.1 * np.sin(2 * np.pi * 500 * times), 16000)
                rows.append((str(path), speaker, label))
    return pd.DataFrame(rows, columns=["path", "speaker", "label"])


def test_calls_match_their_utterances_and_passages(utterances):
    calls = list(synthesize_calls(utterances, SETTINGS))
    assert len(calls) == 12
    assert {call.condition for call in calls} == {"clean", "telephone"}
    assert {call.line for call in calls[::2]} == {""}
    lines = [call.line for call in calls[1::2]]
    assert sorted(lines) == sorted(TEST_LINES * 2)
    # A customer has another line in the next round.
    assert all(one != other for one, other in zip(lines[:3], lines[3:], strict=True))
    for call in calls:
        assert call.samples.shape == (round(60 * call.sample_rate), 2)
        assert call.speakers[0] != call.speakers[1]
        spoken = {utterance.label for utterance in call.utterances if utterance.channel == 1}
        assert spoken == {"neutral"}  # the agent
        angry = [utterance for utterance in call.utterances if utterance.label == "angry"]
        covered = [
            any(start <= one.start_s and one.end_s <= end for start, end in call.passages)
            for one in angry
        ]
        assert all(covered)
        assert bool(angry) == bool(call.passages)
        ends = np.array([utterance.end_s for utterance in call.utterances])
        starts = np.array([utterance.start_s for utterance in call.utterances])
        assert (starts[1:] >= ends[:-1]).all()  # one speaks at a time
    assert sum(bool(call.passages) for call in calls) == 6
    # Every customer is angry in one of the two calls.
    angry = {call.speakers[0] for call in calls if call.passages}
    assert len(angry) == 3
    assert [call.snr_db for call in calls[::2]] == [20, 20, 20, 10, 10, 10]


def test_lines_can_be_chosen(utterances):
    settings = SETTINGS.model_copy(update={"conditions": ("telephone",), "lines": ("gsm",)})
    assert {call.line for call in synthesize_calls(utterances, settings)} == {"gsm"}
    with pytest.raises(ValueError, match=r"lines: string, expected some of .*gsm"):
        SynthesisSettings(lines=("gsm", "string"))


def test_noise_has_the_stated_level(utterances):
    settings = SETTINGS.model_copy(update={"conditions": ("clean",), "calls": 4})
    for call in synthesize_calls(utterances, settings):
        spoken = np.zeros(len(call.samples), dtype=bool)
        for one in call.utterances:
            if one.channel == 0:
                rate = call.sample_rate
                spoken[round(one.start_s * rate) : round(one.end_s * rate)] = True
        noise = (call.samples[~spoken, 0] ** 2).mean()
        speech = (call.samples[spoken, 0] ** 2).mean() - noise
        assert 10 * np.log10(speech / noise) == pytest.approx(call.snr_db, abs=0.7)


def test_calls_are_reproducible_and_differ_by_seed(utterances):
    def first(seed):
        settings = SETTINGS.model_copy(update={"seed": seed, "minutes": 0.5})
        return next(synthesize_calls(utterances, settings))

    np.testing.assert_array_equal(first(1).samples, first(1).samples)
    assert not np.array_equal(first(1).samples, first(2).samples)
    clean, telephone = list(synthesize_calls(utterances, SETTINGS))[:2]
    assert clean.utterances == telephone.utterances
    assert (clean.sample_rate, telephone.sample_rate) == (16000, 8000)


def test_calls_need_two_speakers_of_the_test_set(utterances):
    with pytest.raises(ValueError, match=r"raise splits\.test_size"):
        next(synthesize_calls(utterances[utterances["speaker"] == "a"], SETTINGS))
    with pytest.raises(ValueError, match="smaller number first"):
        SynthesisSettings(pause_s=(2.0, 1.0))


def call_of(passages, seconds=3600):
    samples = np.zeros((seconds, 2), dtype="f4")
    return SyntheticCall("x", "clean", 20.0, samples, 1, ("a", "b"), (), tuple(passages))


def scored_of(spans, score=0.9):
    """A call whose windows are ten seconds long, flagged inside ``spans``."""
    starts = np.arange(0, 3600, 10.0)
    flagged = [any(a <= start < b for a, b in spans) for start in starts]
    windows = pd.DataFrame(
        {
            "call": "x",
            "channel": 0,
            "start_s": starts,
            "end_s": starts + 10,
            "speech_share": 1.0,
            "p_angry": np.where(flagged, score, 0.1),
            "p_neutral": np.where(flagged, 1 - score, 0.9),
            "emotion": np.where(flagged, "angry", "neutral"),
            "score": np.where(flagged, score, 0.1),
            "flagged": flagged,
            "out_of_domain": "",
            "snr_db": 20.0,
        }
    )
    channels = (
        dict.fromkeys(CHANNEL_COLUMNS, "")
        | {"scored": True}
        | {"call": "x", "channel": 0, "minutes": 60.0}
    )
    return ScoredCall(windows, pd.DataFrame([channels | {"talk_share": 0.5, "silence_share": 0.2}]))


@pytest.mark.parametrize(
    ("passages", "flagged", "counts", "delays"),
    [
        ([(100, 200)], [(120, 180)], (1, 1, 1, 1), [30.0]),
        ([(100, 200)], [(300, 320)], (1, 0, 1, 0), []),
        ([(100, 200)], [(200, 230)], (1, 1, 1, 1), [110.0]),  # soon after the end
        ([(100, 200), (400, 500)], [(150, 170), (900, 950)], (2, 1, 2, 1), [60.0]),
        ([(100, 200), (260, 300)], [(150, 280)], (2, 2, 1, 1), [60.0, 10.0]),
        ([], [(10, 20)], (0, 0, 1, 0), []),
        ([], [], (0, 0, 0, 0), []),
    ],
)
def test_passages_are_matched_in_time(passages, flagged, counts, delays):
    result = evaluate_call(
        call_of(passages), scored_of(flagged), CallSettings(), ("angry", "neutral"), 0.5
    )
    names = ("n_passages", "n_detected", "n_flagged", "n_correct")
    assert tuple(result[name] for name in names) == counts
    assert result["delays"] == delays
    assert result["hours"] == 1
    assert result["flag"] == ("angry" if flagged else "not_flagged")


def test_metrics_follow_from_the_counts():
    cases = [
        ([(100, 200)], [(120, 180)]),
        ([(100, 200)], []),
        ([], [(10, 20)]),
        ([], []),
    ]
    rows = [
        evaluate_call(call_of(truth), scored_of(flagged), CallSettings(), ("angry", "neutral"), 0.5)
        for truth, flagged in cases
    ]
    table = call_metrics(pd.DataFrame(rows), resamples=200)
    assert table["snr_db"].tolist() == ["all", 20.0]
    row = table.iloc[0]
    expected = {
        "passage_precision": 0.5,
        "passage_recall": 0.5,
        "call_precision": 0.5,
        "call_recall": 0.5,
        "false_alarms_per_hour": 0.25,
        "seconds_to_detect": 30.0,
        "review_share": 0.0,
    }
    assert {name: row[name] for name in METRICS} == pytest.approx(expected)
    assert (row["n_calls"], row["n_passages"], row["hours"]) == (4, 2, 4)
    for name in METRICS:
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    figure = call_evaluation_figure(table, target="angry", note=" (SYNTHETIC sample corpus)")
    assert "SYNTHETIC" in figure.layout.title.subtitle.text
    assert "n = 4 calls" in figure.layout.title.subtitle.text


def test_synthetic_calls_are_scored_like_recordings(predictor, utterances):
    settings = SETTINGS.model_copy(update={"calls": 2, "conditions": ("telephone",)})
    result = evaluate_calls(
        lambda: synthesize_calls(utterances, settings), predictor, CallSettings()
    )
    assert result["line"].tolist() == list(TEST_LINES[:2])
    assert result["flag"].tolist() == ["review"] * 2  # tones are not speech
