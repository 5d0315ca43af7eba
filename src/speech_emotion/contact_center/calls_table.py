"""The table of calls: its schema, the reader of a contact center's export, and emotions of recordings.

Every row of an export ends up in exactly one of two tables: the calls or the rejected calls.
"""

from __future__ import annotations

import datetime as dt
import difflib
import logging
import operator
import zoneinfo
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Annotated, ClassVar, Final, Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import AfterValidator, Field, model_validator

from speech_emotion.config import Settings
from speech_emotion.text_tables import (
    UnreadableTable,
    check_encoding,
    check_separator,
    parse_table,
)

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

logger = logging.getLogger(__name__)

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
OPTIONAL: Final = ("team", "queue", "direction", "wait_s", "recording")
ALL_COLUMNS: Final = (*REQUIRED, *OPTIONAL)
METADATA: Final = {"agent_id": "agent", "queue": "queue", "direction": "direction"}
"""Columns that metadata of recordings fill where the export lacks them, and their names there."""
CALL_SUMMARY_COLUMNS: Final = (
    "call",
    "channel_role",
    "flag",
    "score",
    "share_angry",
    "first_angry_s",
)

EMOTION_SOURCES: Final = ("verdict", "recording", "generated", "none")

_duration = pa.Check.in_range(0, 86_400)

CALLS = pa.DataFrameSchema(
    {
        "call_id": pa.Column(str, unique=True),
        "agent_id": pa.Column(str, pa.Check.str_length(min_value=1)),
        "team": pa.Column(str),
        "queue": pa.Column(str),
        "direction": pa.Column(str),
        "customer_id": pa.Column(str, pa.Check.str_length(min_value=1)),
        "start": pa.Column(pd.DatetimeTZDtype("us", "UTC")),
        "wait_s": pa.Column(float, _duration, nullable=True),
        "talk_s": pa.Column(float, _duration),
        "hold_s": pa.Column(float, _duration),
        "after_call_s": pa.Column(float, _duration),
        "resolved": pa.Column(bool),
        "topic": pa.Column(str),
        "recording": pa.Column(str),
        "flag": pa.Column(str, pa.Check.isin(["angry", "not_flagged", "review", ""])),
        "angry_share": pa.Column(float, pa.Check.in_range(0, 1), nullable=True),
        "first_angry_s": pa.Column(float, pa.Check.ge(0), nullable=True),
        "emotion_source": pa.Column(str, pa.Check.isin(EMOTION_SOURCES)),
        "synthetic": pa.Column(bool),
    },
    strict=True,
    ordered=True,
)
"""One row per handled call, sorted by start.

``start`` is the time when the agent answered, after ``wait_s``. ``resolved`` is the agent's entry.
``flag`` and ``angry_share`` (of the customer's speech) are empty if no emotion is known;
``emotion_source`` is ``verdict`` (reviewers confirmed or rejected the flag of a scored call), ``recording``
(scored), ``generated`` (simulated) or ``none``.
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


DurationFormat = Literal["seconds", "minutes", "days", "h:mm:ss", "mm:ss"]


def _same_names() -> dict[str, str | list[str]]:
    return {name: name for name in ALL_COLUMNS}


class ExportSettings(Settings):
    """How a contact center's export of calls is read.

    Attributes:
        time_zone: Time zone of starts without an offset.
        columns: Name in the export for each column of this project. The start may be in two columns, of
            date and time: ``[Date, Time]``, or ``Date;Time``.
        separator: Character between values, or one of ``comma``, ``semicolon``, ``tab``, ``pipe``; ``None``
            detects it by the names of the columns.
        encoding: Encoding of a CSV file, as ``cp1252``; ``None`` for UTF-8, or UTF-16 if it shows.
        sheet: Sheet of an Excel workbook; ``None`` for the first one.
        decimal: Decimal sign of durations, ``point`` or ``comma``; ``None`` detects the comma if no value
            can be read otherwise.
        start_format: Format of starts in :func:`time.strptime` codes; ``None`` for ISO 8601.
        earliest: First day of plausible starts; rows before are rejected.
        latest: Last day of plausible starts; ``None`` for tomorrow.
        durations: Unit or format of durations: ``seconds``, ``minutes``, ``days`` (as Excel stores times),
            ``h:mm:ss`` or ``mm:ss``.
        plausible_talk_s: Range of the median talk time. An export outside of it is refused, because
            ``durations`` is probably wrong.
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
    columns: dict[str, str | list[str]] = Field(default_factory=_same_names)
    separator: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    decimal: Literal["point", "comma"] | None = None
    start_format: str | None = None
    earliest: dt.date = dt.date(2000, 1, 1)
    latest: dt.date | None = None
    durations: DurationFormat = "seconds"
    plausible_talk_s: tuple[float, float] = (1.0, 7200.0)
    yes: list[str] = Field(default=["true", "yes", "y", "1", "resolved"], min_length=1)
    no: list[str] = Field(default=["false", "no", "n", "0", "unresolved"], min_length=1)
    ambiguous: Literal["reject", "earlier", "later"] = "reject"
    max_duration_s: float = Field(43_200.0, gt=0, le=86_400)
    overlap_s: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> ExportSettings:
        unknown = sorted(set(self.columns) - {*REQUIRED, *OPTIONAL})
        if unknown:
            raise ValueError(
                f"columns: {', '.join(unknown)} is not one of {', '.join(ALL_COLUMNS)}"
            )
        several = [name for name, theirs in self.columns.items() if isinstance(theirs, list)]
        if set(several) - {"start"}:
            raise ValueError(f"columns: only start may be in several columns, not {several[0]}")
        check_separator(self.separator)
        check_encoding(self.encoding)
        return self

    def column(self, name: str, available: Sequence[str] = ()) -> list[str]:
        """Return the names in the export for a column of this project."""
        theirs = self.columns.get(name, name)
        if isinstance(theirs, list):
            return theirs
        if name == "start" and theirs not in available and ";" in theirs:
            return [part.strip() for part in theirs.split(";")]
        return [theirs]


