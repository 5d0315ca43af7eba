"""Calls of a center: their table, the reader of a center's own export, and what was heard in them.

Every row of an export ends in exactly one of two tables: the calls or the rejected calls.
"""

from __future__ import annotations

import zoneinfo
from typing import Annotated, ClassVar, Final, Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import AfterValidator, Field, model_validator

from speech_emotion.config import Settings

__all__ = [
    "CALLS",
    "REJECTED_CALLS",
    "ExportSettings",
    "MissingColumns",
    "TimeZone",
    "count_emotions",
    "join_emotions",
    "no_rejected_calls",
    "read_export",
]

DURATIONS: Final = ("talk_s", "hold_s", "after_call_s")
REQUIRED: Final = (
    "call_id",
    "agent_id",
    "customer_id",
    "start",
    *DURATIONS,
    "resolved",
    "topic",
)
OPTIONAL: Final = ("team", "wait_s", "recording")
CALL_EMOTION_COLUMNS: Final = (
    "call",
    "channel_role",
    "flag",
    "score",
    "share_angry",
    "first_angry_s",
)

_duration = pa.Check.in_range(0, 86_400)

CALLS = pa.DataFrameSchema(
    {
        "call_id": pa.Column(str, unique=True),
        "agent_id": pa.Column(str, pa.Check.str_length(min_value=1)),
        "team": pa.Column(str),
        "customer_id": pa.Column(str, pa.Check.str_length(min_value=1)),
        "start": pa.Column(pd.DatetimeTZDtype("us", "UTC")),
        "wait_s": pa.Column(float, _duration, nullable=True),
        "talk_s": pa.Column(float, _duration),
        "hold_s": pa.Column(float, _duration),
        "after_call_s": pa.Column(float, _duration),
        "resolved": pa.Column(bool),
        "topic": pa.Column(str),
        "recording": pa.Column(str),
        "flag": pa.Column(str, pa.Check.isin(["angry", "calm", "review", ""])),
        "angry_share": pa.Column(float, pa.Check.in_range(0, 1), nullable=True),
        "first_angry_s": pa.Column(float, pa.Check.ge(0), nullable=True),
        "emotion_source": pa.Column(str, pa.Check.isin(["recording", "generated", "none"])),
        "synthetic": pa.Column(bool),
    },
    strict=True,
    ordered=True,
)
"""One row a call that was handled, by start.

``start`` is when the agent answered; ``wait_s`` lies before it. ``resolved`` is what the agent noted.
``flag`` and ``angry_share`` (of the customer's speech) are empty where no emotion is known;
``emotion_source`` says whether they were heard in a recording or generated.
"""

REJECTED_CALLS = pa.DataFrameSchema(
    {
        "line": pa.Column(int, pa.Check.ge(2)),
        "call_id": pa.Column(str),
        "agent_id": pa.Column(str),
        "customer_id": pa.Column(str),
        "start": pa.Column(str),
        "reason": pa.Column(str, pa.Check.str_length(min_value=1)),
    },
    strict=True,
    ordered=True,
)
"""One row a line of the export that was left out, as it stands there, with the reason."""


class MissingColumns(ValueError):
    """A table lacks columns that are needed."""


def _known_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name!r} is no time zone; write one of the tz database, as Europe/London"
        ) from None
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]


class ExportSettings(Settings):
    """How a center's own export of calls is read.

    Attributes:
        time_zone: Time zone of starts that carry no offset, as ``Europe/London``.
        columns: For each of our columns the name that it has in the export.
        start_format: Format of the start in :func:`time.strptime` codes; ``None`` for ISO 8601.
        durations: How durations are written: ``seconds``, ``minutes`` or ``h:mm:ss``.
        yes: What stands for a resolved call, in lower case.
        no: What stands for one that was not resolved, in lower case.
        ambiguous: What a start means that occurs twice, when the clock is set back: the
            ``earlier`` hour, the ``later`` one, or that the row is listed as rejected.
        max_duration_s: Durations of more seconds are rejected.
        overlap_s: Seconds by which an agent's calls may overlap; after-call work may overlap freely.
    """

    renamed: ClassVar[dict[str, str]] = {"longest_s": "max_duration_s"}

    time_zone: TimeZone = "Europe/London"
    columns: dict[str, str] = Field(
        default_factory=lambda: {name: name for name in (*REQUIRED, *OPTIONAL)}
    )
    start_format: str | None = None
    durations: Literal["seconds", "minutes", "h:mm:ss"] = "seconds"
    yes: list[str] = Field(default=["true", "yes", "y", "1", "resolved"], min_length=1)
    no: list[str] = Field(default=["false", "no", "n", "0", "unresolved"], min_length=1)
    ambiguous: Literal["reject", "earlier", "later"] = "reject"
    max_duration_s: float = Field(43_200.0, gt=0, le=86_400)
    overlap_s: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _columns_are_ours(self) -> ExportSettings:
        unknown = sorted(set(self.columns) - {*REQUIRED, *OPTIONAL})
        if unknown:
            raise ValueError(
                f"columns: {', '.join(unknown)} is none of {', '.join((*REQUIRED, *OPTIONAL))}"
            )
        return self


