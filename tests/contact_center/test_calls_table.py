import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from speech_emotion.contact_center import (
    CALLS,
    REJECTED_CALLS,
    ExportSettings,
    MissingColumns,
    count_emotions,
    join_emotions,
    no_rejected_calls,
    read_export,
)

GOOD = {
    "call_id": "1",
    "agent_id": "A01",
    "team": "north",
    "customer_id": "k1",
    "start": "2026-03-02T09:00:00Z",
    "wait_s": "12",
    "talk_s": "60",
    "hold_s": "5",
    "after_call_s": "30.5",
    "resolved": "yes",
    "topic": "billing",
    "recording": "a.wav",
}


def read(*changes, **settings):
    """Read rows that differ from a good one."""
    rows = [GOOD | {"call_id": str(number)} | row for number, row in enumerate(changes)]
    calls, rejected = read_export(pd.DataFrame(rows), ExportSettings(**settings))
    assert len(calls) + len(rejected) == len(rows)
    return CALLS.validate(calls), REJECTED_CALLS.validate(rejected)


def test_a_valid_row_becomes_a_call():
    calls, rejected = read({})
    call = calls.iloc[0]
    assert call["start"] == pd.Timestamp("2026-03-02 09:00", tz="UTC")
    assert (call["wait_s"], call["talk_s"], call["after_call_s"]) == (12, 60, 30.5)
    assert call["resolved"]
    assert call["emotion_source"] == "none"
    assert not call["synthetic"]
    assert rejected.empty


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"call_id": ""}, "call_id is empty"),
        ({"agent_id": "  "}, "agent_id is empty"),
        ({"customer_id": ""}, "customer_id is empty"),
        ({"talk_s": "-3"}, "talk_s -3 is negative"),
        ({"hold_s": "-0.5"}, "hold_s -0.5 is negative"),
        ({"wait_s": "-1"}, "wait_s -1 is negative"),
        ({"talk_s": "long"}, "talk_s long is not a number of seconds"),
        ({"talk_s": "nan"}, "talk_s nan is not a number"),
        ({"talk_s": "inf"}, "talk_s inf is not a number"),
        ({"after_call_s": ""}, "after_call_s  is not a number"),
        ({"talk_s": "50000"}, "talk_s 50000 is above 43200 s"),
        ({"resolved": "perhaps"}, "resolved perhaps is neither yes nor no"),
        ({"start": ""}, "cannot be read"),
        ({"start": "yesterday"}, "start yesterday cannot be read"),
        ({"start": "2026-02-30T09:00:00"}, "cannot be read"),
        ({"start": "2026-03-29T01:30:00"}, "does not exist in Europe/London"),
        ({"start": "2026-10-25T01:30:00"}, "occurs twice in Europe/London"),
    ],
)
def test_invalid_rows_are_rejected_with_line_and_reason(change, reason):
    elsewhere = {"agent_id": "A02"}
    calls, rejected = read(elsewhere, change)
    assert list(calls["agent_id"]) == ["A02"]
    assert rejected["line"].tolist() == [3]  # after the header and a good row
    assert reason in rejected["reason"].iloc[0]


def test_an_export_of_invalid_rows_gives_no_calls():
    calls, rejected = read({"talk_s": "-1"}, {"talk_s": "x"})
    assert calls.empty
    assert len(rejected) == 2


def test_an_empty_export_gives_empty_tables():
    calls, rejected = read_export(pd.DataFrame(columns=list(GOOD), dtype=str), ExportSettings())
    assert CALLS.validate(calls).empty
    assert REJECTED_CALLS.validate(rejected).empty
    assert REJECTED_CALLS.validate(no_rejected_calls()).empty


def test_a_second_row_of_a_call_is_rejected():
    _, rejected = read({"call_id": "x"}, {"call_id": "x", "agent_id": "A02"})
    assert rejected["reason"].tolist() == ["call_id occurs on an earlier line"]
    assert rejected["agent_id"].tolist() == ["A02"]


@pytest.mark.parametrize(
    ("start", "utc"),
    [
        ("2026-01-15T09:00:00", "2026-01-15 09:00"),  # winter: London is UTC
        ("2026-07-15T09:00:00", "2026-07-15 08:00"),  # summer time
        ("2026-07-15 09:00", "2026-07-15 08:00"),
        ("2026-07-15T09:00:00+02:00", "2026-07-15 07:00"),
        ("2026-07-15T09:00:00.250-0500", "2026-07-15 14:00:00.250"),
        ("2026-03-29T00:59:59", "2026-03-29 00:59:59"),  # just before the gap
        ("2026-03-29T02:00:00", "2026-03-29 01:00"),  # just after
        ("2026-10-25T01:30:00+01:00", "2026-10-25 00:30"),  # an offset tells the hours apart
        ("2026-10-25T01:30:00Z", "2026-10-25 01:30"),
    ],
)
def test_starts_are_stored_in_utc(start, utc):
    calls, _ = read({"start": start})
    assert calls["start"].iloc[0] == pd.Timestamp(utc, tz="UTC")


