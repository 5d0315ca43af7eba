"""The queue: who reviews what, verdicts, undo. Every function gets the connection that it uses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import sqlalchemy as sa
from pydantic import Field

from speech_emotion.config import Settings
from speech_emotion.review.database import (
    assignments,
    calls,
    items,
    queue_settings,
    users,
    verdicts,
)
from speech_emotion.review.settings import QueueSettings

__all__ = [
    "ANGRY",
    "CANNOT_TELL",
    "DONE",
    "NOT_ANGRY",
    "OPEN",
    "VERDICTS",
    "WITHDRAWN",
    "Changed",
    "Filters",
    "NotYours",
    "StoredSettings",
    "Taken",
    "Verdict",
    "change_queue_settings",
    "claim",
    "claim_next",
    "count_items",
    "list_items",
    "load_queue_settings",
    "record_verdict",
    "skip",
    "undo",
]

OPEN: Final = "open"
DONE: Final = "done"
WITHDRAWN: Final = "withdrawn"
"""The call was scored again before the item was judged."""

ANGRY: Final = "angry"
NOT_ANGRY: Final = "not_angry"
CANNOT_TELL: Final = "cannot_tell"
VERDICTS: Final = (ANGRY, NOT_ANGRY, CANNOT_TELL)
MAX_NOTE: Final = 2000
TRIES: Final = 20


class Taken(Exception):
    """All places of an item are taken by other reviewers."""


class NotYours(Exception):
    """A reviewer judges an item that another one has."""


class Changed(Exception):
    """Somebody else changed the settings first.

    Attributes:
        stored: What is stored now.
    """

    def __init__(self, stored: StoredSettings):
        super().__init__(f"{stored.changed_by} changed the settings first")
        self.stored = stored


class Filters(Settings):
    """Which items are shown.

    Attributes:
        reason: Why they are in the queue.
        agent: Agent of the call.
        queue: Queue of the call.
        since: First moment of the start of the call.
        until: Moment before which it started.
        score_from: Lowest score.
        score_to: Highest score.
    """

    reason: Literal["flagged", "uncertain", "review", "random"] | None = None
    agent: str | None = None
    queue: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    score_from: float | None = Field(None, ge=0, le=1)
    score_to: float | None = Field(None, ge=0, le=1)

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions on the table of items."""
        found: list[sa.ColumnElement[bool]] = []
        for name in ("reason", "agent", "queue"):
            if (value := getattr(self, name)) is not None:
                found.append(items.c[name] == value)
        if self.since is not None:
            found.append(items.c.started_at >= self.since)
        if self.until is not None:
            found.append(items.c.started_at < self.until)
        if self.score_from is not None:
            found.append(items.c.score >= self.score_from)
        if self.score_to is not None:
            found.append(items.c.score <= self.score_to)
        return found


class Verdict(Settings):
    """What a reviewer heard.

    Attributes:
        verdict: Whether the speaker is angry.
        other_emotion: What was heard instead of, or beside, anger.
        note: Free text.
    """

    verdict: Literal["angry", "not_angry", "cannot_tell"]
    other_emotion: str | None = Field(None, max_length=50)
    note: str | None = Field(None, max_length=MAX_NOTE)


class StoredSettings(NamedTuple):
    """Settings of the queue, their version, and who changed them last."""

    queue: QueueSettings
    version: int
    changed_by: str
    changed_at: dt.datetime | None


def load_queue_settings(connection: sa.Connection, default: QueueSettings) -> StoredSettings:
    """Return the settings that a lead stored last, or the default."""
    newest = sa.select(queue_settings).order_by(queue_settings.c.version.desc()).limit(1)
    row = connection.execute(newest).first()
    if row is None:
        return StoredSettings(default, 0, "", None)
    content = QueueSettings.model_validate(row.content)
    return StoredSettings(content, row.version, row.changed_by, row.changed_at)


def change_queue_settings(
    connection: sa.Connection,
    new: QueueSettings,
    *,
    version: int,
    default: QueueSettings,
    user: str,
    moment: dt.datetime,
) -> None:
    """Store new settings, and apply them to what is not judged yet.

    Args:
        connection: A connection that writes.
        new: The settings.
        version: Version that the lead saw.
        default: Settings as long as none are stored.
        user: Name of the lead.
        moment: Time of the change.

    Raises:
        Changed: If they were changed since.
    """
    stored = load_queue_settings(connection, default)
    if stored.version != version:
        raise Changed(stored)
    connection.execute(
        queue_settings.insert().values(
            version=version + 1, content=new.model_dump(), changed_by=user, changed_at=moment
        )
    )
    reviews = sa.case((items.c.double < new.double_review, 2), else_=1)
    connection.execute(items.update().where(items.c.status == OPEN).values(reviews=reviews))
    judged = _count_verdicts(items.c.id)
    enough = (items.c.status == OPEN) & (judged >= items.c.reviews)
    connection.execute(items.update().where(enough).values(status=DONE))


