import os
import re

import numpy as np
import pandas as pd
import pytest
import soundfile

from speech_emotion.audio import AudioError, open_recording
from speech_emotion.call_scoring import (
    CallSettings,
    find_recordings,
    score_recording,
    summarize,
    window_columns,
)
from speech_emotion.reporting.calls.page import COLUMNS, _rows

RATE = 8000


@pytest.fixture(scope="module")
def call(dialogue):
    """Customer and agent in turn: an angry customer on channel 0, a neutral agent on channel 1."""
    customer, _ = dialogue(["neutral"] * 6 + ["angry"] * 10, rate=RATE, pause_s=1.0)
    agent, _ = dialogue(["neutral"] * 8, speaker="berta", rate=RATE, lead_s=4.0)
    samples = np.zeros((max(len(customer), len(agent)), 2), dtype=np.float32)
    samples[: len(customer), 0] = customer
    samples[: len(agent), 1] = agent
    return samples


def write(path, samples, rate=RATE, **options):
    soundfile.write(path, samples, rate, **options)
    return path


def summary_of(scored, predictor, settings=None):
    settings = settings or CallSettings()
    return summarize(
        scored.channels, scored.windows, settings, labels=predictor.labels, threshold=0.4
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("call.wav", {"subtype": "PCM_16"}),
        ("call.flac", {}),
        ("call.mp3", {}),
        ("call.ogg", {}),
        ("mulaw.wav", {"subtype": "ULAW"}),
    ],
)
def test_every_format_is_scored_alike(tmp_path, predictor, call, name, options):
    scored = score_recording(write(tmp_path / name, call, **options), predictor, CallSettings())
    assert set(scored.channels["reason"]) == {""}
    assert list(scored.windows) == window_columns(predictor.labels)
    assert set(scored.windows["channel_role"]) == {"customer"}
    summary, passages = summary_of(scored, predictor)
    row = summary.iloc[0]
    assert row["flag"] == "angry", row["reason"]
    assert row["longest_angry_s"] > 3
    assert passages["start_s"].min() == pytest.approx(row["first_angry_s"])
    assert row["trend"] > 0.2
    assert "angry passage" in row["reason"]
    shares = row[[f"share_{label}" for label in predictor.labels]]
    assert shares.sum() == pytest.approx(1)


def test_talk_and_silence_shares_fit_together(tmp_path, predictor, call):
    scored = score_recording(write(tmp_path / "a.wav", call), predictor, CallSettings())
    channels = scored.channels.iloc[0]
    assert channels["minutes"] == pytest.approx(len(call) / RATE / 60)
    both = score_recording(tmp_path / "a.wav", predictor, CallSettings(score_agent=True)).channels
    assert both["channel_role"].tolist() == ["customer", "agent"]
    # Silence does not depend on which channels are scored.
    np.testing.assert_allclose(both["silence_share"], channels["silence_share"])
    assert 1 - channels["silence_share"] <= both["talk_share"].sum() + 1e-9
    assert 1 - channels["silence_share"] >= both["talk_share"].max()


def test_customer_channel_is_configurable(tmp_path, predictor, call):
    path = write(tmp_path / "a.wav", call[:, ::-1])
    scored = score_recording(path, predictor, CallSettings(customer_channel=1))
    straight = score_recording(write(tmp_path / "b.wav", call), predictor, CallSettings())
    np.testing.assert_array_equal(scored.windows["score"], straight.windows["score"])
    assert set(scored.windows["channel"]) == {1}
    calm = score_recording(path, predictor, CallSettings())
    assert summary_of(calm, predictor)[0]["flag"].tolist() == ["not_flagged"], calm.windows


def test_one_channel_is_scored_only_if_it_is_the_customers_alone(tmp_path, predictor, call):
    path = write(tmp_path / "mono.wav", call[:, 0])
    scored = score_recording(path, predictor, CallSettings(customer_channel=1))
    assert scored.channels["channel_role"].tolist() == ["unknown"]
    assert scored.windows.empty
    summary, _ = summary_of(scored, predictor)
    (row,) = summary.to_dict("records")
    assert (row["flag"], row["channel_role"]) == ("review", "unknown")
    assert np.isnan(row["score"])
    values = next(_rows(summary, "angry", list(predictor.labels)))
    shown = dict(zip(COLUMNS, values, strict=True))
    assert (shown["score"], shown["emotion"], shown["emotion_share"]) == (None, "", None)
    assert "needs a model with a speech encoder" in row["reason"]
    assert np.isnan(row["share_angry"])
    alone = score_recording(path, predictor, CallSettings(one_channel="customer"))
    assert alone.channels["channel_role"].tolist() == ["customer"]
    lawful = score_recording(path, predictor, CallSettings(score_agent=True))
    assert lawful.channels["channel_role"].tolist() == ["mixed"]
    pd.testing.assert_series_equal(alone.windows["score"], lawful.windows["score"])


def test_blocks_of_any_size_give_the_same_call(predictor, call, score_call):
    def score(size):
        blocks = (call[at : at + size] for at in range(0, len(call), size))
        return score_call(blocks, RATE, predictor)

    one, other = score(len(call)), score(3001)
    pd.testing.assert_frame_equal(one.windows, other.windows, atol=1e-6)
    pd.testing.assert_frame_equal(one.channels, other.channels)


