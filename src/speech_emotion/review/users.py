"""Users, passwords and sessions."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import re
import secrets
from typing import Any, Final, Literal, NamedTuple

import sqlalchemy as sa

from speech_emotion.review.database import now, sessions, users

__all__ = [
    "LEAD",
    "REVIEWER",
    "Session",
    "User",
    "add_user",
    "authenticate",
    "end_session",
    "find_session",
    "find_user",
    "has_login",
    "hash_password",
    "remove_user",
    "start_session",
    "verify_password",
]

REVIEWER: Final = "reviewer"
LEAD: Final = "lead"
Role = Literal["reviewer", "lead"]
MIN_PASSWORD: Final = 10
COST: Final = {"n": 2**15, "r": 8, "p": 3, "maxmem": 2**26}
"""Cost of scrypt (RFC 7914), as OWASP recommends: 32 MiB and about 0.2 s a password."""


class User(NamedTuple):
    """A user who may log in."""

    id: int
    name: str
    role: str

    @property
    def leads(self) -> bool:
        """Whether the user may change settings and see the results of others."""
        return self.role == LEAD


class Session(NamedTuple):
    """A user who is logged in, and the secret that their forms contain."""

    user: User
    csrf: str
    token: str


def hash_password(password: str) -> str:
    """Return a salted hash of a password.

    Example:
        >>> stored = hash_password("correct horse")
        >>> verify_password("correct horse", stored), verify_password("wrong horse", stored)
        (True, False)
    """
    salt = secrets.token_bytes(16)
    parts = (salt, _scrypt(password, salt))
    return "scrypt$" + "$".join(base64.b64encode(part).decode() for part in parts)


def verify_password(password: str, stored: str | None) -> bool:
    """Compare a password with a hash, in the same time whether or not there is one."""
    _, salt, expected = (stored or NO_PASSWORD).split("$")
    found = _scrypt(password, base64.b64decode(salt))
    return hmac.compare_digest(found, base64.b64decode(expected)) and stored is not None


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, dklen=32, **COST)


NO_PASSWORD: Final = (
    f"scrypt${base64.b64encode(bytes(16)).decode()}${base64.b64encode(bytes(32)).decode()}"
)


def add_user(
    connection: sa.Connection, name: str, role: Role, password: str | None, *, replace: bool = False
) -> None:
    """Add a user, or change role and password of one.

    Args:
        connection: A connection that writes.
        name: Name to log in with.
        role: Role.
        password: Password; ``None`` for users whom a reverse proxy names.
        replace: Whether the user may exist.

    Raises:
        ValueError: If the name or the password is not accepted.
    """
    if not re.fullmatch(r"[\w.@+-][\w.@+ -]{0,98}[\w.@+-]|\w", name):
        raise ValueError(
            f"{name!r} is no name of a user: use up to 100 letters, digits, spaces and . @ + - _"
        )
    if password is not None and len(password) < MIN_PASSWORD:
        raise ValueError(
            f"The password of {name!r} is too short: use {MIN_PASSWORD} characters or more"
        )
    stored = connection.scalar(sa.select(users.c.id).where(users.c.name == name))
    values = {
        "role": role,
        "password": None if password is None else hash_password(password),
        "active": True,
    }
    if stored is None:
        connection.execute(users.insert().values(name=name, created_at=now(), **values))
        return
    if not replace:
        raise ValueError(f"There is a user {name!r} already: --replace changes password and role")
    connection.execute(users.update().where(users.c.id == stored).values(values))
    connection.execute(sessions.delete().where(sessions.c.user_id == stored))


def remove_user(connection: sa.Connection, name: str) -> None:
    """End the access of a user; verdicts keep the name.

    Raises:
        ValueError: If there is no such user.
    """
    stored = connection.scalar(sa.select(users.c.id).where(users.c.name == name))
    if stored is None:
        known = ", ".join(connection.scalars(sa.select(users.c.name).order_by(users.c.name)))
        raise ValueError(f"There is no user {name!r}, only: {known or 'none'}")
    gone = {"active": False, "password": None}
    connection.execute(users.update().where(users.c.id == stored).values(gone))
    connection.execute(sessions.delete().where(sessions.c.user_id == stored))


def has_login(connection: sa.Connection) -> bool:
    """Return whether anybody can log in with a password."""
    found = sa.select(users.c.id).where(users.c.active, users.c.password.is_not(None)).limit(1)
    return connection.scalar(found) is not None


def find_user(connection: sa.Connection, name: str) -> User | None:
    """Return an active user."""
    return _user(connection.execute(_active().where(users.c.name == name)).first())


def authenticate(connection: sa.Connection, name: str, password: str) -> User | None:
    """Return the user if name and password are right."""
    row = connection.execute(_active().where(users.c.name == name)).first()
    right = verify_password(password, row.password if row else None)
    return _user(row) if right else None


def _active() -> sa.Select[Any]:
    return sa.select(users).where(users.c.active)


def _user(row: Any) -> User | None:
    return None if row is None else User(row.id, row.name, row.role)


def start_session(connection: sa.Connection, user: User, moment: dt.datetime) -> Session:
    """Start a session; its token is only known to the browser."""
    session = Session(user, secrets.token_urlsafe(24), secrets.token_urlsafe(32))
    connection.execute(
        sessions.insert().values(
            token=_stored(session.token),
            user_id=user.id,
            csrf=session.csrf,
            created_at=moment,
            seen_at=moment,
        )
    )
    return session


def find_session(
    connection: sa.Connection, token: str, moment: dt.datetime, *, minutes: float, hours: float
) -> tuple[Session, dt.datetime] | None:
    """Return a session that has not ended, and when it was used last.

    Args:
        connection: A connection.
        token: Token of the browser.
        moment: Now.
        minutes: Minutes without a request after which it ends.
        hours: Hours after which it ends.
    """
    row = connection.execute(
        sa.select(users, sessions.c.csrf, sessions.c.seen_at)
        .join(sessions, sessions.c.user_id == users.c.id)
        .where(
            users.c.active,
            sessions.c.token == _stored(token),
            sessions.c.seen_at > moment - dt.timedelta(minutes=minutes),
            sessions.c.created_at > moment - dt.timedelta(hours=hours),
        )
    ).first()
    if row is None:
        return None
    return Session(User(row.id, row.name, row.role), row.csrf, token), row.seen_at


def touch_session(connection: sa.Connection, token: str, moment: dt.datetime) -> None:
    """Store that a session was used."""
    used = sessions.c.token == _stored(token)
    connection.execute(sessions.update().where(used).values(seen_at=moment))


def end_session(connection: sa.Connection, token: str) -> None:
    """End a session."""
    connection.execute(sessions.delete().where(sessions.c.token == _stored(token)))


def forget_sessions(connection: sa.Connection, before: dt.datetime) -> None:
    """Delete sessions that were not used since a moment."""
    connection.execute(sessions.delete().where(sessions.c.seen_at < before))


def _stored(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