def _count_verdicts(item: Any) -> Any:
    return (
        sa.select(sa.func.count())
        .select_from(verdicts)
        .where(verdicts.c.item_id == item, verdicts.c.superseded.is_(None))
        .scalar_subquery()
    )


def _count_places(item: Any, moment: dt.datetime) -> Any:
    return (
        sa.select(sa.func.count())
        .select_from(assignments)
        .where(assignments.c.item_id == item, _valid(moment))
        .scalar_subquery()
    )


def _valid(moment: dt.datetime) -> Any:
    return assignments.c.expires_at.is_(None) | (assignments.c.expires_at > moment)


def claim(
    connection: sa.Connection, item: str, user: int, *, moment: dt.datetime, minutes: float
) -> bool:
    """Give a reviewer a place of an item, or renew the one they have.

    Args:
        connection: A connection that writes.
        item: Identifier of the item.
        user: Identifier of the reviewer.
        moment: Now.
        minutes: Time until the place is free again, without a verdict.

    Returns:
        Whether the reviewer has a place now; only open items have places to take.

    Raises:
        Taken: If all places are taken.
    """
    found = connection.execute(
        sa.select(items.c.status, items.c.reviews).where(items.c.id == item).with_for_update()
    ).first()
    if found is None:
        return False
    expires = moment + dt.timedelta(minutes=minutes)
    mine = (assignments.c.item_id == item) & (assignments.c.user_id == user)
    place = connection.execute(sa.select(assignments).where(mine)).first()
    if place is not None:
        if place.expires_at is None or place.expires_at > moment:
            if place.expires_at is not None:
                connection.execute(assignments.update().where(mine).values(expires_at=expires))
            return True
        connection.execute(assignments.delete().where(mine))
    if found.status != OPEN:
        return False
    expired = (assignments.c.item_id == item) & (assignments.c.expires_at <= moment)
    connection.execute(assignments.delete().where(expired))
    taken = set(
        connection.scalars(sa.select(assignments.c.slot).where(assignments.c.item_id == item))
    )
    free = next((slot for slot in range(found.reviews) if slot not in taken), None)
    if free is None or len(taken) >= found.reviews:
        raise Taken
    connection.execute(
        assignments.insert().values(item_id=item, slot=free, user_id=user, expires_at=expires)
    )
    return True


def claim_next(
    connection: sa.Connection,
    user: int,
    filters: Filters,
    *,
    moment: dt.datetime,
    minutes: float,
    after: float = -1.0,
) -> str | None:
    """Give a reviewer the next item: one that they opened and did not judge, else a free one.

    Args:
        connection: A connection that writes.
        user: Identifier of the reviewer.
        filters: Which items.
        moment: Now.
        minutes: Time until the place is free again, without a verdict.
        after: Place in the queue to start after; the queue starts over at its end.

    Returns:
        Identifier of the item, or ``None`` if nothing is left.
    """
    wanted = [items.c.status == OPEN, *filters.conditions()]
    # First the few places of the reviewer: a join would look through the whole queue.
    mine = connection.scalars(
        sa.select(assignments.c.item_id).where(
            assignments.c.user_id == user, assignments.c.expires_at > moment
        )
    ).all()
    own = (
        sa.select(items.c.id)
        .where(items.c.id.in_(mine), *wanted, items.c.position > after)
        .order_by(items.c.position)
        .limit(1)
    )
    has_mine = sa.exists().where(
        assignments.c.item_id == items.c.id, assignments.c.user_id == user, _valid(moment)
    )
    free = (
        sa.select(items.c.id)
        .where(*wanted, ~has_mine, _count_places(items.c.id, moment) < items.c.reviews)
        .order_by(items.c.position)
        .limit(1)
    )
    queries = (free.where(items.c.position > after), free)
    for query in (own, *queries) if mine else queries:
        for _ in range(TRIES):
            found = connection.scalar(query)
            if found is None:
                break
            try:
                # PostgreSQL: another reviewer may take the place at the same time.
                with connection.begin_nested():
                    if claim(connection, found, user, moment=moment, minutes=minutes):
                        return found
            except (Taken, sa.exc.IntegrityError):
                continue
            break
    return None


def skip(connection: sa.Connection, item: str, user: int) -> float:
    """Give the place of an item that was not judged back; return its place in the queue."""
    mine = (assignments.c.item_id == item) & (assignments.c.user_id == user)
    connection.execute(assignments.delete().where(mine, assignments.c.expires_at.is_not(None)))
    found = connection.scalar(sa.select(items.c.position).where(items.c.id == item))
    return -1.0 if found is None else float(found)


