"""What verdicts say: export, agreement of reviewers, precision and misses so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa

from speech_emotion.bootstrap import bootstrap_counts, bootstrap_interval, share_interval
from speech_emotion.review.database import Database, calls, items, users, verdicts
from speech_emotion.review.queue import ANGRY, CANNOT_TELL, NOT_ANGRY
from speech_emotion.review.queue import VERDICTS as VERDICT_VALUES
from speech_emotion.review.sampling import KINDS, REASONS
from speech_emotion.runtime import replacing, write_bytes
from speech_emotion.text_tables import neutralize_formulas

__all__ = [
    "VERDICTS",
    "VERDICTS_FILE",
    "Agreement",
    "Share",
    "agreement",
    "export_verdicts",
    "load_verdicts",
    "precision_by_reviewer",
    "precision_by_week",
    "share_angry",
    "to_csv",
]

REVIEW_FOLDER: Final = "09_review"
"""Folder of the database and of everything that reviewing adds, below the data folder."""
VERDICTS_FILE: Final = f"{REVIEW_FOLDER}/verdicts.parquet"
"""The export, below the data folder."""
RESAMPLES: Final = 1000
NUMBERS: Final[dict[str, type]] = {
    **dict.fromkeys(("start_s", "end_s", "sampling_probability", "score", "threshold"), float),
    "channel": int,
    "superseded": bool,
}

_text = pa.Column(str)
_seconds = pa.Column(float, pa.Check.ge(0))
_share = pa.Check.in_range(0, 1)
_moment = pa.Column(pd.DatetimeTZDtype("us", "UTC"))

VERDICTS: Final = pa.DataFrameSchema(
    {
        "item_id": pa.Column(str, pa.Check.str_length(min_value=1)),
        "call_id": pa.Column(str, pa.Check.str_length(min_value=1)),
        "recording": _text,
        "channel": pa.Column(int, pa.Check.ge(0)),
        "start_s": _seconds,
        "end_s": _seconds,
        "kind": pa.Column(str, pa.Check.isin(KINDS)),
        "reason": pa.Column(str, pa.Check.isin(REASONS)),
        "sampling_probability": pa.Column(
            float, pa.Check.in_range(0, 1, include_min=False, include_max=True)
        ),
        "score": pa.Column(float, _share, nullable=True),
        "threshold": pa.Column(float, _share),
        "label": _text,
        "model_version": _text,
        "scored_at": _moment,
        "verdict": pa.Column(str, pa.Check.isin(VERDICT_VALUES)),
        "other_emotion": pa.Column(str, nullable=True),
        "note": pa.Column(str, nullable=True),
        "reviewer": pa.Column(str, pa.Check.str_length(min_value=1)),
        "decided_at": _moment,
        "superseded": pa.Column(bool),
    },
    strict=True,
    ordered=True,
)
"""The export: one row per verdict, in the order of the decisions. Undone and changed ones are superseded."""


def load_verdicts(database: Database) -> pd.DataFrame:
    """Load all verdicts, columns :data:`VERDICTS`.

    ``call_id`` is the call as the summary of scored calls names it, ``recording`` the path or URL of its
    recording. Times are UTC.
    """
    query = (
        sa.select(
            verdicts.c.item_id,
            calls.c.call.label("call_id"),
            calls.c.recording,
            calls.c.channel,
            items.c.start_s,
            items.c.end_s,
            items.c.kind,
            items.c.reason,
            items.c.sampling_probability,
            items.c.score,
            calls.c.threshold,
            items.c.label,
            calls.c.model_version,
            calls.c.scored_at,
            verdicts.c.verdict,
            verdicts.c.other_emotion,
            verdicts.c.note,
            users.c.name.label("reviewer"),
            verdicts.c.decided_at,
            verdicts.c.superseded.is_not(None).label("superseded"),
        )
        .join(items, items.c.id == verdicts.c.item_id)
        .join(calls, calls.c.id == items.c.scored_call)
        .join(users, users.c.id == verdicts.c.user_id)
        .order_by(verdicts.c.decided_at, verdicts.c.id)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    table = pd.DataFrame(rows, columns=list(VERDICTS.columns))
    for name in table:
        values = table[name]
        if name in {"scored_at", "decided_at"}:
            table[name] = pd.to_datetime(values, utc=True).astype(pd.DatetimeTZDtype("us", "UTC"))
        elif name in NUMBERS:
            table[name] = values.astype(NUMBERS[name])
        else:  # pandas 2 would write missing text as "None"
            table[name] = values.astype(str).where(values.notna(), None)
    return VERDICTS.validate(table)


def export_verdicts(database: Database, folder: Path) -> pd.DataFrame:
    """Write all verdicts as Parquet and CSV below the data folder; return them.

    Each file is replaced when the new one is complete.
    """
    table = load_verdicts(database)
    path = folder / VERDICTS_FILE
    with replacing(path) as partial:
        table.to_parquet(partial, index=False)
    write_bytes(path.with_suffix(".csv"), to_csv(table))
    return table


def to_csv(table: pd.DataFrame) -> bytes:
    """Return a table as CSV that spreadsheets read as text: no cell is run as a formula."""
    text = neutralize_formulas(table).to_csv(index=False, lineterminator="\r\n")
    return text.encode("utf-8-sig")


class Share(NamedTuple):
    """A weighted share of items that are angry.

    Attributes:
        share: The share; NaN without items.
        low: Lower bound of the 95 % interval from a bootstrap over calls; NaN with fewer than two calls.
        high: Upper bound.
        n: Number of items with a verdict other than `cannot tell`.
        calls: Number of their calls.
        unclear: Number of items that nobody could tell.
    """

    share: float
    low: float
    high: float
    n: int
    calls: int
    unclear: int


def share_angry(table: pd.DataFrame) -> Share:
    """Compute the share of items that reviewers heard as angry.

    An item counts once: with the share of its verdicts that are angry. Items weigh 1 over their sampling
    probability. With the flagged passages, this is the precision; with the random sample, the share of
    unflagged windows that are missed.

    Args:
        table: Verdicts; superseded ones are left out.

    Example:
        >>> table = pd.DataFrame(
        ...     {
        ...         "item_id": ["a", "b", "b", "c"],
        ...         "call_id": ["1", "2", "2", "3"],
        ...         "verdict": ["angry", "angry", "not_angry", "cannot_tell"],
        ...         "sampling_probability": 1.0,
        ...         "superseded": False,
        ...     }
        ... )
        >>> share_angry(table)[:1] + share_angry(table)[3:]
        (0.75, 2, 2, 1)
    """
    valid = table[~table["superseded"].astype(bool)]
    told = valid[valid["verdict"] != CANNOT_TELL]
    unclear = valid["item_id"].nunique() - told["item_id"].nunique()
    if told.empty:
        return Share(np.nan, np.nan, np.nan, 0, 0, unclear)
    by_item = told.assign(angry=told["verdict"] == ANGRY).groupby("item_id", sort=False)
    each = by_item.agg({"angry": "mean", "sampling_probability": "first", "call_id": "first"})
    weight = 1 / each["sampling_probability"].to_numpy(dtype=float)
    angry = weight * each["angry"].to_numpy(dtype=float)
    codes, names = pd.factorize(each["call_id"])
    sums = np.stack([np.bincount(codes, weights=values) for values in (angry, weight)])
    counts = bootstrap_counts(len(names), resamples=RESAMPLES, seed=0)
    share, low, high = share_interval(sums[0], sums[1], counts)
    return Share(share, low, high, len(each), len(names), unclear)


def precision_by_reviewer(table: pd.DataFrame) -> pd.DataFrame:
    """Compute verdicts and precision of the flagged passages, by reviewer."""
    return _by(table, table["reviewer"], "reviewer")


def precision_by_week(table: pd.DataFrame, zone: ZoneInfo) -> pd.DataFrame:
    """Compute verdicts and precision of the flagged passages, by the week of the decision."""
    local = table["decided_at"].dt.tz_convert(zone)
    monday = local.dt.tz_localize(None).dt.to_period("W-SUN").dt.start_time
    return _by(table, monday.dt.strftime("%Y-%m-%d"), "week_from")


def _by(table: pd.DataFrame, key: pd.Series, name: str) -> pd.DataFrame:
    """Return one row a group: number of verdicts that count, of each kind, and the precision."""
    columns = [name, "verdicts", *VERDICT_VALUES, "superseded", *Share._fields]
    rows: list[dict[str, Any]] = []
    for value, group in table.groupby(key.to_numpy(), sort=True):
        valid = group[~group["superseded"]]
        counts = valid["verdict"].value_counts()
        rows.append(
            {name: value, "verdicts": len(valid), "superseded": int(group["superseded"].sum())}
            | {verdict: int(counts.get(verdict, 0)) for verdict in VERDICT_VALUES}
            | share_angry(group[group["reason"] == "flagged"])._asdict()
        )
    return pd.DataFrame(rows, columns=columns)


class Agreement(NamedTuple):
    """Agreement of two verdicts on one item.

    Attributes:
        kappa: Cohen's kappa of angry and not angry; NaN if undefined.
        low: Lower bound of its 95 % interval from a bootstrap over calls.
        high: Upper bound.
        n: Number of items with two verdicts other than `cannot tell`.
        agreed: Share of them with the same verdict.
        pairs: For each pair of reviewers: kappa and number of items.
    """

    kappa: float
    low: float
    high: float
    n: int
    agreed: float
    pairs: list[tuple[str, str, float, int]]


def agreement(table: pd.DataFrame) -> Agreement:
    """Compute the agreement of reviewers on items that two of them judged.

    Args:
        table: Verdicts; superseded ones are left out.
    """
    told = table[~table["superseded"].astype(bool) & table["verdict"].isin([ANGRY, NOT_ANGRY])]
    told = told.sort_values(["item_id", "reviewer"], kind="stable")
    twice = told[told.groupby("item_id")["reviewer"].transform("size") >= 2]
    first = twice.groupby("item_id", sort=False).nth(0).reset_index(drop=True)
    second = twice.groupby("item_id", sort=False).nth(1).reset_index(drop=True)
    if first.empty:
        return Agreement(np.nan, np.nan, np.nan, 0, np.nan, [])
    one, other = (part["verdict"].to_numpy() == ANGRY for part in (first, second))
    # Cells of the table of both verdicts, by call.
    codes, names = pd.factorize(first["call_id"])
    cells = np.zeros((len(names), 4))
    np.add.at(cells, (codes, 2 * one + other), 1)
    counts = bootstrap_counts(len(names), resamples=RESAMPLES, seed=0)
    low, high = bootstrap_interval(_kappa(counts @ cells), len(names))
    pairs = []
    both = first["reviewer"] + "\n" + second["reviewer"]
    for pair, rows in both.groupby(both):
        chosen = np.bincount(2 * one[rows.index] + other[rows.index], minlength=4)
        left, right = str(pair).split("\n")
        pairs.append((left, right, float(_kappa(chosen)), len(rows)))
    kappa = float(_kappa(cells.sum(axis=0)))
    return Agreement(
        kappa, float(low), float(high), len(first), float((one == other).mean()), pairs
    )


def _kappa(cells: np.ndarray) -> np.ndarray:
    """Compute Cohen's kappa from counts ``(…, 4)``: neither, second, first, both say angry."""
    neither, second, first, both = np.moveaxis(np.asarray(cells, dtype=float), -1, 0)
    total = neither + second + first + both
    observed = (neither + both) / total
    one, other = (first + both) / total, (second + both) / total
    chance = one * other + (1 - one) * (1 - other)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)
