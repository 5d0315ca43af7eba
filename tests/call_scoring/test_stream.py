import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from speech_emotion.call_scoring import CallSettings, ChannelStream, threshold_of
from speech_emotion.call_scoring.flags import Hysteresis, find_passages
from speech_emotion.call_scoring.settings import FlagSettings

RATE = 8000
TALK = ["neutral", "sad", "neutral", "neutral", "angry", "angry", "neutral", "angry"]


@pytest.fixture(scope="module")
def line(dialogue):
    return dialogue(TALK, rate=RATE)[0]


def stream_all(predictor, samples, sizes, *, batch=1, **options):
    stream = ChannelStream(predictor, RATE, CallSettings(**options), batch=batch)
    windows, speech, at = [], [], 0
    for size in sizes:
        windows += stream.push(samples[at : at + size])
        speech.append(stream.speech)
        at += size
    windows += stream.push(samples[at:])
    speech.append(stream.speech)
    windows += stream.close()
    speech.append(stream.speech)
    return windows, np.concatenate(speech)


@pytest.fixture(scope="module")
def whole(predictor, line):
    return stream_all(predictor, line, [], batch=1000)


@settings(max_examples=12, deadline=None, phases=[Phase.generate])
@given(sizes=st.lists(st.integers(0, 30_000), max_size=12), batch=st.integers(1, 4))
def test_windows_do_not_depend_on_the_size_of_blocks(predictor, line, whole, sizes, batch):
    windows, speech = stream_all(predictor, line, sizes, batch=batch)
    expected, expected_speech = whole
    np.testing.assert_array_equal(speech, expected_speech)
    assert len(windows) == len(expected) > 2
    for one, other in zip(windows, expected, strict=True):
        assert (one.start_s, one.end_s) == (other.start_s, other.end_s)
        assert (one.emotion, one.flagged, one.out_of_domain) == (
            other.emotion,
            other.flagged,
            other.out_of_domain,
        )
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
        assert one.score == pytest.approx(other.score, abs=1e-6)


def test_single_samples_and_other_types_are_accepted(predictor, line, whole):
    short = line[: 3 * RATE]
    expected = stream_all(predictor, short, [])[0]
    singles = stream_all(predictor, short, [1] * 2000)[0]
    doubles = stream_all(predictor, short.astype(np.float64), [777] * 5)[0]
    assert singles == expected == doubles


def test_windows_cover_the_speech_and_carry_its_position(predictor, dialogue, whole):
    _, spans = dialogue(TALK, rate=RATE)
    windows, speech = whole
    speech_s = sum(stop - start for start, stop, _ in spans)
    assert speech.sum() * 0.02 == pytest.approx(speech_s, rel=0.25)
    assert windows[0].start_s == pytest.approx(spans[0][0], abs=0.3)
    assert windows[-1].end_s == pytest.approx(spans[-1][1], abs=0.5)
    for window in windows:
        assert 1.0 <= window.end_s - window.start_s < 10
        assert 0.4 < window.speech_share <= 1
        assert sum(window.probabilities) == pytest.approx(1)
        assert window.confidence == pytest.approx(max(window.probabilities))


def test_angry_end_of_a_call_scores_higher(predictor, dialogue):
    samples, spans = dialogue(["neutral"] * 6 + ["angry"] * 10, rate=RATE)
    windows, _ = stream_all(predictor, samples, [])
    turn = spans[5][1]
    before = [window.score for window in windows if window.end_s < turn]
    after = [window.score for window in windows if window.start_s > turn]
    assert max(before) < 0.4 < after[-1]
    assert windows[-1].flagged
    assert not any(window.flagged for window in windows if window.end_s < turn)


