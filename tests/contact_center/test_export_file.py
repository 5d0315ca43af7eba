"""Exports as they come: separators, encodings, decimal signs, quotes, workbooks."""

import csv
import datetime
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_emotion import text_tables
from speech_emotion.contact_center import (
    CALLS,
    REJECTED_CALLS,
    ExportSettings,
    MissingColumns,
    read_export,
)
from speech_emotion.text_tables import UnreadableTable, parse_table

NAMES = [
    *("call_id", "agent_id", "team", "customer_id", "start", "wait_s"),
    *("talk_s", "hold_s", "after_call_s", "resolved", "topic", "recording"),
]
COUNT = 20


def rows(count=COUNT, **changes):
    made = []
    for number in range(count):
        start = datetime.datetime(2026, 3, 2, 9) + datetime.timedelta(minutes=20 * number)
        row = [f"C{number:03}", f"A{number % 3}", "T1", f"K{number}", start.isoformat(), "12"]
        row += [str(60 + number), "5", "30.5", "yes", "Größe", ""]
        made.append([changes.get(name, value) for name, value in zip(NAMES, row, strict=True)])
    return made


def file(lines=None, separator=",", encoding="utf-8", end="\n", header=NAMES):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator=end)
    writer.writerow(header)
    writer.writerows(rows() if lines is None else lines)
    return out.getvalue().encode(encoding)


def read(content, **settings):
    calls, rejected = read_export(content, ExportSettings(**settings))
    return CALLS.validate(calls), REJECTED_CALLS.validate(rejected)


PLAIN = read(file())[0]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separator_encoding_and_line_ends_are_detected(separator, encoding, end):
    content = file(separator=separator, encoding=encoding, end=end)
    table, broken, how = parse_table(content, NAMES)
    assert broken.empty
    assert list(table) == NAMES
    assert table.to_numpy().tolist() == rows()
    assert repr(separator) in how


def test_all_of_it_is_detected_together():
    pd.testing.assert_frame_equal(
        read(file(separator=";", encoding="utf-16", end="\r\n"))[0], PLAIN
    )


def test_an_encoding_that_does_not_show_is_set_and_the_message_names_the_setting():
    content = file(encoding="cp1252")
    with pytest.raises(UnreadableTable, match=r"Line 2 of the export is not utf-8: set .*encoding"):
        read(content)
    pd.testing.assert_frame_equal(read(content, encoding="cp1252")[0], PLAIN)


def test_the_line_for_excel_names_the_separator():
    content = b"sep=;\r\n" + file(separator=";", end="\r\n")
    pd.testing.assert_frame_equal(read(content)[0], PLAIN)
    broken = content.replace(b"C004;", b"C004;;;")
    assert read(broken)[1]["line"].tolist() == [7]


@pytest.mark.parametrize("name", ["comma", "semicolon", "tab", "pipe"])
def test_separators_have_names_for_the_command_line(name):
    separator = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}[name]
    assert len(read(file(separator=separator), separator=name)[0]) == COUNT
    with pytest.raises(MissingColumns, match=r"calls_export\.separator"):
        read(file(separator=separator), separator="#")


def test_decimal_commas_are_detected_where_nothing_else_makes_sense():
    german = rows(talk_s="60,5", wait_s="1,25")
    calls, _ = read(file(german, separator=";").replace(b"30.5", b"30,5"))
    assert (calls["talk_s"] == 60.5).all()
    assert (calls["after_call_s"] == 30.5).all()
    mixed = file(rows(talk_s="60,5"), separator=";")  # after_call_s has a point
    _, rejected = read(mixed)
    assert len(rejected) == COUNT
    assert rejected["reason"].str.contains("set calls_export.decimal to comma").all()
    thousands = rows(talk_s="1,060")
    _, rejected = read(file(thousands, separator=";").replace(b"30.5", b"30"))
    assert len(rejected) == COUNT
    calls, _ = read(file(thousands, separator=";").replace(b"30.5", b"30"), decimal="comma")
    assert (calls["talk_s"] == 1.06).all()


