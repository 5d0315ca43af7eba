"""The command ``speech-emotion``: run pipelines, score a folder of calls, play a call.

::

    speech-emotion run --pipelines call_scoring --params recordings_dir=calls
    speech-emotion batch RECORDINGS RESULTS --workers 16
    speech-emotion stream CALL.wav
    speech-emotion review --data data/full
    speech-emotion purge --data data/full --older-than 90d

``run`` takes the options of ``kedro run``, and ``kedro run`` calls it: in both, expected errors are one
message, and their traceback goes to the log file. ``batch`` and ``stream`` use the champion of the
project's tracking server unless another model is named.
"""

from __future__ import annotations

import copy
import errno
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
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
SERVICES: Final = frozenset(
    {
        *(
            "aiobotocore",
            "aiohttp",
            "asyncssh",
            "azure",
            "botocore",
            "distributed",
            "gcsfs",
            "google",
        ),
        *("psycopg", "requests", "sqlalchemy", "tornado", "urllib3"),
    }
)
"""Packages whose errors are about a service: object stores, clusters, databases, servers."""
SQL: Final = re.compile(
    r"\n?\[(?:SQL|parameters): .*\]|\n?\(Background on this error at: .*\)|\(raised as a result of .*\)\n?"
)
"""What SQLAlchemy adds to its messages for programmers."""

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


@cli.command(short_help="Score every call in a folder, or predict every utterance.")
@env_option
@click.argument("recordings")
@click.argument("results")
@click.option(
    "--as",
    "kind",
    type=click.Choice(["calls", "utterances"]),
    default="calls",
    show_default=True,
    help="Whole calls, with windows, passages and summary; or one label a recording.",
)
@click.option("--model", default=CHAMPION, show_default=True, help="Model URI or folder.")
@click.option("--tracking-uri", help="MLflow server or store.  [default: that of the project]")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes here.  [default: one a core]"
)
@click.option("--scheduler", help="Address of a running Dask scheduler.")
@click.option("--metadata", help="Table with metadata of the calls: path or URL.")
@click.option("--since", help="First day of calls, as 2026-11-26; earlier ones are left alone.")
@click.option("--pages/--no-pages", default=True, show_default=True, help="A page for each day.")
@click.option(
    "--files-per-part",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Utterances that are predicted and stored at once.",
)
def batch(
    env: str | None,
    recordings: str,
    results: str,
    kind: str,
    model: str,
    tracking_uri: str | None,
    workers: int | None,
    scheduler: str | None,
    metadata: str | None,
    since: str | None,
    pages: bool,
    files_per_part: int,
) -> None:
    """Score every call below RECORDINGS that has no result of the model yet, into RESULTS.

    Both are folders or URLs of an object store. The parameters calls and call_report of the project set how
    calls are scored and shown. RESULTS/model=ID has a folder for each day. An interrupted command goes on
    where it stopped.
    """
    with _readable_errors():
        from speech_emotion.runtime import is_url

        recordings, results = _absolute(recordings), _absolute(results)
        if not is_url(recordings) and not Path(recordings).is_dir():
            raise click.BadParameter(f"{recordings} is not a folder", param_hint="RECORDINGS")
        _use_tracking_server(env, tracking_uri, model)
        processes = workers or os.cpu_count() or 1
        shared = {"model_uri": model, "scheduler": scheduler}
        if kind == "utterances":
            _predict_utterances(
                recordings, results, workers=processes, files_per_part=files_per_part, **shared
            )
            return
        from speech_emotion.batch import score_folder
        from speech_emotion.call_scoring import CallSettings
        from speech_emotion.reporting.calls import CallReportSettings

        parameters = _project_parameters(env)
        settings = CallSettings.model_validate(parameters.get("calls", {}))
        report = CallReportSettings.model_validate(parameters.get("call_report", {}))
        days = score_folder(
            recordings,
            results,
            settings=settings.model_copy(update={"n_jobs": processes}),
            report=report if pages else None,
            metadata=metadata,
            since=_day(since) if since else "",
            **shared,  # type: ignore[arg-type]
        )
    for row in days.itertuples():
        logger.info(
            "%s: %d calls, %d scored now, %d rejected, %d of them to be tried again",
            *(row.day, row.calls, row.scored, row.rejected, row.unread),
        )
    logger.info("%d days have new results", len(days))


