from pathlib import Path

import click
import pytest
from pydantic import ValidationError

import speech_emotion
from speech_emotion import cli
from speech_emotion.audio import AudioError
from speech_emotion.config import Settings

PROJECT = Path(__file__).parents[2]


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
