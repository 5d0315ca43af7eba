import json
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from speech_emotion.audio import AudioError
from speech_emotion.call_scoring import CallSettings
from speech_emotion.clock import format_clock
from speech_emotion.reporting.calls import (
    CallReportSettings,
    call_details,
    calls_page,
    channel_id,
    days_page,
    encode_playback,
    playback_name,
    row_files,
    target_of,
    windows_of_channels,
)
from speech_emotion.reporting.calls.timelines import scored_windows

LABELS = ["angry", "happy", "neutral", "sad"]
CALL = "monday/call 1.wav"


def page_of(summary, rejected):
    return calls_page(summary, rejected, CallSettings())


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def rows_of(data):
    return [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]


def content_of(script):
    name, content = json.loads(f"[{script.decode().strip().removeprefix('speechEmotion(')[:-1]}]")
    return name, content


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_file_names_are_ascii_and_unique(calls):
    names = {channel_id(call, channel) for call in calls for channel in (0, 1)}
    assert len(names) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", name) for name in names)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (65.9, "1:05"), (3599, "59:59"), (3725, "1:02:05"), (float("nan"), "–")],
)
def test_clock(seconds, text):
    assert format_clock(seconds) == text


def test_windows_end_where_the_next_begins():
    windows = pd.DataFrame({"start_s": [4.0, 0.0, 20.0], "end_s": [8.0, 6.0, 23.0]})
    ordered = scored_windows(windows)
    assert ordered["until_s"].tolist() == [4.0, 8.0, 23.0]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_windows_are_read_in_blocks_of_any_size(scored_calls, size):
    windows = scored_calls.call_emotions
    blocks = (windows[at : at + size] for at in range(0, len(windows), size))
    found = dict(windows_of_channels(blocks))
    assert list(found) == [(call, 0) for call in windows["call"].unique()]
    for (call, _), rows in found.items():
        expected = windows[windows["call"] == call]
        assert rows["start_s"].tolist() == expected["start_s"].tolist()


def details_of(scored_calls, call=CALL, points=600):
    windows, passages = scored_calls.call_emotions, scored_calls.call_passages
    windows, passages = (table[table["call"] == call] for table in (windows, passages))
    return call_details(windows, passages, LABELS, "angry", points=points)


def test_merged_windows_keep_their_highest_score(scored_calls):
    fine, coarse = details_of(scored_calls), details_of(scored_calls, points=20)
    assert len(coarse["starts"]) <= 20 < len(fine["starts"])
    assert max(filter(None, coarse["scores"])) == max(filter(None, fine["scores"]))
    assert coarse["strongest"] == fine["strongest"]


def test_details_contain_the_numbers_of_the_tables(scored_calls):
    details = details_of(scored_calls)
    windows = scored_calls.call_emotions
    rows = windows[windows["call"] == CALL]
    assert details["starts"] == rows["start_s"].tolist()
    scored = rows["p_angry"].notna()
    expected = [round(100 * p) if ok else None for p, ok in zip(rows["score"], scored, strict=True)]
    assert details["scores"] == expected
    passages = scored_calls.call_passages.iloc[:2]
    for name in ("start_s", "end_s", "speech_s", "peak", "peak_s"):
        shown = [passage[name] for passage in details["passages"]]
        assert shown == pytest.approx(passages[name].tolist(), abs=0.005)
    best = rows.nlargest(5, "p_angry")
    assert [start for start, _, _ in details["strongest"]] == best["start_s"].tolist()
    json.dumps(details, allow_nan=False)


def test_call_without_windows_has_details(scored_calls):
    empty = scored_calls._replace(call_emotions=scored_calls.call_emotions.iloc[:0])
    details = details_of(empty)
    assert details["starts"] == details["scores"] == details["strongest"] == []