def no_rejected_calls() -> pd.DataFrame:
    """Return an empty table of rejected calls."""
    columns = {name: pd.Series(dtype=str) for name in REJECTED_CALLS.columns}
    return pd.DataFrame(columns | {"line": pd.Series(dtype=int)})


def read_export(
    rows: pd.DataFrame | bytes,
    settings: ExportSettings,
    *,
    now: pd.Timestamp | None = None,
    scored: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a contact center's export.

    Args:
        rows: The export as a file, or as a table of text with one row per line after the header.
        settings: Format of the export.
        now: Present time, for the latest plausible start; by default that of the clock.
        scored: Summary of scored recordings with the metadata of their calls: names the recording of a
            ``call_id``, and agent, queue and direction of a call, where the export does not.

    Returns:
        The calls, see :data:`CALLS`, and the rejected lines, see :data:`REJECTED_CALLS`.

    Raises:
        MissingColumns: If the export lacks a required column, or an optional one that the settings name.
        UnreadableTable: If the file cannot be read as a table, or its durations are not plausible.

    Example:
        >>> row = {"call_id": "1", "agent_id": "A01", "customer_id": "C1", "topic": "billing"}
        >>> row |= {"start": "2026-03-02T09:00:00", "talk_s": "60", "hold_s": "0"}
        >>> rows = pd.DataFrame([row | {"after_call_s": "30", "resolved": "yes"}])
        >>> calls, rejected = read_export(rows, ExportSettings())
        >>> len(calls), len(rejected)
        (1, 0)
    """
    broken, how = pd.DataFrame({"line": [], "reason": []}), ""
    if isinstance(rows, bytes):
        wanted = [theirs for name in ALL_COLUMNS for theirs in settings.column(name)]
        rows, broken, how = parse_table(
            rows,
            wanted,
            separator=settings.separator,
            encoding=settings.encoding,
            sheet=settings.sheet,
        )
        logger.info("The export was read with %s", how)
        lines = rows.index.to_numpy()
    else:
        lines = np.arange(len(rows)) + 2  # after the header, counted from 1
    known = _metadata(scored)
    text = _fill(_rename_columns(rows, settings, how, optional=known.columns), known)
    reasons = _Reasons(text.index)
    for name in ("call_id", "agent_id", "customer_id"):
        reasons.add(text[name] == "", f"{name} is empty")
    calls = text.copy()
    calls["start"], start_reasons = _starts(text["start"], settings, now)
    reasons.add(start_reasons != "", start_reasons)
    decimal = _decimal(text, settings)
    for name in (*DURATIONS, "wait_s"):
        calls[name] = _seconds(text[name], settings.durations, decimal)
        optional = name == "wait_s"
        _check_duration(calls[name], text[name], settings, reasons, optional=optional)
    calls["resolved"] = _resolved(text["resolved"], settings, reasons)
    accepted = text["call_id"][~reasons.rejected]
    repeated = accepted.duplicated().reindex(text.index, fill_value=False)
    reasons.add(repeated, "call_id occurs on an earlier line")
    overlaps = _overlaps(calls[~reasons.rejected], settings.overlap_s)
    reasons.texts[overlaps.index] = overlaps
    _check_plausible(calls.loc[~reasons.rejected, "talk_s"], settings)
    return _accepted(calls[~reasons.rejected]), _rejected(text, reasons, lines, broken)


def _metadata(scored: pd.DataFrame | None) -> pd.DataFrame:
    """Return the metadata of scored recordings, one row per recording with its normalized path as index.

    Columns are ``recording``, ``call_id`` and those of :data:`METADATA` that have values.
    """
    if scored is None or not {"call", "call_id"} <= set(scored):
        return pd.DataFrame()
    one = scored.drop_duplicates("call")
    known = pd.DataFrame({"recording": one["call"].astype(str), "call_id": one["call_id"]})
    for name, theirs in METADATA.items():
        if theirs in one and (values := one[theirs].fillna("").astype(str)).any():
            known[name] = values
    return known.fillna("").set_index(_normalize_paths(known["recording"]))


def _fill(text: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Fill empty texts of an export with metadata of the recordings that belong to its calls."""
    if known.empty:
        return text
    text = text.copy()
    path = _normalize_paths(text["recording"])
    by_id = known[(known["call_id"] != "") & ~known["call_id"].duplicated(keep=False)]
    named = text["call_id"].map(pd.Series(by_id.index, index=by_id["call_id"], dtype=object))
    path = path.where(path != "", named).fillna("")
    for name in ("recording", *(name for name in METADATA if name in known)):
        values = path.map(known[name]).fillna("")
        empty = (text[name] == "") & (values != "")
        text.loc[empty, name] = values[empty]
        if empty.any():
            logger.info("%s of %d calls is from scored recordings", name, empty.sum())
    return text


def _check_plausible(talk_s: pd.Series, settings: ExportSettings) -> None:
    """Refuse talk times that only a wrong unit explains."""
    talked = talk_s[talk_s > 0]
    low, high = settings.plausible_talk_s
    if talked.empty or low <= (median := float(talked.median())) <= high:
        return
    guess = ""
    if settings.durations in ("seconds", "minutes"):
        days = median / (60 if settings.durations == "minutes" else 1) < 0.1
        guess = " (days, if Excel stored them as times)" if days else " (seconds?)"
    raise UnreadableTable(
        f"The median talk time of {len(talked)} calls is {median:.3g} s as {settings.durations}: "
        f"set calls_export.durations to the unit of the export{guess}, or calls_export.plausible_talk_s "
        f"(now {low:g} to {high:g} s)"
    )


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

    def add(self, where: pd.Series, reason: pd.Series | str, *more: pd.Series | str) -> None:
        """Reject the rows ``where`` that are not rejected yet; the parts of the reason are joined."""
        if not where.any():
            return
        new = where & ~self.rejected
        parts = [part[new] if isinstance(part, pd.Series) else part for part in (reason, *more)]
        self.texts[new] = reduce(operator.add, parts)


def _check_duration(
    seconds: pd.Series,
    text: pd.Series,
    settings: ExportSettings,
    reasons: _Reasons,
    *,
    optional: bool,
) -> None:
    label = f"{seconds.name} "
    missing_allowed = (text == "") & optional
    wrong = ~np.isfinite(seconds) & ~missing_allowed
    if wrong.any():
        what = (
            f"a number of {settings.durations}"
            if settings.durations in SECONDS
            else settings.durations
        )
        reasons.add(wrong, label, text, f" is not {what}" + _format_hint(text, settings))
    reasons.add(seconds < 0, label, text, " is negative")
    above = f" is above {settings.max_duration_s:.0f} s"
    reasons.add(seconds > settings.max_duration_s, label, text, above)


def _resolved(text: pd.Series, settings: ExportSettings, reasons: _Reasons) -> pd.Series:
    lower = text.str.lower()
    reasons.add(
        ~lower.isin([*settings.yes, *settings.no]),
        "resolved ",
        text,
        " is neither yes nor no; see calls_export.yes",
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


def _rejected(
    text: pd.DataFrame, reasons: _Reasons, lines: np.ndarray, broken: pd.DataFrame
) -> pd.DataFrame:
    where = reasons.rejected
    rejected = text.loc[where, ["call_id", "agent_id", "customer_id", "start"]]
    rejected.insert(0, "line", lines[where.to_numpy()])
    rejected["reason"] = reasons.texts[where].astype(str)
    if len(broken):
        unread = broken.assign(call_id="", agent_id="", customer_id="", start="")[list(rejected)]
        rejected = pd.concat([rejected, unread]) if len(rejected) else unread
        rejected = rejected.astype({name: str for name in rejected if name != "line"})
    return rejected.astype({"line": int}).sort_values("line", ignore_index=True)


def _rename_columns(
    rows: pd.DataFrame, settings: ExportSettings, how: str, *, optional: Iterable[str]
) -> pd.DataFrame:
    """Return the known columns under the names of this project, as stripped text.

    Columns in ``optional`` may be absent.
    """
    available = list(map(str, rows.columns))
    columns = {name: settings.column(name, available) for name in ALL_COLUMNS}
    # An optional column may be absent, but not one that was named.
    required = set(REQUIRED) - (set(optional) - {"call_id"})
    needed = [name for name in columns if name in required or columns[name] != [name]]
    missing = {
        theirs: name for name in needed for theirs in columns[name] if theirs not in available
    }
    if missing:
        wanted = ", ".join(f"{theirs!r} (for {name})" for theirs, name in missing.items())
        near = [difflib.get_close_matches(theirs, available, 1) for theirs in missing]
        hint = ", ".join(repr(one[0]) for one in near if one)
        raise MissingColumns(
            f"The export has no column {wanted}; it has {', '.join(available)}"
            + (f". Meant may be {hint}" if hint else "")
            + (
                f". It was read with {how}: set calls_export.separator if that is wrong"
                if how
                else ""
            )
            + ". Map its columns in calls_export.columns"
        )
    absent = [name for name, theirs in columns.items() if theirs[0] not in available]
    used = {theirs for names in columns.values() for theirs in names}
    if absent:
        unused = ", ".join(name for name in available if name not in used) or "none"
        logger.info("The export has no %s; columns not used: %s", ", ".join(absent), unused)
    empty = pd.Series("", index=range(len(rows)))

    def joined(names: list[str]) -> pd.Series:
        parts = [
            rows[name].fillna("").astype(str).str.strip().reset_index(drop=True) for name in names
        ]
        return parts[0] if len(parts) == 1 else parts[0].str.cat(parts[1:], sep=" ").str.strip()

    return pd.DataFrame(
        {name: empty if name in absent else joined(theirs) for name, theirs in columns.items()}
    )


NUMBER: Final = r"-?[0-9]+(?:\.[0-9]*)?|-?\.[0-9]+"
CLOCKS: Final = {
    "h:mm:ss": r"(?P<sign>-?)(?P<hours>[0-9]+):(?P<minutes>[0-5]?[0-9]):(?P<seconds>[0-5][0-9](?:\.[0-9]+)?)",
    "mm:ss": r"(?P<sign>-?)(?P<minutes>[0-9]+):(?P<seconds>[0-5][0-9](?:\.[0-9]+)?)",
}
SECONDS: Final = {"seconds": 1.0, "minutes": 60.0, "days": 86_400.0}


def _decimal(text: pd.DataFrame, settings: ExportSettings) -> str:
    """Return the decimal sign: as set, or a comma if only that makes numbers of all durations."""
    if settings.decimal is not None:
        return "," if settings.decimal == "comma" else "."
    values = pd.concat([text[name] for name in (*DURATIONS, "wait_s")])
    values = values[values.str.contains(",", regex=False)]
    # Three digits after a comma may be thousands.
    fractions = values.str.fullmatch(r"-?[0-9]+,(?:[0-9]{1,2}|[0-9]{4,})")
    if len(values) and fractions.all() and not _any_point(text):
        logger.info("Durations of the export have a decimal comma")
        return ","
    return "."


def _any_point(text: pd.DataFrame) -> bool:
    return any(text[name].str.contains(".", regex=False).any() for name in (*DURATIONS, "wait_s"))


def _seconds(text: pd.Series, unit: str, decimal: str) -> pd.Series:
    """Return durations in seconds; NaN for what is not in the declared format."""
    codes, values = pd.factorize(text)  # there are far fewer durations than calls
    seconds = _parse_durations(pd.Series(values, dtype=text.dtype), unit, decimal)
    return pd.Series(seconds.to_numpy()[codes], index=text.index, name=text.name)


def _parse_durations(text: pd.Series, unit: str, decimal: str) -> pd.Series:
    if decimal == ",":
        text = text.where(~text.str.contains(".", regex=False), "").str.replace(
            ",", ".", regex=False
        )
    if unit in SECONDS:
        numbers = text.where(text.str.fullmatch(NUMBER), None)
        return pd.to_numeric(numbers, errors="coerce").astype(float) * SECONDS[unit]
    parts = text.where(text.str.fullmatch(CLOCKS[unit]), "").str.extract(f"^{CLOCKS[unit]}$")
    seconds = pd.to_numeric(parts["seconds"], errors="coerce").astype(float)
    seconds += 60 * pd.to_numeric(parts["minutes"], errors="coerce").astype(float)
    if "hours" in parts:
        seconds += 3600 * pd.to_numeric(parts["hours"], errors="coerce").astype(float)
    return seconds * np.where(parts["sign"] == "-", -1.0, 1.0)


def _format_hint(text: pd.Series, settings: ExportSettings) -> pd.Series:
    """Return for each duration that is not in the declared format the setting that would read it."""
    hints = pd.Series("", index=text.index, dtype=object)
    known = {"seconds": NUMBER, **CLOCKS}
    for name, pattern in known.items():
        if name != settings.durations and not (name == "seconds" and settings.durations in SECONDS):
            fits = text.str.fullmatch(pattern).fillna(False).astype(bool)
            hints[fits] = f": set calls_export.durations to {name}"
    comma = text.str.fullmatch(r"-?[0-9]+,[0-9]+").fillna(False).astype(bool)
    hints[comma] = ": set calls_export.decimal to comma"
    return hints


ISO_START: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r"(?:[ \t]*(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?))?"
)
OFFSET: Final = r":[0-9]{2}[0-9:.,]*[ \t]*(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)$"
"""The end of a start with an offset. For ``\\s``, pandas would call Python at each row."""


def _starts(
    text: pd.Series, settings: ExportSettings, now: pd.Timestamp | None
) -> tuple[pd.Series, pd.Series]:
    """Return starts in UTC, and a reason for each that cannot be used."""
    layout = settings.start_format or "ISO8601"
    original = text
    if settings.start_format:
        carries_offset = pd.Series("%z" in settings.start_format, index=text.index)
    else:
        # The parser also takes words and parts of dates.
        text = text.where(text.str.fullmatch(ISO_START).fillna(False).astype(bool), "")
        carries_offset = text.str.contains(OFFSET)
    starts = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us, UTC]")
    strange = pd.Series(False, index=text.index)
    latest = settings.latest or (now or pd.Timestamp.now("UTC")).date() + dt.timedelta(days=1)
    if carries_offset.any():
        absolute = pd.to_datetime(text[carries_offset], format=layout, utc=True, errors="coerce")
        years = absolute.dt.year
        implausible = (years < settings.earliest.year - 1) | (years > latest.year + 1)
        starts[carries_offset] = absolute.dt.as_unit("us").where(~implausible)
        strange[implausible.index[implausible]] = True
    local = pd.to_datetime(text[~carries_offset], format=layout, errors="coerce").dt.as_unit("us")
    # Time zones are defined for plausible years only.
    days = local.dt.year
    strange[local.index] = (days < settings.earliest.year - 1) | (days > latest.year + 1)
    local = local.where(~strange[local.index])
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
    reasons[unreadable] = "start " + original[unreadable] + " cannot be read as " + layout
    day = starts.dt.tz_convert(zone).dt.tz_localize(None)
    outside = strange | (day < pd.Timestamp(settings.earliest))
    outside |= day >= pd.Timestamp(latest) + pd.Timedelta(days=1)
    reasons[outside] = (
        "start " + original[outside] + f" is not from {settings.earliest} to {latest}; "
        "set calls_export.earliest or calls_export.latest if it is right"
    )
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
    if "confirmed" in scored:
        confirmed = path.map(scored["confirmed"]).where(is_scored, False).astype(bool)
        joined.loc[confirmed, "emotion_source"] = "verdict"
    return joined


def _normalize_paths(paths: pd.Series) -> pd.Series:
    return paths.astype(str).str.replace("\\", "/").str.removeprefix("./")


def count_emotions(calls: pd.DataFrame) -> dict[str, int]:
    """Count calls by source of their emotions: ``verdict``, ``recording``, ``generated`` or ``none``."""
    counts = calls["emotion_source"].value_counts()
    return {name: int(counts.get(name, 0)) for name in EMOTION_SOURCES}
