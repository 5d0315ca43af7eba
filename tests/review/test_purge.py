"""Calls are erased from every store; proven by searching all bytes, rows of tables, and the database."""

import datetime as dt
import html
import json
import logging
import os
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from speech_emotion.call_scoring import CallSettings
from speech_emotion.feedback import REVIEWED_FOLDER, clips_of
from speech_emotion.reporting.calls import calls_page, channel_id, row_files, script_file
from speech_emotion.review import (
    Filters,
    RetentionSettings,
    ReviewSettings,
    Verdict,
    claim_next,
    export_verdicts,
    purge_folder,
    record_verdict,
)
from speech_emotion.review.database import calls
from speech_emotion.review.purge import Purge
from speech_emotion.runtime import KEY, DamagedTable, RedactingFormatter, ShardStore

CALL = "monday/Anruf <b>Müller</b> & Söhne.wav"
OTHER = "monday/call 1.wav"
NOW = dt.datetime.now(dt.UTC)


def _leave_clips_and_half_a_file(folder):
    """Clips of reviewed calls, and what a process leaves that was killed long ago."""
    corpus = folder / REVIEWED_FOLDER
    corpus.mkdir(parents=True)
    (corpus / f"{clips_of(CALL)}0_000001500.flac").write_bytes(b"clip of the call")
    (corpus / f"{clips_of('another')}0_000001500.flac").write_bytes(b"clip of another call")
    (corpus / "reviewed_calls.csv").write_text(f"file,call\na.flac,{CALL}\nb.flac,another\n")
    half = folder / ".half.csv.123.partial"
    half.write_text(f"call\n{CALL}\n")
    os.utime(half, (0, 0))


@pytest.fixture
def everything(reviewed, tables_of_calls, scored_calls):
    """Every store that pipelines and reviewers fill, for the four calls."""
    folder, tables = reviewed.folder, tables_of_calls
    summary = tables.call_summary
    keys = {call: f"key of {number}" for number, call in enumerate(summary["call"])}
    results = folder / "07_model_output/calls"
    cache = ShardStore(str(results / "cache"))
    channels = summary[["call", "path", "channel"]].assign(unread=False)
    for name, part in (("a", slice(0, 2)), ("b", slice(2, 4))):
        some = channels.iloc[part]
        windows = tables.call_emotions[tables.call_emotions["call"].isin(some["call"])]
        cache.within("channel").put(name, some.assign(**{KEY: some["call"].map(keys)}))
        cache.within("window").put(name, windows.assign(**{KEY: windows["call"].map(keys)}))
    voices = [[[float(number)] * 8] for number in range(5)]
    inspections = pd.DataFrame({KEY: [*keys.values(), "key of a run before"], "voices": voices})
    cache.within("inspection").put("i", inspections)
    roles = summary[["call", "path"]].assign(inspection=summary["call"].map(keys))
    roles.to_parquet(results / "roles.parquet")
    roles[["call", "path"]].to_parquet(results / "index.parquet")
    tables.rejected_recordings.to_csv(results / "rejected.csv", index=False)
    (folder / "02_intermediate").mkdir()
    summary[["call", "call_id", "agent", "started"]].to_parquet(
        folder / "02_intermediate/call_metadata.parquet"
    )
    roles.iloc[:0].to_parquet(folder / "02_intermediate/nothing.parquet")
    kpis = pd.DataFrame({"call_id": ["K1", "K2"], "recording": [CALL, OTHER], "talk_s": [1.0, 2.0]})
    kpis.to_parquet(folder / "02_intermediate/calls.parquet")
    page = folder / "08_reporting/calls"
    sounds = []
    for row in summary.itertuples():
        sound, detail = f"sounds/aa/{keys[row.call]}", channel_id(row.call, 0)
        sounds.append((row.call, 0, sound, ""))
        for name, content in (
            (f"{sound}.mp3", row.call.encode()),
            (f"{sound}.js", b"wave"),
            (
                f"details/bb/{detail}.js",
                script_file(
                    f"details/bb/{detail}", {"sound": sound, "error": "", "call": row.call}
                ),
            ),
        ):
            (page / name).parent.mkdir(parents=True, exist_ok=True)
            (page / name).write_bytes(content)
    pd.DataFrame(sounds, columns=["call", "channel", "name", "error"]).to_parquet(
        page / "sounds.parquet"
    )
    for name, content in row_files(summary):
        (page / name).parent.mkdir(exist_ok=True)
        (page / name).write_bytes(content)
    rejected = tables.rejected_recordings
    (page / "calls.html").write_text(calls_page(summary, rejected, CallSettings()))
    summary.to_csv(page / "summary.csv", index=False)
    summary.to_json(page / "summary.jsonl", orient="records", lines=True)
    kpis.to_csv(folder / "08_reporting/angry_calls.csv", index=False)
    for place in ("08_reporting/call_kpis/call_kpis.html", "mlflow/1/run/report/calls.html"):
        (folder / place).parent.mkdir(parents=True)
        (folder / place).write_text(f"<td>{html.escape(CALL)}</td>")
    _leave_clips_and_half_a_file(folder)
    with reviewed.database.write() as connection:
        for _ in range(9):
            item = claim_next(connection, 1, Filters(), moment=NOW, minutes=5)
            record_verdict(connection, item, 1, Verdict(verdict="angry"), moment=NOW)
        for row in connection.execute(sa.select(calls.c.id, calls.c.call)).all():
            path = folder / f"09_review/sounds/{row.id}.mp3"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(row.call.encode())
    export_verdicts(reviewed.database, folder)
    log = folder / "logs/speech_emotion.log"
    log.parent.mkdir()
    log.write_text(f"first line\nerror in {CALL}\nerror in {OTHER}\n")
    return folder