def no_rejected_calls() -> pd.DataFrame:
    """Return an empty table of rejected calls."""
    columns = {name: pd.Series(dtype=str) for name in REJECTED_CALLS.columns}
    return pd.DataFrame(columns | {"line": pd.Series(dtype=int)})


def read_export(rows: pd.DataFrame, settings: ExportSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a center's own export.

    Args:
        rows: The export as text, one row a line of the file after its header.
        settings: How it is written.

    Returns:
        The calls, see :data:`CALLS`, and the lines that were left out, see :data:`REJECTED_CALLS`.

    Raises:
        MissingColumns: If the export lacks a column that is needed.
    """
    text = _our_columns(rows, settings)
    reasons = pd.Series("", index=text.index, dtype=object)

    def reject(where: pd.Series, reason: pd.Series | str) -> None:
        chosen = where & (reasons == "")
        reasons[chosen] = reason[chosen] if isinstance(reason, pd.Series) else reason

    for name in ("call_id", "agent_id", "customer_id"):
        reject(text[name] == "", f"{name} is empty")
    calls = text.copy()
    calls["start"], start_reasons = _starts(text["start"], settings)
    reject(start_reasons != "", start_reasons)
    for name in (*DURATIONS, "wait_s"):
        seconds = _seconds(text[name], settings.durations)
        calls[name] = seconds
        written = name + " " + text[name]
        absent = (text[name] == "") if name == "wait_s" else pd.Series(False, index=text.index)
        reject(~np.isfinite(seconds) & ~absent, written + f" is no number of {settings.durations}")
        reject(seconds < 0, written + " is negative")
        reject(
            seconds > settings.max_duration_s,
            written + f" is above {settings.max_duration_s:.0f} s",
        )
    spoken = text["resolved"].str.lower()
    calls["resolved"] = spoken.isin(settings.yes)
    reject(
        ~spoken.isin([*settings.yes, *settings.no]),
        "resolved " + text["resolved"] + " is neither yes nor no; see calls_export.yes",
    )
    reject(text["call_id"].duplicated(), "call_id occurs on an earlier line")
    overlaps = _overlaps(calls[reasons == ""], settings.overlap_s)
    reasons[overlaps.index] = overlaps
    left_out = reasons != ""
    rejected = text.loc[left_out, ["call_id", "agent_id", "customer_id", "start"]]
    rejected.insert(0, "line", np.flatnonzero(left_out) + 2)
    rejected["reason"] = reasons[left_out].astype(str)
    calls = calls[~left_out].assign(
        resolved=lambda table: table["resolved"].astype(bool),
        flag="",
        angry_share=np.nan,
        first_angry_s=np.nan,
        emotion_source="none",
        synthetic=False,
    )
    calls = calls[list(CALLS.columns)].sort_values("start", kind="stable", ignore_index=True)
    return calls, rejected.reset_index(drop=True)


def _our_columns(rows: pd.DataFrame, settings: ExportSettings) -> pd.DataFrame:
    named = {name: settings.columns.get(name, name) for name in (*REQUIRED, *OPTIONAL)}
    missing = [name for name in REQUIRED if named[name] not in rows.columns]
    if missing:
        wanted = ", ".join(f"{named[name]!r} (for {name})" for name in missing)
        raise MissingColumns(
            f"The export has no column {wanted}; it has {', '.join(map(str, rows.columns))}. "
            "Name its columns in calls_export.columns"
        )
    empty = pd.Series("", index=range(len(rows)))
    return pd.DataFrame(
        {
            name: rows[theirs].fillna("").astype(str).str.strip().reset_index(drop=True)
            if theirs in rows.columns
            else empty
            for name, theirs in named.items()
        }
    )


def _seconds(text: pd.Series, written: str) -> pd.Series:
    if written == "h:mm:ss":
        return pd.to_timedelta(text.where(text != ""), errors="coerce").dt.total_seconds()
    numbers = pd.to_numeric(text, errors="coerce").astype(float)
    return numbers * 60 if written == "minutes" else numbers


def _starts(text: pd.Series, settings: ExportSettings) -> tuple[pd.Series, pd.Series]:
    """Read starts as UTC; where one is missing, say why."""
    layout = settings.start_format or "ISO8601"
    if settings.start_format:
        carries_offset = pd.Series("%z" in settings.start_format, index=text.index)
    else:
        carries_offset = text.str.contains(r"\d:\d\d\S*\s*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$")
    starts = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us, UTC]")
    if carries_offset.any():
        absolute = pd.to_datetime(text[carries_offset], format=layout, utc=True, errors="coerce")
        starts[carries_offset] = absolute.dt.as_unit("us")
    local = pd.to_datetime(text[~carries_offset], format=layout, errors="coerce").dt.as_unit("us")
    zone = settings.time_zone
    read = local.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    # The same once more with every doubtful time taken as the earlier one tells gap from repetition.
    twice = (
        read.isna()
        & local.dt.tz_localize(
            zone, ambiguous=np.ones(len(local), dtype=bool), nonexistent="NaT"
        ).notna()
    )
    if settings.ambiguous != "reject":
        summer = np.full(len(local), settings.ambiguous == "earlier")
        read = local.dt.tz_localize(zone, ambiguous=summer, nonexistent="NaT")
    starts[~carries_offset] = read.dt.tz_convert("UTC")
    reasons = pd.Series("", index=text.index, dtype=object)
    unread = starts.isna()
    reasons[unread] = "start " + text[unread] + " cannot be read as " + layout
    gap = local.index[local.notna() & read.isna() & ~twice]
    reasons[gap] = "start " + text[gap] + f" does not exist in {zone}: the clock was set forward"
    if settings.ambiguous == "reject":
        again = local.index[twice]
        reasons[again] = (
            "start " + text[again] + f" occurs twice in {zone}: the clock was set back; "
            "export an offset or set calls_export.ambiguous"
        )
    return starts, reasons


def _overlaps(calls: pd.DataFrame, allowed_s: float) -> pd.Series:
    """Say of each call that starts while its agent's former one lasts which one that is."""
    ordered = calls.sort_values(["agent_id", "start"], kind="stable")
    seconds = ordered["start"].astype("int64").to_numpy() / 1e6
    ends = seconds + (ordered["talk_s"] + ordered["hold_s"]).to_numpy(dtype=float)
    agents, names = ordered["agent_id"].to_numpy(), ordered["call_id"].to_numpy()
    reasons, last = {}, -1
    for row in range(len(ordered)):
        # Compared with the last call that was kept: one wrong row must not reject its successors.
        if last >= 0 and agents[row] == agents[last] and seconds[row] < ends[last] - allowed_s:
            excess = min(ends[last], ends[row]) - seconds[row]
            reasons[ordered.index[row]] = (
                f"overlaps call {names[last]} of the same agent by {excess:.0f} s"
            )
        else:
            last = row
    return pd.Series(reasons, dtype=object)


def join_emotions(calls: pd.DataFrame, heard: pd.DataFrame | None) -> pd.DataFrame:
    """Take emotions from scored recordings, in place of generated ones.

    The customer's channel counts; of several that nobody told apart, the one with the highest score.

    Args:
        calls: See :data:`CALLS`.
        heard: ``call_summary``: one row a recording and scored channel; ``None`` if none was scored.

    Raises:
        MissingColumns: If ``heard`` lacks a column that is needed.
    """
    if heard is None:
        return calls
    missing = [name for name in CALL_EMOTION_COLUMNS if name not in heard.columns]
    if missing:
        raise MissingColumns(
            f"call_summary has no column {', '.join(missing)}; score the calls anew"
        )
    customers = heard[heard["channel_role"] != "agent"].sort_values("score", ascending=False)
    scored = customers.assign(path=_plain(customers["call"])).drop_duplicates("path")
    scored = scored.set_index("path")
    path = _plain(calls["recording"])
    known = path.isin(scored.index) & (path != "")
    joined = calls.copy()
    for ours, theirs in (
        ("flag", "flag"),
        ("angry_share", "share_angry"),
        ("first_angry_s", "first_angry_s"),
    ):
        heard_here = path.map(scored[theirs]).where(known, joined[ours])
        joined[ours] = heard_here.astype(joined[ours].dtype)
    joined.loc[known, "emotion_source"] = "recording"
    return joined


def _plain(paths: pd.Series) -> pd.Series:
    return paths.astype(str).str.replace("\\", "/").str.removeprefix("./")


def count_emotions(calls: pd.DataFrame) -> dict[str, int]:
    """Count the calls whose emotion was heard in a recording, generated, or is not known."""
    counts = calls["emotion_source"].value_counts()
    return {name: int(counts.get(name, 0)) for name in ("recording", "generated", "none")}
