"""The table of calls: its schema, the reader of a contact center's export, and emotions of recordings.

Every row of an export ends up in exactly one of two tables: the calls or the rejected calls.
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
CALL_SUMMARY_COLUMNS: Final = (
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
"""One row per handled call, sorted by start.

``start`` is the time when the agent answered, after ``wait_s``. ``resolved`` is the agent's entry.
``flag`` and ``angry_share`` (of the customer's speech) are empty if no emotion is known;
``emotion_source`` is ``recording`` (scored), ``generated`` (simulated) or ``none``.
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
"""One row per rejected line of the export, with the original texts and the reason."""


class MissingColumns(ValueError):
    """A table lacks required columns."""


def _check_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name!r} is not a time zone; use a name of the tz database such as Europe/London"
        ) from None
    return name


TimeZone = Annotated[str, AfterValidator(_check_zone)]


class ExportSettings(Settings):
    """How a contact center's export of calls is read.

    Attributes:
        time_zone: Time zone of starts without an offset.
        columns: Name in the export for each column of this project.
        start_format: Format of starts in :func:`time.strptime` codes; ``None`` for ISO 8601.
        durations: Unit or format of durations: ``seconds``, ``minutes`` or ``h:mm:ss``.
        yes: Texts for a resolved call, in lower case.
        no: Texts for an unresolved call, in lower case.
        ambiguous: Meaning of a local start that occurs twice because the clock is set back: the
            ``earlier`` hour, the ``later`` one, or ``reject`` to reject the row.
        max_duration_s: Longer durations are rejected.
        overlap_s: Seconds by which calls of an agent may overlap; after-call work may always overlap.

    Example:
        >>> ExportSettings(durations="minutes", time_zone="Europe/Berlin").durations
        'minutes'
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
    def _check_columns(self) -> ExportSettings:
        unknown = sorted(set(self.columns) - {*REQUIRED, *OPTIONAL})
        if unknown:
            raise ValueError(
                f"columns: {', '.join(unknown)} is not one of {', '.join((*REQUIRED, *OPTIONAL))}"
            )
        return self


def no_rejected_calls() -> pd.DataFrame:
    """Return an empty table of rejected calls."""
    columns = {name: pd.Series(dtype=str) for name in REJECTED_CALLS.columns}
    return pd.DataFrame(columns | {"line": pd.Series(dtype=int)})


def read_export(rows: pd.DataFrame, settings: ExportSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a contact center's export.

    Args:
        rows: The export as text, one row per line of the file after the header.
        settings: Format of the export.

    Returns:
        The calls, see :data:`CALLS`, and the rejected lines, see :data:`REJECTED_CALLS`.

    Raises:
        MissingColumns: If the export lacks a required column.

    Example:
        >>> row = {"call_id": "1", "agent_id": "A01", "customer_id": "C1", "topic": "billing"}
        >>> row |= {"start": "2026-03-02T09:00:00", "talk_s": "60", "hold_s": "0"}
        >>> rows = pd.DataFrame([row | {"after_call_s": "30", "resolved": "yes"}])
        >>> calls, rejected = read_export(rows, ExportSettings())
        >>> len(calls), len(rejected)
        (1, 0)
    """
    text = _rename_columns(rows, settings)
    reasons = _Reasons(text.index)
    for name in ("call_id", "agent_id", "customer_id"):
        reasons.add(text[name] == "", f"{name} is empty")
    calls = text.copy()
    calls["start"], start_reasons = _starts(text["start"], settings)
    reasons.add(start_reasons != "", start_reasons)
    for name in (*DURATIONS, "wait_s"):
        calls[name] = _seconds(text[name], settings.durations)
        optional = name == "wait_s"
        _check_duration(calls[name], text[name], settings, reasons, optional=optional)
    calls["resolved"] = _resolved(text["resolved"], settings, reasons)
    reasons.add(text["call_id"].duplicated(), "call_id occurs on an earlier line")
    overlaps = _overlaps(calls[~reasons.rejected], settings.overlap_s)
    reasons.texts[overlaps.index] = overlaps
    return _accepted(calls[~reasons.rejected]), _rejected(text, reasons)