@pytest.mark.parametrize(
    ("durations", "talk_s", "seconds"),
    [
        ("seconds", "75.5", 75.5),
        ("minutes", "1.5", 90),
        ("days", "0.0010416667", 90),
        ("h:mm:ss", "0:01:15", 75),
        ("h:mm:ss", "12:00:00", 43_200),
        ("h:mm:ss", "0:01:15.25", 75.25),
        ("mm:ss", "01:15", 75),
        ("mm:ss", "90:00", 5400),
    ],
)
def test_durations_are_read_in_the_declared_format(durations, talk_s, seconds):
    zero = {"seconds": "0", "minutes": "0", "days": "0", "h:mm:ss": "0:00:00", "mm:ss": "0:00"}
    other = dict.fromkeys(("wait_s", "hold_s", "after_call_s"), zero[durations])
    far = {"plausible_talk_s": (0, 90_000)}
    calls, rejected = read(file(rows(1, talk_s=talk_s, **other)), durations=durations, **far)
    assert rejected.empty
    assert calls["talk_s"][0] == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize(
    ("durations", "talk_s", "words"),
    [
        ("h:mm:ss", "75", "talk_s 75 is not h:mm:ss: set calls_export.durations to seconds"),
        ("h:mm:ss", "1:15", "talk_s 1:15 is not h:mm:ss: set calls_export.durations to mm:ss"),
        ("mm:ss", "0:01:15", "is not mm:ss: set calls_export.durations to h:mm:ss"),
        ("seconds", "0:01:15", "not a number of seconds: set calls_export.durations to h:mm:ss"),
        ("seconds", "1e2", "talk_s 1e2 is not a number of seconds"),
        ("seconds", "1_000", "talk_s 1_000 is not a number of seconds"),
        ("seconds", "٣٣", "talk_s ٣٣ is not a number of seconds"),
        ("seconds", "0x10", "talk_s 0x10 is not a number of seconds"),
        ("h:mm:ss", "0:75:00", "is not h:mm:ss"),
        ("h:mm:ss", "0:00:75", "is not h:mm:ss"),
        ("h:mm:ss", "1 days", "talk_s 1 days is not h:mm:ss"),
        ("h:mm:ss", "-0:01:15", "talk_s -0:01:15 is negative"),
    ],
)
def test_other_formats_are_rejected_with_the_setting_that_reads_them(durations, talk_s, words):
    zero = "0" if durations == "seconds" else "0:00:00" if durations == "h:mm:ss" else "0:00"
    other = dict.fromkeys(("wait_s", "hold_s", "after_call_s"), zero)
    calls, rejected = read(file(rows(1, talk_s=talk_s, **other)), durations=durations)
    assert calls.empty
    assert words in rejected["reason"][0]


@pytest.mark.parametrize(
    ("durations", "talk_s"),
    [("seconds", "0.00317"), ("minutes", "0.00317"), ("minutes", "250"), ("days", "0.4")],
)
def test_a_wrong_unit_is_refused(durations, talk_s):
    small = dict.fromkeys(("wait_s", "hold_s", "after_call_s"), "0")
    with pytest.raises(UnreadableTable, match=r"median talk time .* set calls_export\.durations"):
        read(file(rows(talk_s=talk_s, **small)), durations=durations)


@pytest.mark.parametrize(
    "start",
    [
        *("now", "today", "2026", "2026-03", "2026-03-02", "20260302", "0000-01-01T00:00:00"),
        *(
            "1905-03-02T09:00:00",
            "2035-03-02T09:00:00",
            "9999-12-31T23:30:00Z",
            "10000-01-01T00:00",
        ),
        *("1905-03-02T09:00:00Z", "9999-12-31T23:30:00", "2026-13-01T09:00:00", "T", "-1", "1e9"),
    ],
)
def test_implausible_starts_are_rejected(start):
    lines = rows()
    lines[3][4] = start
    calls, rejected = read(file(lines))
    assert rejected["line"].tolist() == [5]
    assert start in rejected["reason"][0]
    pd.testing.assert_frame_equal(
        calls, PLAIN.drop(index=3).reset_index(drop=True), check_exact=True
    )


def test_plausible_starts_are_a_setting():
    lines = rows()
    lines[0][4] = "1999-12-31T23:59:59Z"
    assert len(read(file(lines), earliest="1999-12-31")[0]) == COUNT
    assert len(read(file(lines))[1]) == 1
    assert len(read(file(), latest="2026-03-01")[1]) == COUNT
    calls, rejected = read_export(
        file(), ExportSettings(), now=pd.Timestamp("2026-03-01 10:00", tz="UTC")
    )
    assert len(calls) == COUNT
    assert rejected.empty