def test_noisy_windows_are_not_scored(predictor, dialogue):
    samples, _ = dialogue(["angry"] * 4, rate=RATE, noise=0.05)
    windows, _ = stream_all(predictor, samples, [], quality={"min_snr_db": 25.0})
    assert windows
    for window in windows:
        assert window.out_of_domain == "too noisy"
        assert window.emotion == "unknown"
        assert np.isnan(window.probabilities).all()
        assert (window.confidence, window.score, window.flagged) == (0, 0, False)


def test_threshold_comes_from_the_settings_or_the_model(predictor):
    stored = CallSettings()
    assert threshold_of(predictor, stored) == 0.4
    explicit = CallSettings(flags={"threshold": 0.3})
    assert threshold_of(predictor, explicit) == 0.3
    without = type(predictor)(
        predictor.labels, predictor.features, predictor.members, predictor.combiner
    )
    with pytest.raises(ValueError, match=r"set calls\.flags\.threshold"):
        threshold_of(without, stored)
    with pytest.raises(ValueError, match="angry, neutral, sad"):
        threshold_of(predictor, CallSettings(flags={"target": "bored"}))


def test_predictor_is_the_same_after_saving_and_loading(predictor, tmp_path):
    predictor.save(tmp_path / "model")
    loaded = type(predictor).load(tmp_path / "model")
    assert loaded.threshold == predictor.threshold
    assert loaded.digest
    assert not list(tmp_path.rglob("*.pkl"))
    generator = np.random.default_rng(0)
    import pandas as pd

    from speech_emotion.features import feature_names

    names = feature_names(predictor.features.feature_set)
    table = pd.DataFrame(generator.normal(size=(5, len(names))), columns=names)
    sequences = np.zeros((5, 1, 1))
    np.testing.assert_allclose(
        loaded.predict_proba(table, sequences), predictor.predict_proba(table, sequences)
    )


@pytest.mark.parametrize(
    ("probabilities", "options", "flags"),
    [
        ([0.9, 0.9, 0.9], {}, [0, 1, 1]),
        ([0.9, 0.1, 0.9, 0.1], {}, [0, 0, 0, 0]),
        ([0.6, 0.6, 0.4, 0.4, 0.3, 0.6], {}, [0, 1, 1, 1, 0, 0]),
        ([0.6, 0.6, 0.4], {"release": 1.0}, [0, 1, 0]),
        ([0.6], {"consecutive": 1}, [1]),
        ([0.9, 0.3, 0.6, 0.6], {"smoothing": 2}, [0, 1, 1, 1]),
    ],
)
def test_hysteresis_raises_and_clears_the_flag(probabilities, options, flags):
    options = {"smoothing": 1, "consecutive": 2} | options
    hysteresis = Hysteresis(0.5, FlagSettings(**options))
    assert [int(hysteresis(value)[1]) for value in probabilities] == flags


def flagged_windows(probabilities, spans, threshold, flag_settings, shares=None):
    """Return the table of windows that a channel with these probabilities has."""
    hysteresis = Hysteresis(threshold, flag_settings)
    scored = [hysteresis(probability) for probability in probabilities]
    return pd.DataFrame(
        {
            "start_s": [float(start) for start, _ in spans],
            "end_s": [float(end) for _, end in spans],
            "speech_share": 1.0 if shares is None else shares,
            "p_angry": probabilities,
            "score": [score for score, _ in scored],
            "flagged": [flagged for _, flagged in scored],
        }
    )


def test_passage_starts_with_the_windows_that_raised_the_flag():
    spans = [(0, 4), (2, 6), (4, 8), (6, 10), (8, 12), (20, 24)]
    rule = FlagSettings(consecutive=2)
    windows = flagged_windows([0.1, 0.6, 0.8, 0.4, 0.2, 0.6], spans, 0.5, rule)
    passages = find_passages(windows, 0.5, rule)
    assert passages.to_numpy().tolist() == [[2.0, 10.0, 8.0, 0.8, 4.0]]
    assert list(passages) == ["start_s", "end_s", "speech_s", "peak", "peak_s"]
    assert find_passages(windows.iloc[:2], 0.5, rule).empty