def silent(seconds=8):
    return np.zeros((seconds * RATE, 2), dtype="f4")


def tone(seconds=8):
    return np.full((seconds * RATE, 2), 0.1, dtype="f4")


def _text(path, call):
    path.write_text("no sound at all")


def _empty(path, call):
    path.write_bytes(b"")


def _no_samples(path, call):
    write(path, call[:0])


def _silent(path, call):
    write(path, silent())


def _one_side(path, call):
    write(path, call * [0, 1])


def _short(path, call):
    write(path, call[: 3 * RATE])


def _truncated(path, call):
    whole = write(path, call).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _truncated_flac(path, call):
    whole = write(path, call, format="FLAC").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _corrupt(path, call):
    whole = bytearray(write(path, call, format="FLAC").read_bytes())
    whole[2000:] = np.random.default_rng(0).bytes(len(whole) - 2000)
    path.write_bytes(whole)


def _slow(path, call):
    write(path, call, rate=4000)


def _not_numbers(path, call):
    broken = call.copy()
    broken[5000] = np.nan
    write(path, broken, subtype="FLOAT")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_text, "unreadable"),
        (_empty, "0 bytes"),
        (_no_samples, "too short|no samples"),
        (_silent, "silent"),
        (_one_side, "check calls.customer_channel"),
        (_short, "too short to score: 3.0 s"),
        (_truncated, "truncated: .* by its header"),
        (_truncated_flac, "truncated|cannot be decoded|unreadable"),
        (_corrupt, "truncated|cannot be decoded|unreadable"),
        (_slow, "sample rate 4000 Hz"),
        (_not_numbers, "NaN or infinite"),
    ],
)
def test_bad_recordings_are_rejected_with_a_reason(tmp_path, predictor, call, make, reason):
    path = tmp_path / "call.wav"
    make(path, call)
    scored = score_recording(path, predictor, CallSettings())
    assert len(scored.windows) == 0
    assert list(scored.windows) == window_columns(predictor.labels)
    (found,) = scored.channels["reason"]
    assert re.search(reason, found), found
    assert scored.channels["path"].tolist() == [str(path)]


def test_missing_channel_and_file_are_rejected(tmp_path, predictor, call):
    path = write(tmp_path / "call.wav", call)
    scored = score_recording(path, predictor, CallSettings(customer_channel=2))
    assert "there is no customer_channel 2" in scored.channels["reason"].iloc[0]
    gone = score_recording(tmp_path / "gone.wav", predictor, CallSettings())
    assert "no such file" in gone.channels["reason"].iloc[0]


def test_file_that_changes_while_being_read_is_rejected(tmp_path, predictor, call):
    path = write(tmp_path / "call.wav", np.tile(call, (4, 1)))
    with open_recording(path) as recording:
        blocks = recording.blocks()
        next(blocks)
        os.utime(path, ns=(1, 1))
        with pytest.raises(AudioError, match="changed while being read"):
            list(blocks)


def test_recordings_are_found_by_suffix(tmp_path):
    for name in ("b.WAV", "a/c.flac", "notes.txt", "d.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere")
    found = find_recordings(tmp_path)
    assert found["call"].tolist() == ["a/c.flac", "b.WAV", "d.mp3", "gone.wav"]
    assert found.loc[found["reason"] != "", "call"].tolist() == ["gone.wav"]
    assert found["path"].tolist() == [str(tmp_path / call) for call in found["call"]]
    with pytest.raises(FileNotFoundError, match="recordings_dir"):
        find_recordings(tmp_path / "none")


@pytest.mark.parametrize(
    ("emotions", "noise", "options", "flag", "reason"),
    [
        (["neutral"] * 6, 1e-3, {}, "not_flagged", "not angry"),
        (["angry"] * 6, 1e-3, {"quality": {"min_snr_db": 60.0}}, "review", "too noisy"),
        (["neutral"], 1e-3, {"quality": {"min_speech_s": 10.0}}, "review", "too little speech"),
        (["angry"] * 6, 1e-3, {"flags": {"consecutive": 8}}, "review", "unsure"),
        (
            ["angry"] * 6,
            1e-3,
            {"flags": {"consecutive": 99}},
            "not_flagged",
            "too few windows in a row",
        ),
    ],
)
def test_flag_and_reason_of_a_call(
    predictor, dialogue, score_call, emotions, noise, options, flag, reason
):
    samples, _ = dialogue(emotions, rate=RATE, noise=noise)
    samples = np.append(samples, np.zeros(6 * RATE, dtype="f4"))
    settings = CallSettings(one_channel="customer", **options)
    scored = score_call([samples[:, np.newaxis]], RATE, predictor, settings)
    summary, passages = summary_of(scored, predictor, settings)
    assert summary["flag"].tolist() == [flag]
    assert reason in summary["reason"].iloc[0]
    assert passages.empty
    assert np.isnan(summary["first_angry_s"].iloc[0])


def test_summary_of_no_calls_has_the_same_columns(tmp_path, predictor, call):
    path = write(tmp_path / "call.wav", call)
    row = score_recording(path, predictor, CallSettings())
    some, passages = summary_of(row, predictor)
    nothing = type(row)(row.windows.iloc[:0], row.channels.iloc[:0])
    none, no_passages = summary_of(nothing, predictor)
    assert list(none) == list(some)
    assert list(no_passages) == list(passages)
    assert none.empty