def test_page_has_flagged_calls_and_files_have_the_others(scored_calls):
    summary = scored_calls.call_summary
    data = data_of(page_of(summary, scored_calls.rejected_recordings))
    assert data["target"] == "angry"
    flags = [row["flag"] for row in rows_of(data)]
    assert flags == ["angry", "angry", "review"]
    scores = [row["score"] for row in rows_of(data)][:2]
    assert scores == sorted(scores, reverse=True)
    ((name, content),) = row_files(summary)
    assert [name] == data["others"] == ["data/other-0001.js"]
    written, content = content_of(content)
    (calm,) = rows_of({"columns": data["columns"], "rows": content["rows"]})
    assert (f"{written}.js", calm["call"], calm["threshold"]) == (name, "tuesday/quiet.flac", 0.55)
    assert calm["emotion"] == "neutral"
    assert data["names"] == {"angry": "angry", "review": "review", "not_flagged": "not flagged"}


def test_every_row_of_a_large_batch_is_in_the_page_or_one_file(scored_calls):
    summary = pd.concat([scored_calls.call_summary] * 1600, ignore_index=True)
    summary["call"] = [f"{number:05d}.wav" for number in range(len(summary))]
    page = page_of(summary, scored_calls.rejected_recordings)
    data = data_of(page)
    found = [row["call"] for row in rows_of(data)]
    files = dict(row_files(summary))
    assert list(files) == [*data["flagged"], *data["others"]]
    assert len(data["others"]) == 1
    for content in files.values():
        rows = content_of(content)[1]["rows"]
        assert len(rows) <= 5000
        found += [row[data["columns"].index("call")] for row in rows]
    assert sorted(found) == sorted(summary["call"])
    assert len(page) < 250_000


def test_optional_columns_are_shown(scored_calls):
    summary = scored_calls.call_summary.assign(
        started=["2026-03-02T10:30:00+01:00", "2026-03-04T09:00:00", "", "2026-03-05T08:00:00Z"],
        agent=["A01", None, "A02", "A01"],
        queue="billing",
        model="speech-emotion version 3",
    )
    page = page_of(summary, scored_calls.rejected_recordings)
    assert "2026-03-02 to 2026-03-05" in page
    assert "speech-emotion version 3" in page
    assert "score 0.55, 3 in a row" in page
    rows = {row["call"]: row for row in rows_of(data_of(page))}
    assert rows[CALL]["start"] == "2026-03-02 10:30"
    assert (rows[CALL]["agent"], rows[CALL]["queue"], rows[CALL]["customer"]) == (
        "A01",
        "billing",
        "",
    )
    noisy = rows["tuesday/noisy.wav"]
    assert (noisy["start"], noisy["agent"]) == ("", "A02")


def test_names_and_reasons_are_escaped(scored_calls):
    rows = scored_calls.call_summary.assign(reason="</script><img src=x onerror=alert(1)>")
    rows["call"] = rows["call"] + "</script><i>"
    page = page_of(rows, scored_calls.rejected_recordings)
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "</script><i>" not in page
    assert "&lt;replace&gt; it" in page


def test_page_warns_of_scored_agents_and_mixed_channels(scored_calls):
    rejected = scored_calls.rejected_recordings
    assert "AI Act" not in page_of(scored_calls.call_summary, rejected)
    rows = scored_calls.call_summary.assign(channel_role=["customer", "agent", "mixed", "mixed"])
    page = page_of(rows, rejected)
    assert "Channels of agents were scored" in page
    assert "2 recordings have one channel" in page


def test_threshold_is_optional_and_target_is_free(scored_calls):
    rows = scored_calls.call_summary.drop(columns="threshold").replace({"flag": {"angry": "sad"}})
    rows = rows.rename(columns={"first_angry_s": "first_sad_s", "longest_angry_s": "longest_sad_s"})
    assert target_of(rows) == "sad"
    page = page_of(rows, scored_calls.rejected_recordings)
    assert "Calls: 2 sad, 1 to review" in page
    assert all(row["threshold"] is None for row in rows_of(data_of(page)))


