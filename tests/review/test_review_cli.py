"""The commands ``speech-emotion review`` and ``purge``, as they are typed."""

import socket
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from speech_emotion.cli import cli
from speech_emotion.review import VERDICTS, Database, Filters, Verdict, claim_next, record_verdict
from speech_emotion.review.database import now

PROJECT = Path(__file__).parents[2]
PASSWORD = "not to be seen"


@pytest.fixture
def run(reviewed, monkeypatch, tmp_path):
    bootstrap_project(PROJECT)
    reviewed.database.close()
    monkeypatch.setattr("speech_emotion.cli.LOG", str(tmp_path / "log"))
    monkeypatch.setenv("SPEECH_EMOTION_PASSWORD", PASSWORD)

    def command(*arguments):
        return CliRunner().invoke(cli, [*arguments, "--data", str(reviewed.folder)])

    return command


def test_users_verdicts_and_purge(run, reviewed, tmp_path):
    added = run("review", "add-user", "mia", "--role", "lead")
    assert added.output == "mia is a lead\n"
    assert "--replace" in run("review", "add-user", "mia").output
    assert "only: ada, ben, lea, mia" in run("review", "remove-user", "max").output
    assert run("review", "remove-user", "ben").exit_code == 0
    database = Database(str(reviewed.database.url))
    with database.write() as connection:
        item = claim_next(connection, 1, Filters(), moment=now(), minutes=5)
        record_verdict(connection, item, 1, Verdict(verdict="angry"), moment=now())
    database.close()
    exported = run("review", "export")
    assert "1 verdicts, 1 of them count" in exported.output
    VERDICTS.validate(pd.read_parquet(reviewed.folder / "09_review/verdicts.parquet"))
    listed = run("purge", "--call", "CENTER-2", "--dry-run")
    assert listed.exit_code == 0, listed.output
    assert "would remove database of reviews: 1 scored channels" in listed.output
    assert run("purge", "--call", "CENTER-2").exit_code == 0
    assert "not both" in run("purge", "--call", "x", "--older-than", "90d").output
    assert "write 90d" in run("purge", "--older-than", "3 months").output
    logs = b"".join(path.read_bytes() for path in tmp_path.glob("log*"))
    assert PASSWORD.encode() not in logs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0", "--single-user"], "listens on 127.0.0.1 only"),
        (["--database", "postgresql://me:secret@host/x"], "PGPASSWORD"),
        (["--database", "postgresql://me@127.0.0.1:1/x"], "start the server"),
    ],
)
def test_what_cannot_be_started_is_explained(run, options, message):
    result = run("review", *options)
    assert result.exit_code == 1
    assert message in result.output
    assert "secret" not in result.output


def test_a_port_in_use_is_explained_before_calls_are_read(run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run("review", "--single-user", "--port", str(port))
    assert result.exit_code == 1
    assert f"127.0.0.1, port {port} cannot be listened on (Address already in use" in result.output
    assert "Read:" not in result.output