def test_starts_with_and_without_offset_may_be_mixed():
    calls, rejected = read(
        {"start": "2026-07-15T09:00:00"}, {"start": "2026-07-15T09:00:00Z", "agent_id": "A02"}
    )
    assert rejected.empty
    assert [start.hour for start in calls["start"]] == [8, 9]


@pytest.mark.parametrize(("choice", "hour"), [("earlier", 0), ("later", 1)])
def test_an_hour_that_occurs_twice_may_be_chosen(choice, hour):
    calls, _ = read({"start": "2026-10-25T01:30:00"}, ambiguous=choice)
    assert calls["start"].iloc[0] == pd.Timestamp(f"2026-10-25 0{hour}:30", tz="UTC")
    _, rejected = read({"start": "2026-03-29T01:30:00"}, ambiguous=choice)
    assert "does not exist" in rejected["reason"].iloc[0]


@pytest.mark.parametrize(
    ("layout", "start", "utc"),
    [
        ("%d.%m.%Y %H:%M", "15.07.2026 09:00", "2026-07-15 07:00"),
        ("%d/%m/%Y %H:%M %z", "15/07/2026 09:00 +0000", "2026-07-15 09:00"),
    ],
)
def test_starts_of_another_format(layout, start, utc):
    calls, _ = read({"start": start}, start_format=layout, time_zone="Europe/Berlin")
    assert calls["start"].iloc[0] == pd.Timestamp(utc, tz="UTC")


@pytest.mark.parametrize(
    ("written", "text", "seconds"),
    [("seconds", "90", 90), ("minutes", "1.5", 90), ("h:mm:ss", "0:01:30", 90)],
)
def test_durations_of_other_units(written, text, seconds):
    row = dict.fromkeys(["talk_s", "hold_s", "after_call_s", "wait_s"], text)
    calls, rejected = read(row, durations=written)
    assert rejected.empty
    assert calls[list(row)].iloc[0].tolist() == [seconds] * 4


def test_overlapping_calls_of_an_agent_are_rejected():
    calls, rejected = read(
        {"start": "2026-03-02T09:00:00Z", "talk_s": "300", "hold_s": "0"},
        {"start": "2026-03-02T09:04:00Z"},  # within the first
        {"start": "2026-03-02T09:05:00Z"},  # as the first ends; its after-call work may go on
        {"start": "2026-03-02T09:04:00Z", "agent_id": "A02"},
    )
    assert sorted(calls["call_id"]) == ["0", "2", "3"]
    assert rejected["reason"].tolist() == ["overlaps call 0 of the same agent by 60 s"]
    calls, _ = read(
        {"start": "2026-03-02T09:00:00Z"}, {"start": "2026-03-02T09:00:30Z"}, overlap_s=60
    )
    assert len(calls) == 2


def test_columns_are_mapped_and_optional_ones_may_be_absent():
    theirs = {"call_id": "ID", "agent_id": "Agent", "start": "Begin"}
    wanted = {name: theirs.get(name, name) for name in GOOD}
    row = {wanted[name]: text for name, text in GOOD.items() if name not in ("team", "wait_s")}
    calls, _ = read_export(pd.DataFrame([row]), ExportSettings(columns=wanted))
    assert calls[["call_id", "agent_id", "team"]].iloc[0].tolist() == ["1", "A01", ""]
    assert np.isnan(calls["wait_s"].iloc[0])


