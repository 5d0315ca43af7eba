import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from speech_emotion.call_scoring import CALL_FIELDS, CallSettings, collect_metadata

CALLS = ["monday/17_A03.wav", "tuesday/18_A04.wav", "tuesday/17_A03.flac"]


def table(**columns):
    return pd.DataFrame(columns)


def test_rows_belong_to_recordings_by_path_name_or_stem():
    rows = table(
        recording=["monday/17_A03.wav", "18_A04", "tuesday\\17_A03"],
        agent=["Kim", "Lee", "Kim"],
        direction=["IN", "outbound", ""],
        customer_channel=["1", "", "0"],
        started=["2026-03-02T09:00:00", "", "2026-03-02 10:00"],
    )
    metadata, rejected = collect_metadata(CALLS, rows, CallSettings())
    assert rejected.empty
    assert list(metadata) == ["call", *CALL_FIELDS]
    assert metadata["call"].tolist() == CALLS
    assert metadata["agent"].tolist() == ["Kim", "Lee", "Kim"]
    assert metadata["direction"].tolist() == ["inbound", "outbound", ""]
    assert metadata["customer_channel"].tolist() == [1, -1, 0]
    assert metadata["started"].tolist() == ["2026-03-02T09:00:00", "", "2026-03-02T10:00:00"]


def test_names_give_what_the_table_does_not():
    settings = CallSettings(
        name_pattern=r"(?P<call_id>\d+)_(?P<agent>\w+)\.", metadata_columns={"queue": "Skill"}
    )
    metadata, rejected = collect_metadata(
        [*CALLS[:2], "note.wav"], table(call_id=["18"], Skill=["sales"], agent=[""]), settings
    )
    assert metadata["call_id"].tolist() == ["17", "18", ""]
    assert metadata["agent"].tolist() == ["A03", "A04", ""]
    assert metadata["queue"].tolist() == ["", "sales", ""]
    assert rejected.to_numpy().tolist() == [
        [0, "note.wav", "the name does not match calls.name_pattern"]
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"recording": "gone.wav"}, "no recording is named by recording 'gone.wav'"),
        ({"recording": ""}, "recording is empty"),
        ({"recording": "17_A03"}, "2 recordings are named by recording '17_A03'"),
        ({"direction": "left"}, "direction 'left' is not one of inbound"),
        ({"customer_channel": "left"}, "customer_channel 'left' is not a number from 0"),
        ({"first_speaker": "?"}, "first_speaker '?' is not one of customer"),
        ({"started": "02.03.2026"}, "calls.metadata_start_format"),
    ],
)
def test_bad_rows_are_rejected_with_line_and_reason(row, reason):
    good = dict.fromkeys(("recording", *CALL_FIELDS), "") | {"recording": "18_A04", "agent": "Lee"}
    rows = pd.DataFrame([good, good | {"recording": CALLS[0], "agent": "Kim"} | row, good])
    metadata, rejected = collect_metadata(CALLS, rows, CallSettings())
    assert rejected["line"].tolist() == [3, 4]
    assert reason in rejected["reason"].iloc[0]
    assert "occurs on an earlier line" in rejected["reason"].iloc[1]
    assert metadata["agent"].tolist() == ["", "Lee", ""]  # a rejected row gives nothing


@given(st.lists(st.sampled_from([*CALLS, "18_A04", "17_A03", "x", ""]), max_size=6))
def test_every_row_is_used_or_rejected(names):
    rows = table(recording=names, agent=[f"agent {number}" for number in range(len(names))])
    metadata, rejected = collect_metadata(CALLS, rows, CallSettings())
    assert (metadata["agent"] != "").sum() + len(rejected) == len(rows)


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        ("recording;agent\n18_A04;Lee\n\nx.wav;Ann\n", {}),
        ("recording,agent\r\n18_A04,Lee\r\n\r\nx.wav,Ann", {}),
        ("\ufeffrecording\tagent\n18_A04\tLee\n\nx.wav\tAnn", {}),
        ("recording#agent\n18_A04#Lee\n\nx.wav#Ann", {"metadata_separator": "#"}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_are_read_as_exports_are(content, settings, encoding):
    metadata, rejected = collect_metadata(CALLS, content.encode(encoding), CallSettings(**settings))
    assert metadata["agent"].tolist() == ["", "Lee", ""]
    assert rejected.to_numpy().tolist() == [
        [4, "x.wav", "no recording is named by recording 'x.wav'"]
    ]


def test_broken_lines_of_a_table_are_rejected_with_their_number():
    content = b'recording,agent\n18_A04,Lee,x\n17_A03.wav,"Kim\nmonday/17_A03.wav,Kim\n'
    metadata, rejected = collect_metadata(CALLS, content, CallSettings())
    assert metadata["agent"].tolist() == ["Kim", "", ""]
    assert rejected["line"].tolist() == [2, 3]
    assert rejected["reason"].str.contains("calls.metadata_separator|never closed").all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The table of calls is empty"),
        ("recording,agent\n18_A04,J\u00fcrg".encode("cp1252"), r"set calls\.metadata_encoding"),
        (b"Datei/Agent\n1/2", r"read with separator ',', .*set calls\.metadata_separator"),
    ],
)
def test_unreadable_tables_name_the_setting(content, message):
    with pytest.raises(ValueError, match=message):
        collect_metadata(CALLS, content, CallSettings())


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (table(agent=["Kim"]), {}, "needs a column recording or call_id"),
        (table(recording=["a"]), {}, "at least one of agent"),
        (
            table(recording=["a"], agent=["Kim"]),
            {"metadata_columns": {"queue": "Skill"}},
            r"no column 'Skill' \(for queue\); it has recording, agent",
        ),
    ],
)
def test_tables_without_the_columns_are_errors(rows, settings, message):
    with pytest.raises(ValueError, match=message):
        collect_metadata(CALLS, rows, CallSettings(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name_pattern": "(?P<agent>"}, "no regular expression"),
        ({"name_pattern": r"(?P<team>\d)"}, "the groups team"),
        ({"name_pattern": r"\d+"}, "no named group"),
        ({"metadata_separator": "||"}, "is not one character"),
        ({"metadata_encoding": "utf-99"}, "is unknown"),
        ({"metadata_columns": {"team": "Team"}}, "team is not one of recording, call_id"),
    ],
)
def test_settings_name_what_is_wrong(settings, message):
    with pytest.raises(ValidationError, match=message):
        CallSettings(**settings)


def test_formats_of_starts_can_be_set():
    settings = CallSettings(metadata_start_format="%d.%m.%Y %H:%M")
    metadata, _ = collect_metadata(
        CALLS, table(recording=["18_A04"], started=["02.03.2026 09:05"]), settings
    )
    assert metadata["started"].tolist() == ["", "2026-03-02T09:05:00", ""]
    assert np.issubdtype(metadata["customer_channel"].dtype, np.integer)
