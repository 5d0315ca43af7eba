"""The command ``speech-emotion``: run pipelines, predict a folder of recordings, play a call.

::

    speech-emotion run --pipelines call_scoring --params recordings_dir=calls
    speech-emotion batch RECORDINGS RESULTS --workers 16
    speech-emotion stream CALL.wav

``run`` takes the options of ``kedro run``, and ``kedro run`` calls it: in both, expected errors are one
message, and their traceback goes to the log file. ``batch`` and ``stream`` use the champion of the
project's tracking server unless another model is named.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

import click
import yaml
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS, env_option

import speech_emotion

__all__ = ["cli", "run", "run_command"]

PACKAGE: Final = Path(speech_emotion.__file__).parent
CHAMPION: Final = "models:/speech-emotion@champion"
LOG: Final = "data/logs/speech_emotion.log"

logger = logging.getLogger(__name__)


@click.group(context_settings=CONTEXT_SETTINGS, name="speech-emotion")
@click.version_option(speech_emotion.__version__, "--version", "-V")
def cli() -> None:
    """Recognize emotion in speech."""


def _run(**options: Any) -> Any:
    from speech_emotion.hooks import RENAMED_PIPELINES, ConfigurationError

    with _readable_errors():
        for name in [options.get("pipeline"), *options.get("pipelines", ())]:
            if new := RENAMED_PIPELINES.get(name):
                raise ConfigurationError(f"The pipeline {name!r} is now {new!r}")
        assert kedro_run.callback is not None
        return kedro_run.callback(**options)


def _explaining(option: click.Parameter) -> click.Parameter:
    """Return the option ``--params`` with an error that says which value needs quotes."""
    if option.name != "params" or option.callback is None:
        return option
    split = option.callback

    def parse(context: click.Context, parameter: click.Parameter, value: str) -> Any:
        try:
            return split(context, parameter, value)
        except yaml.YAMLError:
            for part in value.split(","):
                key, _, text = part.partition("=")
                try:
                    yaml.safe_load(text)
                except yaml.YAMLError:
                    hint = f"{part.strip()}: the value needs quotes of its own: \"{key.strip()}='{text}'\""
                    raise click.BadParameter(hint, context, parameter) from None
            raise

    explaining = copy.copy(option)
    explaining.callback = parse
    return explaining


run = click.Command(
    "run", callback=_run, params=[*map(_explaining, kedro_run.params)], help="Run pipelines."
)
cli.add_command(run)


@cli.command(short_help="Predict the emotion of every recording in a folder.")
@env_option
@click.argument("recordings", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("results", type=click.Path(file_okay=False, path_type=Path))
@click.option("--model", default=CHAMPION, show_default=True, help="Model URI or folder.")
@click.option("--tracking-uri", help="MLflow server or store.  [default: that of the project]")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes here.  [default: one a core]"
)
@click.option("--scheduler", help="Address of a running Dask scheduler.")
@click.option("--files-per-part", type=click.IntRange(min=1), default=256, show_default=True)
def batch(
    env: str | None,
    recordings: Path,
    results: Path,
    model: str,
    tracking_uri: str | None,
    workers: int | None,
    scheduler: str | None,
    files_per_part: int,
) -> None:
    """Predict the emotion of every recording below RECORDINGS that has no result of the model yet.

    The results are Parquet files below RESULTS/model=ID with one row a recording;
    pandas.read_parquet(RESULTS) reads them together. An interrupted command continues where it
    stopped.
    """
    with _readable_errors():
        _use_tracking_server(env, tracking_uri, model)
        from speech_emotion.batch import predict_folder

        parts = predict_folder(
            recordings.resolve(),
            results.resolve(),
            model_uri=model,
            workers=workers or os.cpu_count() or 1,
            scheduler=scheduler,
            files_per_part=files_per_part,
        )
    failed = parts[parts["failure"].notna()]
    predicted = int(parts["recordings"].sum() - failed["recordings"].sum())
    unusable = int(parts["unusable"].sum())
    logger.info("%d recordings predicted, %d of them unusable", predicted, unusable)
    for row in failed.itertuples():
        logger.error("%s, %d recordings, failed: %s", row.part, row.recordings, row.failure)
    if len(failed):
        raise SystemExit(1)


@cli.command(short_help="Play a recording and print each scored window.")
@env_option
@click.argument("recording")
@click.option("--model", default=CHAMPION, show_default=True, help="Model URI or folder.")
@click.option("--tracking-uri", help="MLflow server or store.  [default: that of the project]")
@click.option("--channel", default=0, show_default=True, help="The customer's, from 0.")
@click.option("--speed", default=1.0, show_default=True, help="Times real time; 0: no waiting.")
@click.option("--threshold", type=float, help="Flagging threshold.  [default: that of the model]")
def stream(
    env: str | None,
    recording: str,
    model: str,
    tracking_uri: str | None,
    channel: int,
    speed: float,
    threshold: float | None,
) -> None:
    """Play one channel of RECORDING, a path or a URL, and print each window when it is scored."""
    with _readable_errors():
        _use_tracking_server(env, tracking_uri, model)
        from speech_emotion.call_scoring import CallSettings, FlagSettings, format_window, play
        from speech_emotion.datasets import ModelDataset

        settings = CallSettings(flags=FlagSettings(threshold=threshold))
        predictor = ModelDataset(uri=model).load()
        for window in play(recording, predictor, settings, channel=channel, speed=speed):
            click.echo(format_window(window))


@cli.command(short_help="Score calls over HTTP.")
@env_option
@click.option("--model", default=CHAMPION, show_default=True, help="Model URI or folder.")
@click.option("--tracking-uri", help="MLflow server or store.  [default: that of the project]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--threshold", type=float, help="Flagging threshold.  [default: that of the model]")
@click.option(
    "--line",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="line.json of call_scoring, for models with an encoder.",
)
@click.option("--max-mb", default=100.0, show_default=True, help="Largest recording.")
@click.option("--max-minutes", default=120.0, show_default=True, help="Longest recording.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds to score one.")
@click.option("--parallel", default=2, show_default=True, help="Recordings at the same time.")
def serve(
    env: str | None,
    model: str,
    tracking_uri: str | None,
    host: str,
    port: int,
    threshold: float | None,
    line: Path | None,
    max_mb: float,
    max_minutes: float,
    timeout: float,
    parallel: int,
) -> None:
    """Score calls over HTTP: POST a recording to /calls; windows, passages and a summary come back.

    The service asks for no password: let it listen on this machine, or behind a proxy that does.
    """
    with _readable_errors():
        _use_tracking_server(env, tracking_uri, model)
        try:
            import uvicorn

            from speech_emotion.service import ServiceSettings, create_app
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"{error.name} is not installed: pip install 'speech-emotion[service]'"
            ) from None
        from speech_emotion.call_scoring import CallSettings, FlagSettings, LineMean
        from speech_emotion.datasets import ModelDataset

        content = json.loads(line.read_text(encoding="utf-8")) if line else None
        app = create_app(
            ModelDataset(uri=model).load(),
            CallSettings(flags=FlagSettings(threshold=threshold)),
            ServiceSettings(
                max_bytes=round(max_mb * 1e6),
                max_seconds=max_minutes * 60,
                timeout_s=timeout,
                parallel=parallel,
            ),
            line=LineMean.from_dict(content) if content else None,
        )
        uvicorn.run(app, host=host, port=port)


def run_command(arguments: list[str] | None = None) -> Any:
    """Run a command in the project of the working directory, or as an installed package."""
    from kedro.framework.project import configure_project
    from kedro.framework.startup import bootstrap_project
    from kedro.utils import find_kedro_project

    project = find_kedro_project(Path.cwd())
    if project and (project / "src" / PACKAGE.name).is_dir():
        bootstrap_project(project)
    else:
        configure_project(PACKAGE.name)
    interactive = hasattr(sys, "ps1")
    return cli(arguments, prog_name="speech-emotion", standalone_mode=not interactive)


def _use_tracking_server(env: str | None, tracking_uri: str | None, model: str) -> None:
    """Point MLflow to ``tracking_uri``, or to the tracking server of the project's environment."""
    if Path(model).is_dir():
        return
    if tracking_uri:
        import mlflow

        mlflow.set_tracking_uri(tracking_uri)
        return
    from kedro.framework.session import KedroSession

    project = _project_folder()
    if not (project / "conf").is_dir():
        return  # outside of the project, the variable MLFLOW_TRACKING_URI names the server
    with KedroSession.create(project, env=env, save_on_close=False) as session:
        # The plugin reads mlflow.yml and credentials.
        session.load_context()  # type: ignore[attr-defined]


