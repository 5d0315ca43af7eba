"""The database of reviews: tables, connections, migrations."""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

__all__ = [
    "Database",
    "DatabaseError",
    "assignments",
    "calls",
    "items",
    "now",
    "queue_settings",
    "sessions",
    "users",
    "verdicts",
]

BUSY_S: Final = 15.0
"""Seconds to wait for another process that writes to an SQLite file."""


class DatabaseError(RuntimeError):
    """The database cannot be used now. The message says why and what to do."""


class UtcTime(sa.TypeDecorator[dt.datetime]):
    """A moment, stored in UTC and read with its time zone."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> Any:
        """Convert to UTC without a zone.

        Raises:
            ValueError: If the moment has no time zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(dt.UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> dt.datetime | None:
        """Add the zone."""
        return None if value is None else value.replace(tzinfo=dt.UTC)


def now() -> dt.datetime:
    """Return the time in UTC."""
    return dt.datetime.now(dt.UTC)


metadata = sa.MetaData()

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(100), nullable=False, unique=True),
    sa.Column("password", sa.String(300)),  # a salted hash; none behind a proxy
    sa.Column("role", sa.String(10), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False, default=True),
    sa.Column("created_at", UtcTime, nullable=False),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("token", sa.String(64), primary_key=True),  # its SHA-256
    sa.Column("user_id", sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    sa.Column("csrf", sa.String(64), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("seen_at", UtcTime, nullable=False),
)

calls = sa.Table(
    "calls",  # one row a scored channel, and again if it was scored differently
    metadata,
    sa.Column("id", sa.String(24), primary_key=True),
    sa.Column("call", sa.Text, nullable=False),
    sa.Column("channel", sa.Integer, nullable=False),
    sa.Column("channel_role", sa.String(20), nullable=False),
    sa.Column("recording", sa.Text, nullable=False),
    sa.Column("call_id", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("direction", sa.Text, nullable=False),
    sa.Column("started_at", UtcTime),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("flag", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("score", sa.Float, nullable=True),
    sa.Column("threshold", sa.Float, nullable=False),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("scored_at", UtcTime, nullable=False),
    sa.Column("current", sa.Boolean, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("timeline", sa.JSON),
    sa.Column("synthetic", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("calls_call", "call", "channel"),
)

items = sa.Table(
    "items",
    metadata,
    sa.Column("id", sa.String(24), primary_key=True),
    sa.Column(
        "scored_call", sa.ForeignKey("calls.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("reason", sa.String(10), nullable=False),
    sa.Column("sampling_probability", sa.Float, nullable=False),
    sa.Column("start_s", sa.Float, nullable=False),
    sa.Column("end_s", sa.Float, nullable=False),
    sa.Column("score", sa.Float, nullable=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("position", sa.Float, nullable=False),  # random order of the queue
    sa.Column("double", sa.Float, nullable=False),  # reviewed twice if below the setting
    sa.Column("reviews", sa.Integer, nullable=False),
    # Of the call, so that filters need no second table.
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("started_at", UtcTime),
    # Everything that filters, so that counting and searching read the index alone.
    sa.Index(
        "items_queue",
        *("status", "position", "reason", "agent", "queue", "score", "started_at", "reviews", "id"),
    ),
)

assignments = sa.Table(
    "assignments",  # a place of an item that a reviewer has: for good, or until it expires
    metadata,
    sa.Column("item_id", sa.ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True),
    sa.Column("user_id", sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("expires_at", UtcTime, index=True),  # empty once there is a verdict
    sa.UniqueConstraint("item_id", "user_id"),
)

verdicts = sa.Table(
    "verdicts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("item_id", sa.ForeignKey("items.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("user_id", sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("verdict", sa.String(12), nullable=False),
    sa.Column("other_emotion", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("decided_at", UtcTime, nullable=False),
    sa.Column("superseded", sa.String(10)),  # undone, changed; empty if it counts
    sa.Column("superseded_at", UtcTime),
    sa.Index(
        "verdicts_one_each",
        "item_id",
        "user_id",
        unique=True,
        sqlite_where=sa.text("superseded IS NULL"),
        postgresql_where=sa.text("superseded IS NULL"),
    ),
)

queue_settings = sa.Table(
    "queue_settings",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
    sa.Column("changed_at", UtcTime, nullable=False),
)


class Database:
    """Connections to the database, whose tables are created or migrated when it is opened.

    Args:
        url: URL of SQLAlchemy: ``sqlite:///PATH`` or ``postgresql://USER@HOST/DATABASE``. PostgreSQL takes
            the password from ``PGPASSWORD`` or ``~/.pgpass``.

    Raises:
        DatabaseError: If the database cannot be used.
        ValueError: If the URL contains a password or cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     database = Database(f"sqlite:///{folder}/review.db")
        ...     with database.read() as connection:
        ...         print(connection.scalar(sa.select(sa.func.count()).select_from(items)))
        ...     database.close()
        0
    """

    def __init__(self, url: str):
        self.url = _checked(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._writer = threading.Lock()
        options: dict[str, Any] = {"pool_pre_ping": True}
        if self.sqlite:
            if self.url.database and self.url.database != ":memory:":
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            options = {"connect_args": {"timeout": BUSY_S}, "pool_size": 40}
        try:
            self._engine = sa.create_engine(self.url, **options)
        except (ImportError, sa.exc.NoSuchModuleError) as error:
            raise DatabaseError(
                f"The driver of {self.url!r} is not installed ({error}): "
                "pip install 'speech-emotion[postgresql]'"
            ) from error
        if self.sqlite:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        self._migrate()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection to read from.

        Raises:
            DatabaseError: If the database cannot be used.
        """
        with self._explained(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Give a connection to write to. Everything is stored at the end, or nothing after an error.

        Raises:
            DatabaseError: If the database cannot be used.
        """
        with self._alone(), self._explained(), self._engine.connect() as connection:
            writing = connection.execution_options(writes=True)
            with writing.begin():
                yield writing

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let writers of this process take turns: SQLite would have them poll, and some never win."""
        if not self.sqlite:
            yield
            return
        if not self._writer.acquire(timeout=BUSY_S):
            raise DatabaseError(
                f"The database {self.url!r} is locked for more than {BUSY_S:g} s: try again"
            )
        try:
            yield
        finally:
            self._writer.release()

    def compact(self) -> None:
        """Give deleted rows back to the file system: nothing of them stays in an SQLite file."""
        if not self.sqlite:
            return
        with self._explained(), self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("VACUUM")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _migrate(self) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        with as_file(files("speech_emotion.review") / "migrations") as folder:
            config = Config()
            config.set_main_option("script_location", str(folder).replace("%", "%%"))
            try:
                with self.write() as connection:
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
            except CommandError as error:
                raise DatabaseError(
                    f"The tables of {self.url!r} were made by another version of speech-emotion "
                    f"({error}): update the package, or name another database"
                ) from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (
            sa.exc.OperationalError,
            sa.exc.InterfaceError,
            sa.exc.TimeoutError,
            sqlite3.OperationalError,
        ) as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            if "locked" in reason:
                remedy = "another program writes to it; try again, or end that program"
            elif self.sqlite:
                remedy = "check that the file and its folder can be written to"
            else:
                remedy = "start the server, create the database, or correct --database"
            raise DatabaseError(
                f"The database {self.url!r} cannot be used ({reason}): {remedy}"
            ) from error
        except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
            if isinstance(error, sa.exc.IntegrityError):
                raise
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise DatabaseError(
                f"{self.url!r} is no database of reviews ({reason}): restore it from a backup, or "
                "name another one"
            ) from error


def _checked(address: str) -> URL:
    try:
        url = make_url(address)
    except sa.exc.ArgumentError:
        raise ValueError(
            "The database is not given as a URL: write sqlite:///PATH or "
            "postgresql://USER@HOST/DATABASE"
        ) from None
    if url.password is not None or "password" in url.query:
        raise ValueError(
            f"The URL of the database {url.set(query={})!r} contains a password, which lists of processes "
            "show: set PGPASSWORD, or write it into ~/.pgpass"
        )
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return url


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the events below begin transactions
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that writes later would fail instead of waiting for another writer.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