def test_page_without_scored_calls(scored_calls):
    page = page_of(pd.DataFrame(), scored_calls.rejected_recordings)
    assert "No call was scored. All 1 recordings were rejected" in page


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_playback_sounds_like_the_recording(write_sound, tone, rate, channels):
    sound = np.stack([tone(300 + 100 * n, 3.3, rate=rate) for n in range(channels)], axis=1)
    sound[: rate // 2] = 0
    playback = encode_playback(write_sound("call.wav", sound, rate), points=100)
    path = write_sound("copy.mp3", np.zeros(1), rate)
    path.write_bytes(playback.sound)
    copy, copied_rate = soundfile.read(path, always_2d=True)
    assert copied_rate == (rate if rate in {8000, 11025} else 16000)
    assert copy.shape[1] == (channels if channels <= 2 else 1)
    assert playback.seconds == pytest.approx(3.3, abs=0.01)
    assert len(copy) / copied_rate == pytest.approx(3.3, abs=0.2)
    middle = copy[copied_rate : 2 * copied_rate, 0]
    spectrum = np.abs(np.fft.rfft(middle))
    assert abs(spectrum.argmax() - (400 if channels == 3 else 300)) <= 100
    assert len(playback.sound) < 4.5e3 * 3.3 * 1.2
    assert playback.low.shape == playback.high.shape == (channels, 100)
    assert np.abs(playback.high[:, :14]).max() < 0.01
    np.testing.assert_allclose(playback.high[:, 20:], 0.5, atol=0.03)
    np.testing.assert_allclose(playback.low[:, 20:], -0.5, atol=0.03)


def test_playback_of_one_channel(write_sound, tone):
    sound = np.stack([tone(seconds=2, rate=8000), np.zeros(16000, np.float32)], axis=1)
    path = write_sound("call.wav", sound, 8000)
    assert encode_playback(path, channel=1).high.max() == 0
    with pytest.raises(AudioError, match="has no channel 2: it has 2, counted from 0"):
        encode_playback(path, channel=2)


def test_name_of_a_playback_changes_with_the_recording(write_sound, tone):
    path = write_sound("call.wav", tone(), 8000)
    first = playback_name(str(path), None, 600)
    assert first == playback_name(str(path), None, 600)
    assert first != playback_name(str(path), 0, 600)
    write_sound("call.wav", tone(seconds=2), 8000)
    assert playback_name(str(path), None, 600) != first
    assert re.fullmatch(r"sounds/[0-9a-f]{2}/[0-9a-f]{16}", first)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        playback_name(str(path), None, 600)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"before_s": -1}, "before_s"),
        ({"sounds": "some"}, "flagged"),
        ({"points": 5}, "points"),
        ({"seconds": 1}, "seconds"),
        ({"timelines": "all"}, "every call has a timeline"),
        ({"after_s": 1.0}, "the whole call can be played"),
    ],
)
def test_wrong_parameters_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        CallReportSettings(**wrong)


@pytest.mark.browser
def test_the_page_of_days_fits_a_phone(visit, audit, tmp_path):
    counts = {
        "2026-11-26": {"calls": 8, "rejected": 1, "flags": {"not_flagged": 5, "review": 3}},
        "2026-11-27": {"calls": 1200, "rejected": 0, "flags": {"angry": 40, "not_flagged": 1160}},
    }
    shown = days_page(
        counts, "s3://calls/north", "angry", model="emotion version 3", synthetic=True
    )
    (tmp_path / "index.html").write_text(shown)
    page = visit(tmp_path / "index.html")
    rows = page.locator("tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["2026-11-27", "1200", "40", "0", "1160", "0"],
        ["2026-11-26", "8", "0", "3", "5", "1"],
    ]
    assert page.locator("dl.run dd").all_inner_texts()[:2] == [
        "s3://calls/north",
        "emotion version 3",
    ]
    assert "SYNTHETIC" in page.locator(".banner").inner_text()
    audit(page)