def names_of(call, tables):
    """How a call may be named in a store."""
    row = tables.call_summary.set_index("call").loc[call]
    name = Path(call).name
    return {call, row["path"], row["call_id"], name, json.dumps(name)[1:-1]}


def found_in(folder, names):
    """Search bytes, rows of tables and rows of the database."""
    places = set()
    needles = [name.encode() for name in names]
    for path in filter(Path.is_file, folder.rglob("*")):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += pd.read_parquet(path).to_csv().encode()
        elif path.suffix == ".db":
            with sqlite3.connect(path) as connection:
                content += "\n".join(connection.iterdump()).encode()
            connection.close()
        if any(needle in content for needle in needles) or names & {path.name}:
            places.add(path.relative_to(folder).as_posix())
    return places


def purge(reviewed, folder, settings, **options):
    lines = []
    logs = [folder / "logs/speech_emotion.log"]
    left = purge_folder(
        folder, reviewed.database, settings, logs=logs, report=lines.append, **options
    )
    return lines, left


def test_a_call_is_erased_from_every_store(everything, reviewed, settings, tables_of_calls):
    names, others = names_of(CALL, tables_of_calls), names_of(OTHER, tables_of_calls)
    before, kept = found_in(everything, names), found_in(everything, others)
    assert len(before) > 20
    listed, _ = purge(reviewed, everything, settings, call=CALL, dry_run=True)
    assert found_in(everything, names) == before
    lines, left = purge(reviewed, everything, settings, call=CALL)
    assert left == []
    assert found_in(everything, names) == set()
    assert found_in(everything, others) >= kept - before
    for text in ("sound of the review", "rows of the page", "verdicts", "voices of parties"):
        assert any(text in line for line in lines), text
    # What a dry run lists is what is removed.
    assert [line.replace("would remove", "removed") for line in listed[:-2]] == lines[:-2]
    assert not (everything / "08_reporting/calls/sounds/aa/key of 1.mp3").exists()
    clips = [path.name for path in (everything / REVIEWED_FOLDER).glob("*.flac")]
    assert [name.startswith(clips_of("another")) for name in clips] == [True]
    page = (everything / "08_reporting/calls/calls.html").read_text()
    assert "call 1.wav" in page
    assert (everything / "logs/speech_emotion.log").read_text().splitlines() == [
        "first line",
        f"error in {OTHER}",
    ]
    voices = pd.read_parquet(everything / "07_model_output/calls/cache/inspection/i.parquet")
    assert len(voices) == 3  # nor does the voice of a run before stay that no table lists
    # Again, or under another of its names: nothing is left, and nothing else goes.
    after = found_in(everything, others)
    for name in (CALL, Path(CALL).stem):
        lines, left = purge(reviewed, everything, settings, call=name)
        assert left == []
        assert "No stored call is named" in lines[0]
        assert "0 entries removed" in lines
    assert found_in(everything, others) == after


@pytest.mark.parametrize("name", ["CENTER-2", Path(CALL).name])
def test_a_call_is_found_by_its_other_names(everything, reviewed, settings, tables_of_calls, name):
    purge(reviewed, everything, settings, call=name)
    assert found_in(everything, names_of(CALL, tables_of_calls)) == set()


def test_a_damaged_table_is_named_and_not_rewritten(
    everything, reviewed, settings, tables_of_calls
):
    path = everything / "07_model_output/calls/passages.parquet"
    damaged = path.read_bytes()[:-5]
    path.write_bytes(damaged)
    with pytest.raises(DamagedTable, match=r"passages\.parquet is damaged") as caught:
        purge(reviewed, everything, settings, call=CALL)
    assert "run the purge again" in "".join(caught.value.__notes__)
    assert path.read_bytes() == damaged
    path.unlink()
    _, left = purge(reviewed, everything, settings, call=CALL)
    assert left == []
    assert found_in(everything, names_of(CALL, tables_of_calls)) == set()


class Interrupted(BaseException):
    """As a signal."""