def _project_folder() -> Path:
    from speech_emotion.settings import PROJECT

    return PROJECT


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Show expected errors as one message and write the traceback to the log file."""
    from speech_emotion.hooks import ConfigurationError

    file = Path(_project_folder(), LOG)
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(file, maxBytes=5_000_000, backupCount=3, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    except (click.exceptions.Exit, click.ClickException):
        raise
    except Exception as error:
        details = ("The command failed", (), sys.exc_info())
        handler.handle(logging.LogRecord(__name__, logging.ERROR, __file__, 0, *details))
        if not _is_expected(error):
            raise
        hint = "" if isinstance(error, ConfigurationError) else f"\nTraceback: {file}"
        raise click.ClickException(f"{_describe(error)}{hint}") from None
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _is_expected(error: Exception) -> bool:
    """Whether an error is about the user's input: raised on purpose, with a message for people."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return True
    if type(error).__module__.partition(".")[0] in {PACKAGE.name, "kedro", "mlflow"}:
        return True
    frames = traceback.extract_tb(error.__traceback__)
    raised_by = Path(frames[-1].filename) if frames else Path()
    kedro = Path(sys.modules["kedro"].__file__ or "").parent
    on_purpose = any(raised_by.is_relative_to(package) for package in (PACKAGE, kedro))
    return on_purpose and isinstance(error, ValueError | OSError | RuntimeError)


def _describe(error: Exception) -> str:
    """Return the message of an error, without what pydantic adds for programmers."""
    message = re.sub(r"\n *For further information visit .*", "", str(error))
    message = re.sub(r"Extra inputs are not permitted \[.*\]", "there is no such setting", message)
    return re.sub(
        r"(Value error, )?(.*) \[type=\w+, input_value=(.*), input_type=\w+\]",
        r"\2 (given: \3)",
        message,
    )
