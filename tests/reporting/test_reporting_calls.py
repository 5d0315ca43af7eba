import json
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from speech_emotion.call_scoring import format_clock
from speech_emotion.pipelines.call_report.nodes import cut_passages, draw_timelines
from speech_emotion.reporting.calls import (
    CallReportSettings,
    calls_page,
    channel_id,
    excerpt_table,
    read_envelopes,
    target_of,
)
from speech_emotion.reporting.calls.timelines import scored_windows

SETTINGS = CallReportSettings()


def page_of(calls, settings=SETTINGS):
    return calls_page(
        calls.call_summary,
        calls.call_emotions,
        excerpt_table(calls.call_passages, settings),
        read_envelopes(calls.call_summary, settings),
        calls.rejected_recordings,
        settings,
    )


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture
def missing(scored_calls):
    """The same calls, after the recording of one was moved away."""
    pattern = {"path": {r".*call 1\.wav": "/missing.wav"}}
    return scored_calls._replace(
        call_summary=scored_calls.call_summary.replace(pattern, regex=True),
        call_passages=scored_calls.call_passages.replace(pattern, regex=True),
    )


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


def test_merged_windows_keep_their_highest_score(scored_calls):
    calls = scored_calls
    fine = data_of(page_of(calls))["calls"]
    coarse = data_of(page_of(calls, CallReportSettings(points=20)))["calls"]
    key = channel_id("monday/call 1.wav", 0)
    assert len(coarse[key]["starts"]) <= 20 < len(fine[key]["starts"])
    assert max(filter(None, coarse[key]["scores"])) == max(filter(None, fine[key]["scores"]))
    assert len(coarse[key]["envelope"]["low"]) <= 20


def test_page_contains_the_numbers_of_the_tables(scored_calls):
    data = data_of(page_of(scored_calls))
    assert data["target"] == "angry"
    call = data["calls"][channel_id("monday/call 1.wav", 0)]
    windows = scored_calls.call_emotions
    rows = windows[windows["call"] == "monday/call 1.wav"]
    assert call["starts"] == rows["start_s"].tolist()
    assert call["threshold"] == 0.55
    scored = rows["p_angry"].notna()
    expected = [round(100 * p) if ok else None for p, ok in zip(rows["score"], scored, strict=True)]
    assert call["scores"] == expected
    assert [passage["peak"] for passage in call["passages"]] == pytest.approx(
        scored_calls.call_passages["peak"].iloc[:2], abs=0.005
    )
    assert "starts" not in data["calls"][channel_id("tuesday/quiet.flac", 0)]


def test_names_and_reasons_are_escaped(scored_calls):
    rows = scored_calls.call_summary.assign(reason="</script><img src=x onerror=alert(1)>")
    rows["call"] = rows["call"] + "</script><i>"
    windows = scored_calls.call_emotions.assign(
        call=scored_calls.call_emotions["call"] + "</script><i>"
    )
    page = page_of(scored_calls._replace(call_summary=rows, call_emotions=windows))
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "<i>" not in page.split("<tbody>")[1].split("</tbody>")[0]


def test_page_warns_of_scored_agents_and_mixed_channels(scored_calls):
    assert "AI Act" not in page_of(scored_calls)
    rows = scored_calls.call_summary.assign(channel_role=["customer", "agent", "mixed", "mixed"])
    page = page_of(scored_calls._replace(call_summary=rows))
    assert "Channels of agents were scored" in page
    assert "2 recordings have one channel" in page


def test_threshold_is_optional_and_target_is_free(scored_calls):
    rows = scored_calls.call_summary.drop(columns="threshold").replace({"flag": {"angry": "sad"}})
    rows = rows.rename(columns={"first_angry_s": "first_sad_s", "longest_angry_s": "longest_sad_s"})
    assert target_of(rows) == "sad"
    page = page_of(scored_calls._replace(call_summary=rows))
    assert "Calls: 2 sad, 1 to review" in page
    assert all(call["threshold"] is None for call in data_of(page)["calls"].values())


def test_missing_recordings_are_reported(missing):
    settings = CallReportSettings(channels="scored")
    sounds, table = cut_passages(missing.call_passages, settings)
    assert table["error"].ne("").tolist() == [True, True, False]
    assert table["error"].str.contains("no such file").tolist() == [True, True, False]
    (cut,) = (make() for make in sounds.values())
    row = table.iloc[2]
    whole, rate = soundfile.read(row["path"], dtype="float32")
    expected = whole[round(row["from_s"] * rate) : round(row["to_s"] * rate), 0]
    np.testing.assert_array_equal(cut.samples, expected)
    assert cut.sample_rate == rate
    call = data_of(page_of(missing))["calls"][channel_id("monday/call 1.wav", 0)]
    assert "no such file" in call["envelope"]["error"]
    assert "no such file" in call["passages"][0]["error"]


def test_excerpt_ends_with_the_recording(scored_calls):
    late = scored_calls.call_passages.iloc[[0]].assign(start_s=55.0, end_s=59.9)
    table = excerpt_table(late, CallReportSettings(before_s=60, after_s=60))
    assert (table["from_s"].item(), table["to_s"].item()) == (0, 60)


def test_every_shown_call_has_a_picture(missing):
    envelopes = read_envelopes(missing.call_summary, SETTINGS)
    tables = (missing.call_emotions, missing.call_passages, envelopes)
    pictures = draw_timelines(missing.call_summary, *tables, SETTINGS)
    assert len(pictures) == 3
    figure = pictures[channel_id("monday/call 1.wav", 0)]()
    sound, score, emotions = figure.axes
    assert "recording not read: no such file" in sound.texts[0].get_text()
    assert len(score.patches) == 2  # shaded passages
    assert [text.get_text() for text in score.texts] == ["threshold 0.55"]
    legend = [text.get_text() for text in emotions.get_legend().get_texts()]
    assert legend == ["angry", "happy", "neutral", "sad", "not scored"]
    figure.canvas.draw()


def test_call_without_windows_is_shown(scored_calls):
    calls = scored_calls._replace(call_emotions=scored_calls.call_emotions.iloc[:0])
    call = data_of(page_of(calls))["calls"][channel_id("tuesday/noisy.wav", 0)]
    assert call["starts"] == call["scores"] == []
    envelopes = read_envelopes(calls.call_summary, SETTINGS)
    tables = (calls.call_emotions, calls.call_passages, envelopes)
    for draw in draw_timelines(calls.call_summary, *tables, SETTINGS).values():
        draw().canvas.draw()


def test_page_without_scored_calls(scored_calls):
    empty = pd.DataFrame()
    nothing = excerpt_table(scored_calls.call_passages.iloc[:0], SETTINGS)
    envelopes = read_envelopes(empty, SETTINGS)
    page = calls_page(empty, empty, nothing, envelopes, scored_calls.rejected_recordings, SETTINGS)
    assert "No call was scored. All 1 recordings were rejected" in page


@pytest.mark.parametrize(
    "wrong", [{"before_s": -1}, {"timelines": "some"}, {"points": 5}, {"seconds": 1}]
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        CallReportSettings(**wrong)
