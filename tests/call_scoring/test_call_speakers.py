"""Separation of two voices on one channel, with voices that are known by construction."""

import numpy as np
import pandas as pd
import pytest
import scipy.signal

from speech_emotion.call_scoring import (
    CallSettings,
    SyntheticCall,
    VoiceModel,
    evaluate_separation,
    separation_metrics,
)
from speech_emotion.call_scoring.speakers import NOBODY, separate_speakers
from speech_emotion.call_scoring.synthetic_calls import Utterance
from speech_emotion.models import VoiceProjection

RATE, FRAME_S = 8000, 0.02
LOW, HIGH = (300, 900), (1500, 2600)
"""Bands in Hz: the voices of two speakers."""


def band_levels(samples):
    """Levels in both bands, per 20 ms: one layer of two coefficients."""
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(320), axis=1)) ** 2
    frequencies = np.fft.rfftfreq(320, 1 / 16000)
    levels = [
        np.log10(spectrum[:, (frequencies >= low) & (frequencies < high)].mean(axis=1) + 1e-9)
        for low, high in (LOW, HIGH)
    ]
    return np.stack(levels, axis=1)[np.newaxis].astype(np.float32)


VOICE = VoiceModel(
    16000,
    band_levels,
    VoiceProjection(
        columns=np.array([[0, 1]]),  # of the means; then standard deviations, then changes
        mean=np.zeros((1, 2)),
        scale=np.ones((1, 2)),
        axes=np.eye(2)[np.newaxis],
    ),
)


def speech_of(band, seconds, seed):
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    filters = scipy.signal.butter(4, band, "bandpass", fs=RATE, output="sos")
    return 0.1 * scipy.signal.sosfilt(filters, noise)


def call_of(turns, pause_s=0.5):
    """Return samples, and the speaker in each frame: 0, 1 or NOBODY."""
    pieces, truth = [], []
    for number, (speaker, seconds) in enumerate(turns):
        pieces += [
            np.zeros(round(pause_s * RATE)),
            speech_of((LOW, HIGH)[speaker], seconds, number),
        ]
        truth += [NOBODY] * round(pause_s / FRAME_S) + [speaker] * round(seconds / FRAME_S)
    return np.concatenate(pieces).astype(np.float32), np.array(truth)


TURNS = [(0, 3.0), (1, 1.2), (0, 0.8), (1, 4.0), (0, 2.0), (1, 0.4), (0, 2.5)]


def separate(samples, truth, n_blocks=1, kept=None):
    speech = truth != NOBODY
    blocks = np.array_split(samples, n_blocks)
    return separate_speakers(blocks, RATE, speech, speech if kept is None else kept, FRAME_S, VOICE)


@pytest.mark.parametrize("pause_s", [0.5, 0.0])
def test_turns_of_two_voices_are_found(pause_s):
    samples, truth = call_of(TURNS, pause_s)
    found = separate(samples, truth)
    spoken = truth != NOBODY
    assert (found.labels[~spoken] == NOBODY).all()
    first = found.labels[spoken][0]
    labels = np.where(found.labels == first, 0, 1)
    wrong = (labels != truth)[spoken].mean()
    # With pauses, each turn is of one speaker. Without, turns of 0.8 and 0.4 s are shorter than a piece
    # and are lost, and the other changes are found to 0.25 s.
    most = 0.0 if pause_s else (0.8 + 0.4 + 2 * 0.25) / sum(seconds for _, seconds in TURNS)
    assert wrong <= most
    assert found.likeness < 0.9
    # The mean voice of each speaker is louder in its band.
    assert (found.voices.argmax(axis=1) == [first, 1 - first]).all()


def test_results_do_not_depend_on_blocks_and_order_of_speakers():
    samples, truth = call_of(TURNS)
    once, often = separate(samples, truth), separate(samples, truth, n_blocks=97)
    np.testing.assert_array_equal(once.labels, often.labels)
    swapped, _ = call_of([(1 - speaker, seconds) for speaker, seconds in TURNS])
    other = separate(swapped, truth)
    same = (other.labels == once.labels)[truth != NOBODY].mean()
    assert same in (0.0, 1.0)


def test_too_little_speech_cannot_be_separated():
    samples, truth = call_of([(0, 0.8), (1, 0.6)])
    assert separate(samples, truth) is None
    assert separate(samples, np.full_like(truth, NOBODY)) is None


def synthetic(overlap_s=0.0):
    """A call of four turns; the third starts before the second ends."""
    spans = [(0, 1.0, 4.0), (1, 5.0, 8.0), (0, 9.0 - 1.0 - overlap_s, 12.0), (1, 13.0, 16.0)]
    samples = 1e-4 * np.random.default_rng(9).standard_normal((17 * RATE, 2))
    for number, (speaker, start, end) in enumerate(spans):
        span = slice(round(start * RATE), round(end * RATE))
        samples[span, speaker] += speech_of((LOW, HIGH)[speaker], end - start, number)
    utterances = tuple(Utterance(*span, "neutral") for span in spans)
    return SyntheticCall(
        "000_clean", "clean", 60.0, samples.astype("f4"), RATE, ("a", "b"), utterances, ()
    )


def test_errors_of_the_separation_are_measured(predictor):
    blind = VOICE._replace(encode=lambda samples: np.zeros_like(band_levels(samples)))
    calls = [synthetic(), synthetic(overlap_s=1.0)]
    table = evaluate_separation(
        calls, predictor, CallSettings(), voices={"bands": VOICE, "none": blind}
    ).set_index("voice")
    clear, overlapping = table.loc["bands"].to_dict("records")
    assert clear["speech_s"] == pytest.approx(13.0, abs=0.1)
    assert clear["confused_s"] == pytest.approx(0, abs=0.3)
    assert clear["missed_s"] == pytest.approx(0, abs=0.3)
    # Kept frames begin 0.1 s before speech and end 0.3 s after it: at most 0.4 s a turn.
    assert 0 < clear["false_s"] <= 4 * 0.4 + 0.2
    # Where both speak, one label can be right: a second is missed.
    assert overlapping["missed_s"] == pytest.approx(1.0, abs=0.3)
    # Nothing tells the voices apart: no separation, all speech is missed.
    for row in table.loc["none"].to_dict("records"):
        assert not row["separated"]
        assert row["missed_s"] == pytest.approx(row["speech_s"])
        assert row["found_s"] == row["scored_s"] == 0
        assert not row["identified"]


def test_metrics_of_the_separation_are_shares_of_seconds():
    row = {"voice": "v", "condition": "clean", "separated": True, "identified": True}
    row |= {"speech_s": 100.0, "missed_s": 10.0, "false_s": 5.0, "confused_s": 4.0}
    row |= {"customer_s": 50.0, "found_s": 40.0, "scored_s": 44.0, "wrong_s": 2.0}
    review = row | {
        "separated": False,
        "identified": False,
        "found_s": 0,
        "scored_s": 0,
        "wrong_s": 0,
    }
    (found,) = separation_metrics(pd.DataFrame([row, row, review, review])).to_dict("records")
    assert found["n_calls"] == 4
    assert found["separated"] == 2
    assert found["error_rate"] == pytest.approx(0.19)
    assert found["confused_share"] == pytest.approx(0.04)
    assert found["customer_speech_found"] == pytest.approx(0.4)
    assert found["agent_in_customer"] == pytest.approx(2 / 44)
    assert found["identified_share"] == 0.5
    assert found["identified_share_low"] < 0.5 < found["identified_share_high"]
    assert found["error_rate_low"] == pytest.approx(found["error_rate_high"])