def _predict_utterances(recordings: str, results: str, **options: Any) -> None:
    from speech_emotion.batch import predict_folder

    parts = predict_folder(recordings, results, **options)
    failed = parts[parts["failure"].notna()]
    predicted = int(parts["recordings"].sum() - failed["recordings"].sum())
    unusable = int(parts["unusable"].sum())
    logger.info("%d recordings predicted, %d of them unusable", predicted, unusable)
    for row in failed.itertuples():
        logger.error("%s, %d recordings, failed: %s", row.part, row.recordings, row.failure)
    if len(failed):
        raise SystemExit(1)


def _absolute(path: str) -> str:
    from speech_emotion.runtime import is_url

    return path.rstrip("/") if is_url(path) else str(Path(path).resolve())


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no day: write 2026-11-26", param_hint="--since"
        ) from None


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
@click.option("--wait", default=30.0, show_default=True, help="Seconds that others wait.")
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
    wait: float,
) -> None:
    """Score calls over HTTP: POST a recording to /calls; windows, passages and a summary come back.

    The service asks for no password: let it listen on this machine, or behind a proxy that does.
    """
    with _readable_errors():
        _check_port(host, port)
        _use_tracking_server(env, tracking_uri, model)
        with _needing("service"):
            import uvicorn

            from speech_emotion.service import ServiceSettings, create_app
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
                wait_s=wait,
            ),
            line=LineMean.from_dict(content) if content else None,
        )
        uvicorn.run(app, host=host, port=port)


@cli.command("sample-calls", short_help="Write synthetic calls to try the product with.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--calls", default=12, show_default=True, type=click.IntRange(min=1))
def sample_calls(folder: Path, calls: int) -> None:
    """Write synthetic calls of two voices into FOLDER; every second customer gets angry."""
    with _readable_errors():
        from speech_emotion.call_scoring import write_sample_calls

        click.echo(f"{len(write_sample_calls(folder, calls=calls))} calls in {folder}")


DATABASE_FILE: Final = "09_review/review.db"
PASSWORD_VARIABLE: Final = "SPEECH_EMOTION_PASSWORD"

_DATA = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Data folder of the scored calls, as data/full.  [default: data]",
)
_DATABASE = click.option(
    "--database",
    metavar="URL",
    help="sqlite:///PATH or postgresql://USER@HOST/NAME.  [default: 09_review/review.db in the data]",
)