def test_missing_columns_are_named_with_the_existing_ones():
    rows = pd.DataFrame([GOOD]).drop(columns=["talk_s", "topic"])
    with pytest.raises(MissingColumns, match=r"'talk_s' \(for talk_s\), 'topic'.*has call_id,"):
        read_export(rows, ExportSettings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time_zone": "Mars/Olympus"}, "is not a time zone"),
        ({"columns": {"agnet_id": "x"}}, "agnet_id is not one of"),
        ({"durations": "hours"}, "minutes"),
        ({"colums": {}}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        ExportSettings(**settings)


@pytest.fixture
def call_summary():
    rows = [
        ("a.wav", "customer", "angry", 0.8, 0.4, 12.0),
        ("a.wav", "agent", "angry", 0.99, 0.9, 1.0),  # agents do not count
        ("sub/b.wav", "mixed", "not_flagged", 0.1, 0.0, np.nan),
        ("sub/b.wav", "mixed", "review", 0.5, 0.2, 3.0),
        ("other.wav", "customer", "angry", 0.9, 0.5, 0.0),
    ]
    names = ["call", "channel_role", "flag", "score", "share_angry", "first_angry_s"]
    return pd.DataFrame(rows, columns=names)


def test_emotions_of_scored_recordings_replace_generated_ones(make_calls, call_summary):
    paths = ["./a.wav", "sub\\b.wav", "", "unscored.wav"]
    calls = make_calls(
        [{"start": f"2026-03-02T09:0{n}:00Z", "recording": paths[n]} for n in range(4)]
    )
    joined = CALLS.validate(join_emotions(calls, call_summary))
    assert joined["flag"].tolist() == ["angry", "review", "not_flagged", "not_flagged"]
    assert joined["angry_share"].tolist() == [0.4, 0.2, 0.0, 0.0]
    assert joined["first_angry_s"].tolist()[:2] == [12.0, 3.0]
    assert joined["emotion_source"].tolist() == ["recording", "recording", "generated", "generated"]
    assert count_emotions(joined) == {"verdict": 0, "recording": 2, "generated": 2, "none": 0}


def test_without_scored_recordings_nothing_changes(make_calls, call_summary):
    calls = make_calls([{"start": "2026-03-02T09:00:00Z", "recording": "a.wav"}])
    pd.testing.assert_frame_equal(join_emotions(calls, None), calls)
    pd.testing.assert_frame_equal(join_emotions(calls, call_summary.iloc[:0]), calls)
    with pytest.raises(MissingColumns, match="share_angry"):
        join_emotions(calls, call_summary.drop(columns="share_angry"))


@pytest.fixture
def scored_with_metadata(call_summary):
    return call_summary.assign(
        call_id=["7", "7", "8", "8", ""],
        agent=["A07", "A07", "A08", "A08", "A09"],
        queue=["sales", "sales", "", "", "x"],
        direction=["inbound", "inbound", "outbound", "outbound", ""],
    )


def with_metadata(scored, *changes):
    rows = [GOOD | {"agent_id": "", "recording": ""} | row for row in changes]
    calls, rejected = read_export(
        pd.DataFrame(rows).drop(columns="team"), ExportSettings(), scored=scored
    )
    return CALLS.validate(calls).set_index("call_id"), rejected


def test_metadata_of_recordings_fill_what_an_export_lacks(scored_with_metadata):
    calls, rejected = with_metadata(
        scored_with_metadata,
        {"call_id": "7"},
        {"call_id": "8", "agent_id": "B", "direction": "inbound"},
        {"call_id": "9", "recording": ".\\other.wav"},
        {"call_id": "10"},
    )
    assert calls["recording"].to_dict() == {"7": "a.wav", "8": "sub/b.wav", "9": ".\\other.wav"}
    assert calls["agent_id"].to_dict() == {"7": "A07", "8": "B", "9": "A09"}
    assert calls["queue"].to_dict() == {"7": "sales", "8": "", "9": "x"}
    # What the export says, stays.
    assert calls["direction"].to_dict() == {"7": "inbound", "8": "inbound", "9": ""}
    assert rejected[["call_id", "reason"]].to_numpy().tolist() == [["10", "agent_id is empty"]]
    joined = join_emotions(calls.reset_index(), scored_with_metadata)
    assert joined["emotion_source"].tolist() == ["recording"] * 3


def test_an_id_of_several_recordings_names_none(scored_with_metadata):
    scored = scored_with_metadata.assign(call_id="7")
    calls, _ = with_metadata(scored, {"call_id": "7", "agent_id": "B"})
    assert calls[["recording", "queue"]].to_numpy().tolist() == [["", ""]]


def test_agents_may_come_from_recordings_alone(scored_with_metadata):
    rows = pd.DataFrame([GOOD | {"call_id": "7", "recording": ""}]).drop(columns="agent_id")
    calls, _ = read_export(rows, ExportSettings(), scored=scored_with_metadata)
    assert calls["agent_id"].tolist() == ["A07"]
    for scored in (None, scored_with_metadata.assign(agent="")):
        with pytest.raises(MissingColumns, match="agent_id"):
            read_export(rows, ExportSettings(), scored=scored)