def test_smoothing_does_not_move_a_passage_behind_its_anger():
    # The strongest window raises the mean of later ones only.
    spans = [(start, start + 3) for start in range(0, 12, 2)]
    rule = FlagSettings(consecutive=2, smoothing=3)
    windows = flagged_windows([0, 0, 0.9, 0.4, 0.3, 0], spans, 0.4, rule)
    assert windows["flagged"].tolist() == [False] * 4 + [True, False]
    (passage,) = find_passages(windows, 0.4, rule).itertuples()
    assert (passage.start_s, passage.peak_s, passage.end_s) == (2, 4, 11)


def test_passages_end_at_long_silences_and_count_speech():
    rule = FlagSettings(consecutive=2)
    spans = [(0, 3), (55, 58), (105, 108)]
    windows = flagged_windows([0.9, 0.9, 0.9], spans, 0.5, rule)
    passages = find_passages(windows, 0.5, rule)
    assert passages["start_s"].tolist() == [0, 55, 105]
    assert passages["speech_s"].sum() == pytest.approx(9)
    (whole,) = find_passages(windows, 0.5, FlagSettings(max_silence_s=60)).itertuples()
    assert (whole.start_s, whole.end_s, whole.speech_s) == (0, 108, pytest.approx(9))


def test_speech_of_overlapping_windows_counts_once():
    rule = FlagSettings(consecutive=2)
    windows = flagged_windows([0.9] * 3, [(0, 4), (2, 6), (4, 8)], 0.5, rule, shares=0.5)
    assert find_passages(windows, 0.5, rule)["speech_s"].tolist() == [pytest.approx(4)]


@given(st.data())
def test_passages_contain_their_strongest_window(data):
    rule = FlagSettings(
        smoothing=data.draw(st.integers(1, 5)),
        consecutive=data.draw(st.integers(1, 4)),
        release=data.draw(st.sampled_from([0.3, 0.7, 1.0])),
        max_silence_s=data.draw(st.sampled_from([0.0, 2.0, 10.0])),
    )
    n = data.draw(st.integers(1, 30))
    probabilities = data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    starts = np.cumsum(data.draw(st.lists(st.sampled_from([1.5, 3, 20]), min_size=n, max_size=n)))
    shares = data.draw(st.lists(st.floats(0.1, 1), min_size=n, max_size=n))
    spans = [(start, start + 3) for start in starts]
    windows = flagged_windows(probabilities, spans, 0.5, rule, shares)
    passages = find_passages(windows, 0.5, rule)
    flagged = np.flatnonzero(windows["flagged"])
    assert len(passages) == 0 or len(flagged)

    def is_inside(position):
        start, end = spans[position]
        return ((passages["start_s"] <= start) & (end <= passages["end_s"])).any()

    for position in flagged:
        entered = range(max(position - rule.smoothing + 1, 0), position + 1)
        if windows["score"][position] >= 0.5:
            assert is_inside(max(entered, key=lambda number: probabilities[number]))
    for passage in passages.itertuples():
        inside = (windows["start_s"] >= passage.start_s) & (windows["end_s"] <= passage.end_s)
        strongest = windows[inside].set_index("start_s")["p_angry"]
        assert strongest[passage.peak_s] == strongest.max()
        assert passage.speech_s <= passage.end_s - passage.start_s + 1e-9
        pauses = windows[inside]["start_s"] - windows[inside]["end_s"].shift()
        assert not (pauses > rule.max_silence_s).any()


def test_a_passage_has_no_window_that_did_not_raise_its_flag():
    spans = [(start, start + 3) for start in range(0, 30, 3)]
    rule = FlagSettings(consecutive=2)
    windows = flagged_windows([0, 0.9, 0.9, 0, 0, 0.9, 0.9, 0, 0.9, 0], spans, 0.5, rule)
    assert find_passages(windows, 0.5, rule)["start_s"].tolist() == [3, 15]
