import errno
import logging
import os
import shutil
import sqlite3
from pathlib import Path

import click
import mlflow
import numpy as np
import pytest
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError

import speech_emotion
from speech_emotion import cli
from speech_emotion.audio import AudioError
from speech_emotion.config import Settings
from speech_emotion.hooks import ConsoleHooks

PROJECT = Path(__file__).parents[2]
FULL = "database or disk is full"


class Size(Settings):
    size: int = 1


def test_the_package_has_the_logging_of_the_project():
    packaged = Path(speech_emotion.__file__).with_name("logging.yml")
    assert packaged.read_text() == (PROJECT / "conf/logging.yml").read_text()


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "_project_folder", lambda: tmp_path)
    return tmp_path / cli.LOG


def test_expected_errors_are_one_message_and_a_traceback_in_the_log(log):
    with pytest.raises(click.ClickException) as shown, cli._readable_errors():
        raise AudioError("a.wav", "unreadable")
    assert shown.value.message == f"{AudioError('a.wav', 'unreadable')}\nTraceback: {log}"
    assert "Traceback (most recent call last)" in log.read_text()


def test_errors_of_settings_name_the_key_without_links(log):
    with pytest.raises(click.ClickException) as shown, cli._readable_errors():
        Size(siz=3)
    first, *rest = shown.value.message.splitlines()
    assert first == "1 validation error for Size"
    assert [line.strip() for line in rest[:2]] == ["siz", "there is no such setting"]
    with pytest.raises(click.ClickException) as shown, cli._readable_errors():
        Size(size="x")
    assert "(given: 'x')" in shown.value.message
    assert "pydantic.dev" not in shown.value.message


def test_a_full_disk_at_registration_is_one_paragraph_without_sql(log):
    """The error of the hook that closes the run in MLflow hides that of the dataset."""
    statement = "UPDATE runs SET status=? WHERE runs.run_uuid = ?"

    def closes():
        raise OperationalError(statement, ("FAILED", "7"), sqlite3.OperationalError(FULL))

    def registers():
        try:
            full = OperationalError(statement, ("FAILED", "7"), sqlite3.OperationalError(FULL))
            raise DatasetError(f"registered_model: cannot be saved. {full}") from full
        except DatasetError:
            closes()

    with pytest.raises(click.ClickException) as shown, cli._readable_errors():
        registers()
    first, remedy, where = shown.value.message.splitlines()
    assert first == f"registered_model: cannot be saved. (sqlite3.OperationalError) {FULL}"
    assert remedy.startswith("The disk is full: free some space. What was finished is kept")
    assert where == f"Traceback: {log}"
    with (
        pytest.raises(click.ClickException, match="disk is full: free") as shown,
        cli._readable_errors(),
    ):
        closes()
    assert "UPDATE" not in shown.value.message


def test_errors_of_the_machine_have_a_remedy(log, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.wav")

    monkeypatch.setattr(os, "sendfile", full)
    (tmp_path / "a").write_bytes(b"1")
    full_disk = pytest.raises(click.ClickException, match=r"(?s)No space left.*: free some space")
    with full_disk, cli._readable_errors():
        shutil.copyfile(tmp_path / "a", tmp_path / "b")
    with pytest.raises(click.ClickException, match="run fewer processes"), cli._readable_errors():
        np.ones(10**15)


def test_other_errors_keep_their_traceback(log):
    with pytest.raises(ZeroDivisionError), cli._readable_errors():
        1 / 0  # noqa: B018
    assert "ZeroDivisionError" in log.read_text()


def test_validation_errors_of_other_programs_are_expected_too():
    with pytest.raises(ValidationError) as error:
        Size(siz=3)
    assert cli._is_expected(error.value)


def test_a_parameter_that_needs_quotes_says_so(log):
    from click.testing import CliRunner

    params = "calls_csv=x.csv,calls_export.start_format=%m/%d/%Y"
    done = CliRunner().invoke(cli.cli, ["run", "--pipelines", "call_kpis", "--params", params])
    assert done.exit_code == 2
    assert "\"calls_export.start_format='%m/%d/%Y'\"" in done.output


def test_a_service_that_is_lost_is_one_message(log, caplog):
    ConsoleHooks().after_context_created()
    logging.getLogger("distributed.client").error("reconnecting failed", exc_info=OSError("x"))
    assert caplog.records == []
    pytest.importorskip("botocore")
    from botocore.exceptions import EndpointConnectionError

    with pytest.raises(click.ClickException) as shown, cli._readable_errors():
        raise EndpointConnectionError(endpoint_url="http://s3.example:9000/bucket")
    first, second, _ = shown.value.message.splitlines()
    assert "http://s3.example:9000/bucket" in first
    assert "what was finished is kept" in second


def test_the_parameters_of_the_project_leave_the_tracking_server_alone(tmp_path):
    bootstrap_project(PROJECT)
    before = mlflow.get_tracking_uri()
    uri = f"sqlite:///{tmp_path}/named.db"
    mlflow.set_tracking_uri(uri)
    try:
        assert "calls" in cli._project_parameters("test")
        assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == (uri, uri)
    finally:
        mlflow.set_tracking_uri(before)