def test_date_and_time_may_be_in_two_columns():
    header = [*NAMES[:4], "Datum", "Uhrzeit", *NAMES[5:]]
    lines = [[*row[:4], "02.03.2026", row[4][11:], *row[5:]] for row in rows()]
    layout = {"start_format": "%d.%m.%Y %H:%M:%S"}
    for start in (["Datum", "Uhrzeit"], "Datum;Uhrzeit"):
        columns = {name: name for name in NAMES} | {"start": start}
        calls, _ = read(file(lines, header=header), columns=columns, **layout)
        pd.testing.assert_frame_equal(calls, PLAIN)
    with pytest.raises(MissingColumns, match=r"'Zeit' \(for start\)"):
        read(file(lines, header=header), columns={"start": ["Datum", "Zeit"]}, **layout)
    with pytest.raises(ValueError, match="only start may be in several columns"):
        ExportSettings(columns={"team": ["a", "b"]})


def test_a_named_optional_column_must_exist():
    columns = {name: name for name in NAMES} | {"team": "Team"}
    with pytest.raises(MissingColumns, match=r"'Team' \(for team\).* Meant may be 'team'"):
        read(file(), columns=columns)
    lines = [row[:2] + row[3:] for row in rows()]
    assert (read(file(lines, header=[*NAMES[:2], *NAMES[3:]]))[0]["team"] == "").all()


def test_two_columns_of_one_name_are_an_error():
    with pytest.raises(UnreadableTable, match="several columns 'team'"):
        read(file([[*row, "x"] for row in rows()], header=[*NAMES, "team"]))


def test_lines_are_those_of_the_file():
    lines = file().decode().split("\n")
    lines[5] = lines[5].replace(",yes,", ",maybe,")
    content = "\n".join([*lines[:2], "", "   ", *lines[2:]]).encode()
    calls, rejected = read(content)
    assert len(calls) == COUNT - 1
    assert rejected["line"].tolist() == [8]
    assert content.decode().split("\n")[7].count("maybe") == 1


def test_quotes_that_nothing_closes_cost_one_line_each():
    lines = file().decode().split("\n")
    lines[3] = lines[3].replace("Größe", '"Größe')
    lines[10] = lines[10].replace("Größe", '"Größe')
    calls, rejected = read("\n".join(lines).encode())
    assert len(calls) == COUNT - 2
    assert rejected["line"].tolist() == [4, 11]
    assert rejected["reason"].str.contains("never closed").all()


def test_values_may_contain_line_breaks_and_separators():
    lines = rows()
    lines[2][10] = 'a "long" topic,\nwith; breaks\nand more'
    lines[5][9] = "maybe"
    calls, rejected = read(file(lines))
    assert calls["topic"][2] == lines[2][10]
    assert rejected["line"].tolist() == [2 + 5 + 2]


def test_separators_at_the_end_of_lines_do_no_harm():
    text = file().decode().split("\n")
    longer = [text[0], *(f"{line},," if line else "" for line in text[1:])]
    calls, rejected = read("\n".join(longer).encode())
    pd.testing.assert_frame_equal(calls, PLAIN)
    assert rejected.empty
    both = [f"{line}," if line else "" for line in text]
    pd.testing.assert_frame_equal(read("\n".join(both).encode())[0], PLAIN)


def test_lines_of_another_width_are_rejected():
    text = file().decode().split("\n")
    text[4], text[6] = text[4] + "x,y", text[6].rsplit(",", 3)[0]
    _, rejected = read("\n".join(text).encode())
    assert rejected["line"].tolist() == [5, 7]
    assert rejected["reason"].str.contains("values for 12 columns").all()


def test_a_corrected_line_after_an_invalid_one_is_read():
    lines = rows(2)
    lines[1][0] = lines[0][0]
    lines[0][6] = "x"
    calls, rejected = read(file(lines))
    assert rejected["line"].tolist() == [2]
    assert calls["talk_s"].tolist() == [61]


LINE = st.text(alphabet='ab",;\n \t', max_size=12)


