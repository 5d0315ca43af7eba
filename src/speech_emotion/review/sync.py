"""Read scored calls into the queue: new ones, those that were scored again, recordings that moved."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import sqlalchemy as sa

from speech_emotion.call_scoring import PASSAGES
from speech_emotion.reporting.calls import call_details, labels_of, target_of, windows_of_channels
from speech_emotion.review.database import Database, calls, items
from speech_emotion.review.queue import OPEN, WITHDRAWN, load_queue_settings
from speech_emotion.review.sampling import (
    Candidate,
    WindowSample,
    candidates_of_call,
    optional_number,
)
from speech_emotion.review.settings import QueueSettings, ReviewSettings
from speech_emotion.runtime import digest, open_table, read_table

__all__ = ["SCORED_CALLS", "SyncResult", "read_scored_calls"]

logger = logging.getLogger(__name__)

SCORED_CALLS: Final = "07_model_output/calls"
"""Folder of the tables of scored calls, below the data folder."""
POINTS: Final = 2000
"""Windows of a timeline at most; neighbors are joined."""
ROWS: Final = 500
SUMMARY_COLUMNS: Final = (
    "call",
    "path",
    "channel",
    "channel_role",
    "minutes",
    "flag",
    "reason",
    "score",
    "threshold",
)
METADATA: Final = ("call_id", "agent", "queue", "direction")


class SyncResult(NamedTuple):
    """What changed.

    Attributes:
        new: Channels that were not known.
        again: Channels that were scored differently than before.
        items: New items.
        withdrawn: Items of the earlier scores that nobody had judged.
        moved: Channels whose recording lies elsewhere now.
    """

    new: int
    again: int
    items: int
    withdrawn: int
    moved: int

    def __str__(self) -> str:
        text = f"{self.new} new channels of calls, {self.items} new items to review"
        if self.again:
            text += f"; {self.again} channels were scored again, {self.withdrawn} items withdrawn"
        return text + (f"; {self.moved} recordings moved" if self.moved else "")


def read_scored_calls(database: Database, folder: Path, settings: ReviewSettings) -> SyncResult:
    """Add what was scored since the last time to the queue.

    Verdicts are never changed: those on calls that were scored again stay with the earlier scores.

    Args:
        database: The database.
        folder: The data folder, for example ``data/full``.
        settings: Time zone and seed.

    Raises:
        ValueError: If there are no scored calls in the folder.
        DatabaseError: If the database cannot be used.
    """
    place = folder / SCORED_CALLS
    tables = [place / f"{name}.parquet" for name in ("summary", "passages", "emotions")]
    missing = [path for path in tables if not path.is_file()]
    if missing:
        raise ValueError(
            f"There are no scored calls in {folder}: {missing[0].name} is missing in {place}. "
            "Run kedro run --pipelines call_scoring --params recordings_dir=PATH, or give another "
            "--data"
        )
    summary, passages = (read_table(path).to_pandas() for path in tables[:2])
    wanted = {tables[0]: (summary, SUMMARY_COLUMNS), tables[1]: (passages, PASSAGES)}
    for path, (table, columns) in wanted.items():
        if absent := [name for name in columns if name not in table]:
            raise ValueError(
                f"{path} has no column {', '.join(absent)}: it was written by another version; run "
                "kedro run --pipelines call_scoring again"
            )
    scored_at = dt.datetime.fromtimestamp(tables[0].stat().st_mtime, dt.UTC)
    with database.read() as connection:
        queue = load_queue_settings(connection, settings.queue).queue
        rows = connection.execute(
            sa.select(calls.c.id, calls.c.call, calls.c.channel, calls.c.recording).where(
                calls.c.current
            )
        ).all()
    known = {(row.call, row.channel): row for row in rows}
    reader = _Reader(summary, passages, known, settings, queue, scored_at)
    for key, windows in windows_of_channels(_blocks(tables[2])):
        reader.add(key, windows)
    reader.finish()
    result = reader.store(database, queue)
    logger.info("%s", result)
    return result


def _blocks(path: Path) -> Iterator[pd.DataFrame]:
    with open_table(path) as stored:
        if stored.metadata.num_rows == 0:
            yield stored.read().to_pandas()
        for batch in stored.iter_batches(batch_size=65_536):
            yield batch.to_pandas()


class _Reader:
    """Collects what changed, while the windows are read once."""

    def __init__(
        self,
        summary: pd.DataFrame,
        passages: pd.DataFrame,
        known: dict[tuple[str, int], Any],
        settings: ReviewSettings,
        queue: QueueSettings,
        scored_at: dt.datetime,
    ):
        self._known, self._settings, self._scored_at = known, settings, scored_at
        self._labels, self._target = labels_of(summary, "share_"), target_of(summary)
        self._rows = {
            (str(row["call"]), int(row["channel"])): row for row in summary.to_dict("records")
        }
        self._passages = {
            (str(call), int(channel)): rows
            for (call, channel), rows in passages.groupby(["call", "channel"])
        }
        self._none = passages.iloc[:0]
        self._waiting = dict(self._rows)
        self._sample = WindowSample(queue, seed=self._seed())
        self._columns: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.candidates: list[Candidate] = []
        self.replaced: list[str] = []
        self.changed: list[dict[str, Any]] = []
        self.moved = 0

    def _seed(self) -> int:
        """Depend on what is known, so that no two batches are drawn alike."""
        return int(digest(self._settings.seed, len(self._known), len(self._rows)), 16) % 2**32

    def add(self, key: tuple[str, int], windows: pd.DataFrame) -> None:
        """Compare a channel with its stored row, and collect it if its scores are new."""
        row = self._waiting.pop(key, None)
        if row is None:
            return
        self._columns = list(windows)
        identifier = _identify(row, windows)
        before = self._known.get(key)
        if before is not None and before.id == identifier:
            self.moved += before.recording != str(row["path"])
            self.changed.append({"the_id": identifier} | self._metadata(row))
            return
        if before is not None:
            self.replaced.append(before.id)
        found = self._passages.get(key, self._none)
        threshold = float(row["threshold"])
        timeline = call_details(windows, found, self._labels, self._target, points=POINTS)
        self.candidates += candidates_of_call(identifier, row, windows, found, self._labels)
        self._sample.add(identifier, windows, found, threshold)
        self.calls.append(
            {
                "id": identifier,
                "call": key[0],
                "channel": key[1],
                "channel_role": str(row["channel_role"]),
                "seconds": float(row["minutes"]) * 60,
                "flag": str(row["flag"]),
                "why": str(row["reason"]),
                "score": optional_number(row["score"]),
                "threshold": threshold,
                "model_version": _text(row.get("model")) or "unknown",
                "scored_at": self._scored_at,
                "current": True,
                "labels": self._labels,
                "timeline": timeline,
                "synthetic": bool(row.get("synthetic_model", False)),
            }
            | self._metadata(row)
        )

    def finish(self) -> None:
        """Add the channels without any window, and draw the samples."""
        columns = self._columns or [
            *("start_s", "end_s", "score", "flagged", "emotion"),
            *(f"p_{label}" for label in self._labels),
        ]
        nothing = pd.DataFrame(columns=columns, dtype=float)
        for key in list(self._waiting):
            self.add(key, nothing)
        self.candidates += self._sample.chosen()

    def _metadata(self, row: dict[str, Any]) -> dict[str, Any]:
        started = _moment(row.get("started"), ZoneInfo(self._settings.time_zone))
        return {
            "recording": str(row["path"]),
            "started_at": started,
            **{name: _text(row.get(name)) for name in METADATA},
        }

    def store(self, database: Database, queue: QueueSettings) -> SyncResult:
        """Write everything in one transaction."""
        metadata = {row["id"]: row for row in self.calls}
        with database.write() as connection:
            present = set(
                connection.scalars(
                    sa.select(calls.c.id).where(calls.c.id.in_(list(metadata))).with_for_update()
                )
                if len(metadata) <= ROWS
                else connection.scalars(sa.select(calls.c.id))
            )
            # Scores that were replaced and are back, or stored by another process since.
            fresh = [row for row in self.calls if row["id"] not in present]
            back = [row["id"] for row in self.calls if row["id"] in present]
            new_items = [
                _item(candidate, metadata[candidate.scored_call], queue)
                for candidate in self.candidates
                if candidate.scored_call not in present
            ]
            for part in _parts(fresh):
                connection.execute(calls.insert(), part)
            for part in _parts(new_items):
                connection.execute(items.insert(), part)
            withdrawn = 0
            for part in _parts(self.replaced):
                connection.execute(calls.update().where(calls.c.id.in_(part)).values(current=False))
                unfinished = items.c.scored_call.in_(part) & (items.c.status == OPEN)
                withdrawn += connection.execute(
                    items.update().where(unfinished).values(status=WITHDRAWN)
                ).rowcount
            for part in _parts(back):
                connection.execute(calls.update().where(calls.c.id.in_(part)).values(current=True))
                restored = items.c.scored_call.in_(part) & (items.c.status == WITHDRAWN)
                connection.execute(items.update().where(restored).values(status=OPEN))
            if self.changed:
                _update_metadata(connection, self.changed)
        return SyncResult(
            new=len(self.calls) - len(self.replaced),
            again=len(self.replaced),
            items=len(new_items),
            withdrawn=withdrawn,
            moved=self.moved,
        )


def _update_metadata(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Update what may change without new scores: path of the recording and metadata of the call."""
    values = ("recording", "started_at", *METADATA)
    for part in _parts(rows):
        stored = {
            row.id: row
            for row in connection.execute(
                sa.select(calls).where(calls.c.id.in_([row["the_id"] for row in part]))
            )
        }
        for row in part:
            old = stored.get(row["the_id"])
            if old is None or all(getattr(old, name) == row[name] for name in values):
                continue
            fields = {name: row[name] for name in values}
            connection.execute(calls.update().where(calls.c.id == row["the_id"]).values(fields))
            shared = {name: row[name] for name in ("agent", "queue", "started_at")}
            connection.execute(
                items.update().where(items.c.scored_call == row["the_id"]).values(shared)
            )