@cli.group(invoke_without_command=True, short_help="Let people judge flagged calls.")
@env_option
@_DATA
@_DATABASE
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8010, show_default=True, type=click.IntRange(0, 65535))
@click.option("--single-user", is_flag=True, help="One lead without a password, on 127.0.0.1 only.")
@click.option("--proxy-header", help="Header in which a reverse proxy names the user.")
@click.option(
    "--trusted-proxy", multiple=True, default=["127.0.0.1", "::1"], help="Address of that proxy."
)
@click.option("--name", "names", multiple=True, help="Name that browsers use, if it is not HOST.")
@click.option("--https", is_flag=True, help="Browsers reach a proxy over HTTPS.")
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False), help="For HTTPS.")
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help="For HTTPS.")
@click.pass_context
def review(
    context: click.Context,
    env: str | None,
    data: Path | None,
    database: str | None,
    host: str,
    port: int,
    single_user: bool,
    proxy_header: str | None,
    trusted_proxy: tuple[str, ...],
    names: tuple[str, ...],
    https: bool,
    certificate: str | None,
    key: str | None,
) -> None:
    """Start the review application: a queue of flagged, uncertain and random passages to judge.

    It listens on this machine only, and needs a first user: speech-emotion review add-user NAME --role
    lead.
    """
    context.obj = (data, database)
    if context.invoked_subcommand is not None:
        return
    with _readable_errors(), _needing("review"):
        import uvicorn

        from speech_emotion.review import has_login, read_scored_calls
        from speech_emotion.review.app import Access, create_app
        from speech_emotion.review.security import check_address, is_loopback

        settings = _review_settings(env)
        folder = _data_folder(data)
        opened = _open_reviews(folder, database)
        with opened.read() as connection:
            known = has_login(connection)
        check_address(host, has_login=known, proxy_header=proxy_header, single_user=single_user)
        _check_port(host, port)
        click.echo(f"Read: {read_scored_calls(opened, folder, settings)}")
        hosts = {"127.0.0.1", "localhost", "::1", host, *names}
        encrypted = https or certificate is not None
        access = Access(
            proxy_header=proxy_header,
            trusted_proxies=frozenset(trusted_proxy),
            single_user=single_user,
            hosts=frozenset(hosts) if names or is_loopback(host) else None,
            https=encrypted,
        )
        if not (encrypted or is_loopback(host)):
            logger.warning(
                "Passwords and sounds are not encrypted: add --certificate and --key, or a proxy with --https"
            )
        app = create_app(opened, folder, settings, access)
        scheme = "https" if certificate else "http"
        click.echo(f"Open {scheme}://{f'[{host}]' if ':' in host else host}:{port}/")
        uvicorn.run(
            app,
            host=host,
            port=port,
            access_log=False,  # what somebody searched for is not logged
            proxy_headers=False,
            timeout_graceful_shutdown=3,  # a paused player holds its connection
            ssl_certfile=certificate,
            ssl_keyfile=key,
            log_level="warning",
        )


@review.command("add-user", short_help="Add a user, or change one with --replace.")
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["reviewer", "lead"]), default="reviewer", show_default=True
)
@click.option("--no-password", is_flag=True, help="For users whom a reverse proxy names.")
@click.option("--replace", is_flag=True, help="Change role and password of a user.")
@_DATA
@_DATABASE
@click.pass_context
def add_user_command(
    context: click.Context,
    name: str,
    role: str,
    no_password: bool,
    replace: bool,
    data: Path | None,
    database: str | None,
) -> None:
    """Add the user NAME. The password is asked for, or taken from SPEECH_EMOTION_PASSWORD."""
    with _readable_errors(), _needing("review"):
        from speech_emotion.review import add_user

        password = None
        if not no_password:
            password = os.environ.get(PASSWORD_VARIABLE) or click.prompt(
                "Password", hide_input=True, confirmation_prompt=True
            )
        with _open_reviews(*_place(context, data, database)).write() as connection:
            add_user(connection, name, role, password, replace=replace)  # type: ignore[arg-type]
    click.echo(f"{name} is a {role}")


@review.command("remove-user", short_help="End the access of a user; verdicts stay.")
@click.argument("name")
@_DATA
@_DATABASE
@click.pass_context
def remove_user_command(
    context: click.Context, name: str, data: Path | None, database: str | None
) -> None:
    """End the access of the user NAME, and all of their sessions."""
    with _readable_errors(), _needing("review"):
        from speech_emotion.review import remove_user

        with _open_reviews(*_place(context, data, database)).write() as connection:
            remove_user(connection, name)
    click.echo(f"{name} cannot log in any more")


@review.command("export", short_help="Write verdicts.parquet and verdicts.csv.")
@_DATA
@_DATABASE
@click.pass_context
def export_command(context: click.Context, data: Path | None, database: str | None) -> None:
    """Write all verdicts below the data folder: 09_review/verdicts.parquet and verdicts.csv."""
    with _readable_errors(), _needing("review"):
        from speech_emotion.review import VERDICTS_FILE, export_verdicts

        folder, url = _place(context, data, database)
        table = export_verdicts(_open_reviews(folder, url), folder)
    counted = int((~table["superseded"]).sum())
    click.echo(f"{folder / VERDICTS_FILE}: {len(table)} verdicts, {counted} of them count")