@given(st.lists(LINE, max_size=6), st.sampled_from([",", ";"]), st.sampled_from(["a,b", "a;b;"]))
@settings(max_examples=200)
def test_the_fast_parser_reads_as_the_careful_one(lines, separator, header):
    content = "\n".join([header, *lines]).encode()
    careful = parse_table(content, ["a", "b"], separator=separator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_tables, "MANY_LINES", 0)
        fast = parse_table(content, ["a", "b"], separator=separator)
    pd.testing.assert_frame_equal(fast.table, careful.table, check_index_type=False)
    pd.testing.assert_frame_equal(fast.broken, careful.broken, check_dtype=False)


def test_large_exports_are_read_by_the_fast_parser(monkeypatch):
    lines = rows(12_000)
    monkeypatch.setattr(text_tables, "_records", None)
    table = parse_table(file(lines), NAMES).table
    assert table.to_numpy().tolist() == lines
    assert table.index[0] == 2
    quoted = "\n".join(",".join(f'"{value}"' for value in line) for line in [NAMES, *lines])
    pd.testing.assert_frame_equal(parse_table(quoted.encode(), NAMES).table, table)


@pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_error(content):
    with pytest.raises(UnreadableTable, match="empty"):
        read(content)


def test_settings_are_checked():
    for wrong, words in (
        ({"separator": "::"}, "not one character"),
        ({"encoding": "klingon"}, "write utf-8, utf-16 or cp1252"),
        ({"durations": "hours"}, "mm:ss"),
    ):
        with pytest.raises(ValueError, match=words):
            ExportSettings(**wrong)


def workbook(lines, sheets=("Calls",)):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name in sheets:
        sheet = book.create_sheet(name)
        for line in lines:
            sheet.append(line)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_workbooks_are_read_with_their_types():
    pytest.importorskip("python_calamine")
    lines = [NAMES]
    for row in rows():
        start = datetime.datetime.fromisoformat(row[4])
        times = [datetime.timedelta(seconds=float(row[6])), datetime.time(0, 0, 5)]
        lines.append(
            [*row[:4], start, None, *times, datetime.timedelta(seconds=30.5), True, *row[10:]]
        )
    lines.insert(3, [None] * 12)
    content = workbook(lines)
    calls, rejected = read(content, durations="h:mm:ss")
    assert rejected.empty
    assert calls["start"].tolist() == PLAIN["start"].tolist()
    np.testing.assert_allclose(calls["talk_s"], PLAIN["talk_s"])
    assert (calls["hold_s"] == 5).all()
    assert calls["resolved"].all()
    lines[5][9] = "maybe"
    _, rejected = read(workbook(lines), durations="h:mm:ss")
    assert rejected["line"].tolist() == [6]  # the row that Excel shows
    with pytest.raises(
        UnreadableTable, match=r"no sheet 'Chats': set calls_export.sheet \(Calls\)"
    ):
        read(content, sheet="Chats")
    with pytest.raises(UnreadableTable, match="cannot be read"):
        read(content[:300])


def test_without_the_extra_a_workbook_names_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnreadableTable, match=r"speech-emotion\[excel\], or save it as CSV"):
        read(b"PK\x03\x04" + bytes(100))


VALUES = st.one_of(
    st.sampled_from(
        ['"', '""', 'a"b', '"a', 'a"', "", " ", "\x0b", "\x1c", "\u2028", "\x85", "ü", "-1"]
    ),
    st.text(st.characters(blacklist_characters="\r\n,", blacklist_categories=["Cs"]), max_size=6),
)


@given(
    st.lists(
        st.one_of(
            st.lists(VALUES, max_size=14).map(",".join),
            st.sampled_from([",".join(row) for row in rows(6)]),
        ),
        max_size=8,
    )
)
@settings(max_examples=30)
def test_every_line_is_a_call_or_rejected_with_its_number(lines):
    """Lines of quotes, separators and anything else between good ones; no value has a line break."""
    content = "\n".join([",".join(NAMES), *lines]).encode()
    calls, rejected = read(content, plausible_talk_s=(0, 1e9))
    numbers = [number for number, line in enumerate(lines, 2) if line.strip()]
    table, broken, _ = parse_table(content, NAMES)
    covered = sorted([*table.index, *broken["line"]])
    joined = sum("\n" in value for value in table.to_numpy().ravel())
    assert set(rejected["line"]) <= set(numbers)
    assert len(calls) + len(rejected) == len(covered)
    assert set(covered) <= set(numbers)
    if not joined:
        assert covered == numbers