class _Reasons:
    """Why rows are rejected; the first reason of a row is kept.

    Attributes:
        texts: Reason of each row, empty for accepted rows.
    """

    def __init__(self, index: pd.Index) -> None:
        self.texts = pd.Series("", index=index, dtype=object)

    @property
    def rejected(self) -> pd.Series:
        """Whether each row is rejected."""
        return self.texts != ""

    def add(self, where: pd.Series, reason: pd.Series | str) -> None:
        """Reject the rows ``where`` that are not rejected yet."""
        new = where & ~self.rejected
        self.texts[new] = reason[new] if isinstance(reason, pd.Series) else reason


def _check_duration(
    seconds: pd.Series,
    text: pd.Series,
    settings: ExportSettings,
    reasons: _Reasons,
    *,
    optional: bool,
) -> None:
    label = f"{seconds.name} " + text
    missing_allowed = (text == "") & optional
    reasons.add(
        ~np.isfinite(seconds) & ~missing_allowed,
        label + f" is not a number of {settings.durations}",
    )
    reasons.add(seconds < 0, label + " is negative")
    reasons.add(
        seconds > settings.max_duration_s, label + f" is above {settings.max_duration_s:.0f} s"
    )


def _resolved(text: pd.Series, settings: ExportSettings, reasons: _Reasons) -> pd.Series:
    lower = text.str.lower()
    reasons.add(
        ~lower.isin([*settings.yes, *settings.no]),
        "resolved " + text + " is neither yes nor no; see calls_export.yes",
    )
    return lower.isin(settings.yes)


def _accepted(calls: pd.DataFrame) -> pd.DataFrame:
    calls = calls.assign(
        resolved=calls["resolved"].astype(bool),
        flag="",
        angry_share=np.nan,
        first_angry_s=np.nan,
        emotion_source="none",
        synthetic=False,
    )
    return calls[list(CALLS.columns)].sort_values("start", kind="stable", ignore_index=True)


def _rejected(text: pd.DataFrame, reasons: _Reasons) -> pd.DataFrame:
    where = reasons.rejected
    rejected = text.loc[where, ["call_id", "agent_id", "customer_id", "start"]]
    rejected.insert(0, "line", np.flatnonzero(where) + 2)  # after the header, counted from 1
    rejected["reason"] = reasons.texts[where].astype(str)
    return rejected.reset_index(drop=True)


def _rename_columns(rows: pd.DataFrame, settings: ExportSettings) -> pd.DataFrame:
    """Return the known columns under the names of this project, as stripped text."""
    columns = {name: settings.columns.get(name, name) for name in (*REQUIRED, *OPTIONAL)}
    missing = [name for name in REQUIRED if columns[name] not in rows.columns]
    if missing:
        wanted = ", ".join(f"{columns[name]!r} (for {name})" for name in missing)
        raise MissingColumns(
            f"The export has no column {wanted}; it has {', '.join(map(str, rows.columns))}. "
            "Map its columns in calls_export.columns"
        )
    empty = pd.Series("", index=range(len(rows)))
    return pd.DataFrame(
        {
            name: rows[column].fillna("").astype(str).str.strip().reset_index(drop=True)
            if column in rows.columns
            else empty
            for name, column in columns.items()
        }
    )


def _seconds(text: pd.Series, unit: str) -> pd.Series:
    if unit == "h:mm:ss":
        return pd.to_timedelta(text.where(text != ""), errors="coerce").dt.total_seconds()
    numbers = pd.to_numeric(text, errors="coerce").astype(float)
    return numbers * 60 if unit == "minutes" else numbers