def test_an_interrupted_purge_is_run_again(
    everything, reviewed, settings, tables_of_calls, monkeypatch
):
    names = names_of(CALL, tables_of_calls)
    lines, _ = purge(reviewed, everything, settings, call=CALL, dry_run=True)
    n_steps = sum("would remove" in line for line in lines)
    erase = Purge.erase
    for limit in range(1, n_steps, 3):

        def stop(self, *arguments, limit=limit):
            for number, removed in enumerate(erase(self, *arguments)):
                if number == limit:
                    raise Interrupted
                yield removed

        monkeypatch.setattr(Purge, "erase", stop)
        try:
            purge(reviewed, everything, settings, call="CENTER-2")
        except Interrupted:
            # The list of calls goes last: as long as anything is left, the name finds the call.
            left = found_in(everything, names)
            assert not left or "07_model_output/calls/summary.parquet" in left
            continue
        break
    monkeypatch.setattr(Purge, "erase", erase)
    _, left = purge(reviewed, everything, settings, call="CENTER-2")
    assert left == []
    assert found_in(everything, names) == set()


def start_all(folder, reviewed, days):
    """Let each call have started so many days ago."""
    summary = folder / "07_model_output/calls/summary.parquet"
    table = pd.read_parquet(summary)
    starts = [(NOW - dt.timedelta(days=days.get(call, 89))).isoformat() for call in table["call"]]
    table.assign(started=starts).to_parquet(summary)
    (folder / "02_intermediate/call_metadata.parquet").unlink()
    with reviewed.database.write() as connection:
        connection.exec_driver_sql("UPDATE calls SET started_at = NULL")


def test_old_calls_are_erased_by_their_start(everything, reviewed, settings, tables_of_calls):
    start_all(everything, reviewed, {CALL: 91})
    lines, _ = purge(reviewed, everything, settings, days=90)
    assert "passages: 1 of 4 calls" in lines[0]
    assert found_in(everything, names_of(CALL, tables_of_calls)) == set()
    assert found_in(everything, {OTHER})


def test_each_kind_of_content_has_its_own_time(everything, reviewed, tables_of_calls):
    start_all(everything, reviewed, {})
    retention = RetentionSettings(passages=None, windows=None, embeddings=1, verdict_audio=1)
    _, left = purge(reviewed, everything, ReviewSettings(retention=retention))
    assert left == []
    results = everything / "07_model_output/calls"
    assert not list(everything.rglob("*.mp3"))
    assert not list((results / "cache/inspection").glob("*.parquet"))
    assert len(pd.read_parquet(results / "emotions.parquet")) == len(tables_of_calls.call_emotions)
    (detail,) = (everything / "08_reporting/calls/details/bb").glob(f"{channel_id(CALL, 0)}.js")
    assert '"sound":"","error":"erased"' in detail.read_text()
    retention = RetentionSettings(passages=None, windows=1, embeddings=None, verdict_audio=None)
    purge(reviewed, everything, ReviewSettings(retention=retention))
    assert len(pd.read_parquet(results / "emotions.parquet")) == 0
    assert len(pd.read_parquet(results / "summary.parquet")) == 4
    assert not detail.exists()
    with reviewed.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM verdicts").scalar() == 9
        assert connection.exec_driver_sql("SELECT count(timeline) FROM calls").scalar() == 0


def test_files_that_nothing_knows_are_named(everything, reviewed, settings):
    (everything / "backup.bin").write_bytes(b"\x00" + CALL.encode())
    lines, left = purge(reviewed, everything, settings, call=CALL)
    assert left == ["backup.bin"]
    assert "STILL NAMED in backup.bin" in lines[-1]


def test_a_name_that_several_calls_have_is_refused(everything, reviewed, settings):
    summary = everything / "07_model_output/calls/summary.parquet"
    table = pd.read_parquet(summary)
    pd.concat([table, table[:1].assign(call="friday/call 1.wav", path="/friday.wav")]).to_parquet(
        summary
    )
    with pytest.raises(ValueError, match=r"2 calls are named 'call 1.wav'.*Give one of these"):
        purge(reviewed, everything, settings, call="call 1.wav")
    purge(reviewed, everything, settings, call="friday/call 1.wav")
    assert OTHER in set(pd.read_parquet(summary)["call"])


def test_numbers_and_passwords_do_not_reach_log_files(tmp_path):
    handler = logging.FileHandler(tmp_path / "log")
    handler.setFormatter(RedactingFormatter())
    secrets = ["+49 170 1234567", "004917012345678", "01701234567", "hunter2"]
    text = (
        "calls/+49 170 1234567.wav, 004917012345678_in.wav and x/01701234567.wav at "
        "postgresql://me:hunter2@host/db?password=hunter2; 2026-11-27 06:50, 0.123456789, "
        "digest 0012ab34cd56"
    )
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "%s", (text,), None)
    handler.handle(record)
    handler.close()
    written = (tmp_path / "log").read_text()
    assert not any(secret in written for secret in secrets)
    for kept in ("2026-11-27 06:50", "0.123456789", "digest 0012ab34cd56", "/db"):
        assert kept in written