def record_verdict(
    connection: sa.Connection, item: str, user: int, given: Verdict, *, moment: dt.datetime
) -> str | None:
    """Store a verdict; an earlier one of the same reviewer stays as history.

    Returns:
        The status that the item had: a verdict on a withdrawn item is kept with the earlier scores.
        ``None`` if there is no such item (any more).

    Raises:
        NotYours: If the item has verdicts of as many others as wanted, or they have its places.
    """
    found = connection.execute(
        sa.select(items.c.status, items.c.reviews).where(items.c.id == item).with_for_update()
    ).first()
    if found is None:
        return None
    own = (verdicts.c.item_id == item) & (verdicts.c.user_id == user)
    valid = verdicts.c.superseded.is_(None)
    before = connection.scalar(sa.select(verdicts.c.id).where(own, valid))
    if before is None:
        _keep_place(connection, item, user, found.status, found.reviews, moment)
    else:
        connection.execute(
            verdicts.update()
            .where(verdicts.c.id == before)
            .values(superseded="changed", superseded_at=moment)
        )
    connection.execute(
        verdicts.insert().values(
            item_id=item,
            user_id=user,
            verdict=given.verdict,
            other_emotion=given.other_emotion or None,
            note=(given.note or "").strip() or None,
            decided_at=moment,
        )
    )
    if found.status == OPEN:
        judged = connection.scalar(sa.select(_count_verdicts(item)))
        if judged is not None and judged >= found.reviews:
            connection.execute(items.update().where(items.c.id == item).values(status=DONE))
    return found.status


def _keep_place(
    connection: sa.Connection,
    item: str,
    user: int,
    status: str,
    reviews: int,
    moment: dt.datetime,
) -> None:
    """Make the place of a reviewer permanent, or give them one that is free.

    Raises:
        NotYours: If none is free.
    """
    mine = (assignments.c.item_id == item) & (assignments.c.user_id == user)
    kept = connection.execute(assignments.update().where(mine).values(expires_at=None)).rowcount
    if kept:
        return
    expired = (assignments.c.item_id == item) & (assignments.c.expires_at <= moment)
    connection.execute(assignments.delete().where(expired))
    taken = set(
        connection.scalars(sa.select(assignments.c.slot).where(assignments.c.item_id == item))
    )
    free = next((slot for slot in range(reviews) if slot not in taken), None)
    if free is None or status == DONE:
        raise NotYours
    connection.execute(
        assignments.insert().values(item_id=item, slot=free, user_id=user, expires_at=None)
    )


def undo(
    connection: sa.Connection, user: int, *, moment: dt.datetime, minutes: float
) -> str | None:
    """Undo the last verdict of a reviewer that counts; it stays as history.

    Returns:
        Identifier of its item, which is open for them again; ``None`` if there is no verdict.
    """
    last = connection.execute(
        sa.select(verdicts.c.id, verdicts.c.item_id)
        .where(verdicts.c.user_id == user, verdicts.c.superseded.is_(None))
        .order_by(verdicts.c.decided_at.desc(), verdicts.c.id.desc())
        .limit(1)
    ).first()
    if last is None:
        return None
    connection.execute(
        verdicts.update()
        .where(verdicts.c.id == last.id)
        .values(superseded="undone", superseded_at=moment)
    )
    done = (items.c.id == last.item_id) & (items.c.status == DONE)
    connection.execute(items.update().where(done).values(status=OPEN))
    connection.execute(
        assignments.update()
        .where(assignments.c.item_id == last.item_id, assignments.c.user_id == user)
        .values(expires_at=moment + dt.timedelta(minutes=minutes))
    )
    return last.item_id


def count_items(connection: sa.Connection, filters: Filters, status: str) -> int:
    """Count the items."""
    query = sa.select(sa.func.count()).select_from(items)
    return connection.scalar(query.where(items.c.status == status, *filters.conditions())) or 0


def list_items(
    connection: sa.Connection,
    filters: Filters,
    status: str,
    *,
    moment: dt.datetime,
    first: int = 0,
    size: int = 50,
) -> Sequence[sa.Row[Any]]:
    """List items in the order of the queue, with their call and who has or judged them.

    Args:
        connection: A connection.
        filters: Which items.
        status: Status of the items.
        moment: Now.
        first: Number of items to leave out.
        size: Number of items at most.
    """
    shown = (
        sa.select(items.c.id)
        .where(items.c.status == status, *filters.conditions())
        .order_by(items.c.position)
        .offset(first)
        .limit(size)
        .subquery()
    )
    query = (
        sa.select(items, calls.c.call, calls.c.channel, calls.c.threshold)
        .join(shown, shown.c.id == items.c.id)
        .join(calls, calls.c.id == items.c.scored_call)
        .order_by(items.c.position)
    )
    return connection.execute(query).all()


def reviewers_of(
    connection: sa.Connection, item_ids: list[str], moment: dt.datetime
) -> dict[str, list[tuple[str, bool]]]:
    """Return who has a place of each item, and whether they judged it."""
    rows = connection.execute(
        sa.select(assignments.c.item_id, users.c.name, assignments.c.expires_at)
        .join(users, users.c.id == assignments.c.user_id)
        .where(assignments.c.item_id.in_(item_ids), _valid(moment))
        .order_by(assignments.c.slot)
    )
    found: dict[str, list[tuple[str, bool]]] = {}
    for item, name, expires in rows:
        found.setdefault(item, []).append((name, expires is None))
    return found