@cli.command(short_help="Erase calls from every store.")
@env_option
@_DATA
@_DATABASE
@click.option("--call", "call", help="Name, path or call_id of one call.")
@click.option("--older-than", metavar="DAYS", help="Calls that started so long ago, as 90d.")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
def purge(
    env: str | None,
    data: Path | None,
    database: str | None,
    call: str | None,
    older_than: str | None,
    dry_run: bool,
) -> None:
    """Erase calls from every store, page, cache and export, and list what was removed.

    Without --call and --older-than, the days in review.retention of the parameters decide. The recordings
    themselves are yours and are not touched. An interrupted command is simply run again.
    """
    if call is not None and older_than is not None:
        raise click.UsageError("Give --call or --older-than, not both")
    days = _days(older_than) if older_than is not None else None
    with _readable_errors(), _needing("review"):
        from speech_emotion.review import purge_folder

        folder = _data_folder(data)
        settings, parameters = _review_settings(env), _project_parameters(env)
        has_database = database is not None or (folder / DATABASE_FILE).is_file()
        log = Path(_project_folder(), LOG)
        result = purge_folder(
            folder,
            _open_reviews(folder, database) if has_database else None,
            settings,
            call=call,
            days=days,
            scoring=parameters.get("calls", {}),
            before_s=parameters.get("call_report", {}).get("before_s", 2.0),
            logs=sorted(log.parent.glob(f"{log.name}*")),
            dry_run=dry_run,
            report=click.echo,
        )
    if result:
        raise SystemExit(1)


def _days(text: str) -> int:
    found = re.fullmatch(r"(\d{1,5})d?", text)
    if not found:
        raise click.BadParameter(
            f"{text!r} is no number of days: write 90d", param_hint="--older-than"
        )
    return int(found.group(1))


def _place(
    context: click.Context, data: Path | None, database: str | None
) -> tuple[Path, str | None]:
    """Return data folder and database of a subcommand: its own, or those before its name."""
    before = context.obj or (None, None)
    return _data_folder(data or before[0]), database or before[1]


def _data_folder(data: Path | None) -> Path:
    folder = data or Path(_project_folder(), "data")
    if not folder.is_dir():
        raise click.ClickException(f"There is no folder {folder}: give --data PATH")
    return folder.resolve()


def _open_reviews(folder: Path, database: str | None) -> Any:
    from speech_emotion.review import Database

    return Database(database or f"sqlite:///{folder / DATABASE_FILE}")


def _review_settings(env: str | None) -> Any:
    from speech_emotion.review import ReviewSettings

    return ReviewSettings.model_validate(_project_parameters(env).get("review", {}))


def _project_parameters(env: str | None) -> dict[str, Any]:
    """Return the parameters of the project; none outside of it.

    The context of the project points MLflow to the project's server: the current one is kept.
    """
    import mlflow
    from kedro.framework.session import KedroSession

    project = _project_folder()
    if not (project / "conf").is_dir():
        return {}
    server = mlflow.get_tracking_uri()
    with KedroSession.create(project, env=env, save_on_close=False) as session:
        parameters = session.load_context().config_loader["parameters"]  # type: ignore[attr-defined]
    mlflow.set_tracking_uri(server)
    return parameters