def _parts(rows: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(rows), ROWS):
        yield rows[start : start + ROWS]


def _identify(row: dict[str, Any], windows: pd.DataFrame) -> str:
    """Return an identifier of a channel and its scores: the same scores give the same one."""
    numbers = windows[["start_s", "end_s", "score", "flagged"]].to_numpy(dtype=float)
    content = np.round(numbers, 4).tobytes().hex()
    values = (row["call"], row["channel"], row["flag"], round(float(row["threshold"]), 6))
    return digest("scored", *map(str, values), _text(row.get("model")), digest(content))


def _item(candidate: Candidate, call: dict[str, Any], queue: QueueSettings) -> dict[str, Any]:
    content = candidate._asdict()
    key = digest(candidate.scored_call, candidate.kind, candidate.reason, candidate.start_s)
    position, double = (int(digest(name, key)[:12], 16) / 16**12 for name in ("place", "double"))
    return content | {
        "id": key,
        "status": OPEN,
        "position": position,
        "double": double,
        "reviews": 2 if double < queue.double_review else 1,
        **{name: call[name] for name in ("agent", "queue", "started_at")},
    }


def _text(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)


def _moment(value: Any, zone: ZoneInfo) -> dt.datetime | None:
    """Read a start; one without an offset is in ``zone``. Of an hour that occurs twice, the first counts."""
    text = _text(value)
    if not text:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        logger.warning("A start of a call is no ISO 8601 time; it is left out")
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(dt.UTC)
