"""Passwords, keys and phone numbers leave no trace."""

import io
import logging
import sys

import pytest

from speech_emotion import cli
from speech_emotion.hooks import ConfigurationError
from speech_emotion.hooks.configuration import _refuse_secrets
from speech_emotion.runtime import hide_secrets, redact, redact_handlers

SECRET = "hunter2/+xyz"
PLACES = [
    f"postgresql://me:{SECRET}@host/db",
    f"s3://AKIAABCDEFGHIJKLMNOP:{SECRET}@bucket/corpora",
    f"postgresql://me@host/db?password={SECRET}&sslmode=require",
    f"s3://bucket/calls?X-Amz-Credential={SECRET}&X-Amz-Signature={SECRET}",
    f"https://account.blob/calls?sv=1&sig={SECRET}",
    f"https://{SECRET.replace('/', '')}@host/mlflow",
    f"storage_options: {{'key': 'a', 'secret': '{SECRET}'}}",
    f"AWS_SECRET_ACCESS_KEY={SECRET}",
]


@pytest.mark.parametrize("text", PLACES)
def test_secrets_are_hidden_and_parameters_with_one_refused(text):
    assert "hunter2" not in hide_secrets(text)
    assert "***" in hide_secrets(text)
    with pytest.raises(ConfigurationError, match="PGPASSWORD") as caught:
        _refuse_secrets({"selection": {"storage": text}})
    assert "hunter2" not in str(caught.value)
    assert "selection.storage=" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("postgresql://optuna@127.0.0.1:5432/db", "http://127.0.0.1:5000/models@champion"),
        *(
            "models:/speech-emotion@champion",
            "s3://bucket/a b?versionId=3",
            "key=fcr",
            "agent_id=007",
        ),
    ],
)
def test_other_text_is_left(text):
    assert hide_secrets(text) == text
    _refuse_secrets({"corpora_dir": text})


def test_phone_numbers_are_left_to_parameters_and_hidden_in_logs():
    _refuse_secrets({"agent_id": "+49 170 1234567"})
    assert redact("agent +49 170 1234567") == "agent [number]"


def test_every_handler_is_redacted_once():
    log, stream = logging.getLogger("redaction"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    redact_handlers("redaction")
    formatter = handler.formatter
    redact_handlers("redaction")
    assert handler.formatter is formatter
    try:
        raise ValueError(PLACES[0])
    except ValueError:
        log.exception("at %s by 01701234567", PLACES[1])
    log.removeHandler(handler)
    written = stream.getvalue()
    assert written.startswith("ERROR at s3://***:***@bucket/corpora by [number]")
    assert "ValueError: postgresql://me:***@host/db" in written
    assert "hunter2" not in written


def test_errors_of_commands_are_redacted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_project_folder", lambda: tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    assert "hunter2" not in cli._describe(ValueError(PLACES[0]))

    @cli._readable_errors()
    def fail():
        raise ZeroDivisionError(PLACES[0])

    with pytest.raises(ZeroDivisionError) as caught:
        fail()
    sys.excepthook(caught.type, caught.value, caught.tb)
    shown = capsys.readouterr().err + (tmp_path / cli.LOG).read_text()
    assert shown.count("postgresql://me:***@host/db") == 2
    assert "hunter2" not in shown