@contextmanager
def _needing(extra: str) -> Iterator[None]:
    """Name the extra to install if one of its packages is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is not installed: pip install 'speech-emotion[{extra}]'"
        ) from None


def _check_port(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on, before models and calls are read."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise click.ClickException(
            f"{host}, port {port} cannot be listened on ({error.strerror or error}): stop what uses it, "
            "or give another --port"
        ) from None


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

        from speech_emotion.hooks import check_store

        check_store({"server": {"mlflow_tracking_uri": tracking_uri}})
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
    from speech_emotion.runtime import RedactingFormatter

    file = Path(_project_folder(), LOG)
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(file, maxBytes=5_000_000, backupCount=3, encoding="utf-8")
    lines = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(RedactingFormatter(lines))
    logging.getLogger().addHandler(handler)
    try:
        with _terminating():
            yield
    except KeyboardInterrupt:
        _end_tracked_runs()
        raise click.ClickException(
            "Interrupted. What was finished is kept: the same command goes on from there"
        ) from None
    except (click.exceptions.Exit, click.ClickException):
        raise
    except Exception as raised:
        details = ("The command failed", (), sys.exc_info())
        handler.handle(logging.LogRecord(__name__, logging.ERROR, __file__, 0, *details))
        error = _original(raised)
        if not _is_expected(error):
            sys.excepthook = _print_redacted
            raise
        hint = "" if isinstance(error, ConfigurationError) else f"\nTraceback: {file}"
        raise click.ClickException(f"{_describe(error)}{hint}") from None
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@contextmanager
def _terminating() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C: workers are stopped, and finished work is stored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _print_redacted(kind: type[BaseException], error: BaseException, where: Any) -> None:
    """Print a traceback without passwords and phone numbers."""
    from speech_emotion.runtime import redact

    click.echo(redact("".join(traceback.format_exception(kind, error, where))), err=True)


def _end_tracked_runs() -> None:
    """Mark the runs of this process as killed; MLflow would call them finished."""
    if "mlflow" not in sys.modules:
        return
    import mlflow

    while mlflow.active_run():
        mlflow.end_run("KILLED")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of that, and so on."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def _original(error: Exception) -> Exception:
    """Return the error of a node if that of a hook, which closes its run in MLflow, hides it."""
    from kedro.io import DatasetError

    if type(error).__module__.partition(".")[0] in {PACKAGE.name, "kedro"}:
        return error
    return next((one for one in _causes(error) if isinstance(one, DatasetError)), error)


def _is_expected(error: Exception) -> bool:
    """Whether an error has a message for people: it is about their input, or about this machine."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError | MemoryError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return True  # of the operating system: it has a reason, and mostly a file
    package = type(error).__module__.partition(".")[0]
    if package in SERVICES or package in {PACKAGE.name, "kedro", "mlflow", "pyarrow"}:
        return True
    frames = traceback.extract_tb(error.__traceback__)
    raised_by = Path(frames[-1].filename) if frames else Path()
    kedro = Path(sys.modules["kedro"].__file__ or "").parent
    on_purpose = any(raised_by.is_relative_to(package) for package in (PACKAGE, kedro))
    return on_purpose and isinstance(error, ValueError | OSError | RuntimeError)


def _is_full(error: BaseException) -> bool:
    number = error.errno if isinstance(error, OSError) else None
    return number in {errno.ENOSPC, errno.EDQUOT} or "database or disk is full" in str(error)


def _describe(error: Exception) -> str:
    """Return the message of an error, without secrets and what pydantic adds for programmers."""
    from speech_emotion.runtime import hide_secrets

    notes = list(getattr(error, "__notes__", ()))
    if any(_is_full(one) for one in _causes(error)):
        notes.append(
            "The disk is full: free some space. What was finished is kept, and the same command goes on "
            "from there"
        )
    elif type(error).__module__.partition(".")[0] in SERVICES:
        notes.append(
            "A service was lost during the run, or refused a request: when it answers again, the same "
            "command goes on from there; what was finished is kept"
        )
    if isinstance(error, MemoryError):
        notes.append("The memory does not suffice: run fewer processes, or use a larger machine")
    text = "\n".join([text for text in (str(error), *notes) if text])
    text = SQL.sub("", text)
    message = re.sub(r"\n *For further information visit .*", "", hide_secrets(text))
    message = re.sub(r"Extra inputs are not permitted \[.*\]", "there is no such setting", message)
    return re.sub(
        r"(Value error, )?(.*) \[type=\w+, input_value=(.*), input_type=\w+\]",
        r"\2 (given: \3)",
        message,
    )