def _starts(text: pd.Series, settings: ExportSettings) -> tuple[pd.Series, pd.Series]:
    """Return starts in UTC, and a reason for each that cannot be used."""
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
    localized = local.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    # If the earlier of two possible times exists, the time is repeated; otherwise it is in a gap.
    repeated = (
        localized.isna()
        & local.dt.tz_localize(
            zone, ambiguous=np.ones(len(local), dtype=bool), nonexistent="NaT"
        ).notna()
    )
    if settings.ambiguous != "reject":
        earlier = np.full(len(local), settings.ambiguous == "earlier")
        localized = local.dt.tz_localize(zone, ambiguous=earlier, nonexistent="NaT")
    starts[~carries_offset] = localized.dt.tz_convert("UTC")
    reasons = pd.Series("", index=text.index, dtype=object)
    unreadable = starts.isna()
    reasons[unreadable] = "start " + text[unreadable] + " cannot be read as " + layout
    gap = local.index[local.notna() & localized.isna() & ~repeated]
    reasons[gap] = "start " + text[gap] + f" does not exist in {zone}: the clock was set forward"
    if settings.ambiguous == "reject":
        ambiguous = local.index[repeated]
        reasons[ambiguous] = (
            "start " + text[ambiguous] + f" occurs twice in {zone}: the clock was set back; "
            "export an offset or set calls_export.ambiguous"
        )
    return starts, reasons


def _overlaps(calls: pd.DataFrame, allowed_s: float) -> pd.Series:
    """Return a reason for each call that starts during an earlier call of the same agent."""
    ordered = calls.sort_values(["agent_id", "start"], kind="stable")
    seconds = ordered["start"].astype("int64").to_numpy() / 1e6
    ends = seconds + (ordered["talk_s"] + ordered["hold_s"]).to_numpy(dtype=float)
    agents, names = ordered["agent_id"].to_numpy(), ordered["call_id"].to_numpy()
    reasons, last = {}, -1
    for row in range(len(ordered)):
        # Compare with the last accepted call, so that one wrong row does not reject its successors.
        if last >= 0 and agents[row] == agents[last] and seconds[row] < ends[last] - allowed_s:
            excess = min(ends[last], ends[row]) - seconds[row]
            reasons[ordered.index[row]] = (
                f"overlaps call {names[last]} of the same agent by {excess:.0f} s"
            )
        else:
            last = row
    return pd.Series(reasons, dtype=object)


def join_emotions(calls: pd.DataFrame, call_summary: pd.DataFrame | None) -> pd.DataFrame:
    """Join the emotions of scored recordings; they replace simulated ones.

    Only customers and mixed channels count; of several channels, the one with the highest score.

    Args:
        calls: See :data:`CALLS`.
        call_summary: One row per recording and scored channel, see
            :func:`speech_emotion.call_scoring.summarize`; ``None`` if no recording was scored.

    Raises:
        MissingColumns: If ``call_summary`` lacks a required column.
    """
    if call_summary is None:
        return calls
    missing = [name for name in CALL_SUMMARY_COLUMNS if name not in call_summary.columns]
    if missing:
        raise MissingColumns(
            f"call_summary has no column {', '.join(missing)}; score the calls again"
        )
    customers = call_summary[call_summary["channel_role"] != "agent"]
    customers = customers.sort_values("score", ascending=False)
    scored = customers.assign(path=_normalize_paths(customers["call"])).drop_duplicates("path")
    scored = scored.set_index("path")
    path = _normalize_paths(calls["recording"])
    is_scored = path.isin(scored.index) & (path != "")
    joined = calls.copy()
    for column, source in (
        ("flag", "flag"),
        ("angry_share", "share_angry"),
        ("first_angry_s", "first_angry_s"),
    ):
        values = path.map(scored[source]).where(is_scored, joined[column])
        joined[column] = values.astype(joined[column].dtype)
    joined.loc[is_scored, "emotion_source"] = "recording"
    return joined


def _normalize_paths(paths: pd.Series) -> pd.Series:
    return paths.astype(str).str.replace("\\", "/").str.removeprefix("./")


def count_emotions(calls: pd.DataFrame) -> dict[str, int]:
    """Count calls by source of their emotions: ``recording``, ``generated`` or ``none``."""
    counts = calls["emotion_source"].value_counts()
    return {name: int(counts.get(name, 0)) for name in ("recording", "generated", "none")}
