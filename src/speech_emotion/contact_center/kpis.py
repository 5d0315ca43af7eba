"""Definition of the KPIs, and selection of the calls they are computed from.

AHT is the mean of talk, hold and after-call work over handled calls. FCR is the share of calls resolved at
first contact: marked as resolved, without another call of the same customer about the same topic within
the repeat window before or after. Near both ends of the data the repeat window is incomplete, so these
calls are excluded from FCR and repeat rate.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import pandas as pd
from pydantic import ConfigDict, Field, field_validator, model_validator

from speech_emotion.config import Settings
from speech_emotion.contact_center.calls_table import TimeZone

__all__ = [
    "CallSelection",
    "KpiSettings",
    "NoCalls",
    "UnknownAgent",
    "add_kpi_columns",
    "choose_grain",
    "select_period",
    "team_of",
]


class NoCalls(ValueError):
    """The selection contains no calls."""


class UnknownAgent(ValueError):
    """The requested agent handled no call."""


class KpiSettings(Settings):
    """How KPIs are computed.

    Attributes:
        time_zone: Time zone of the contact center; hours, days and months are local.
        repeat_days: Repeat window in days of 24 hours, from start to start.
        same_topic: Whether only a call about the same topic is a repeat.
        fcr_of: ``calls``: FCR is a share of all calls; ``first_contacts``: of calls that are not
            repeats themselves.
        min_calls: Metrics of fewer calls are marked as small and drawn in gray.
        resamples: Number of bootstrap resamples for intervals of means.
        seed: Seed of the bootstrap.
        target_aht_s: Target of AHT in seconds.
        target_fcr: Target of FCR.

    Example:
        >>> KpiSettings(time_zone="Europe/Berlin", repeat_days=3).repeat_days
        3.0
    """

    time_zone: TimeZone = "Europe/London"
    repeat_days: float = Field(7.0, gt=0, le=90)
    same_topic: bool = True
    fcr_of: Literal["calls", "first_contacts"] = "calls"
    min_calls: int = Field(30, ge=1)
    resamples: int = Field(400, ge=100, le=100_000)
    seed: int = 0
    target_aht_s: float = Field(480.0, gt=0)
    target_fcr: float = Field(0.70, gt=0, lt=1)


class CallSelection(Settings):
    """Selected agents and period.

    Attributes:
        agent_id: An agent, several as ``A01;A07``, or ``None`` for the whole contact center.
        team: A team, instead of agents.
        from_: First local day; ``None`` for the first of the data. Written ``from``.
        to: Last local day, inclusive; ``None`` for the last of the data.
        grain: Length of the periods of a series; ``auto`` depends on the length of the selection.

    Example:
        >>> CallSelection(agent_id="A01;A07", to="2026-06-30").agents
        ['A01', 'A07']
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, coerce_numbers_to_str=True
    )

    agent_id: str | None = None
    team: str | None = None
    from_: dt.date | None = Field(None, alias="from")
    to: dt.date | None = None
    grain: Literal["auto", "day", "week", "month"] = "auto"

    @field_validator("agent_id", "team")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return value or None

    @model_validator(mode="after")
    def _check_order(self) -> CallSelection:
        if self.from_ and self.to and self.to < self.from_:
            raise ValueError(f"to={self.to} lies before from={self.from_}")
        if self.agent_id and self.team:
            raise ValueError("give agent_id or team, not both")
        return self

    @property
    def agents(self) -> list[str]:
        """The agents in the given order, without duplicates."""
        names = [name.strip() for name in (self.agent_id or "").split(";")]
        return list(dict.fromkeys(name for name in names if name))

    @property
    def title(self) -> str:
        """What is selected, for people.

        Example:
            >>> CallSelection(team="north").title, CallSelection(agent_id="A01;A07").title
            ('team north', 'A01 and A07')
        """
        if self.team:
            return f"team {self.team}"
        return " and ".join(self.agents) or "the contact center"

    def of(self, calls: pd.DataFrame) -> pd.DataFrame:
        """Return the calls of the selected agents or team; all calls if none is selected."""
        if self.team:
            return calls[calls["team"] == self.team]
        return calls[calls["agent_id"].isin(self.agents)] if self.agents else calls


def add_kpi_columns(calls: pd.DataFrame, settings: KpiSettings) -> pd.DataFrame:
    """Add the columns that KPIs are computed from. Apply this to all calls, before any selection.

    Args:
        calls: See :data:`~speech_emotion.contact_center.calls_table.CALLS`.
        settings: Time zone and repeat window.

    Returns:
        The calls with ``agent`` (same as ``agent_id``) and ``handle_s``; ``repeat`` (the customer
        called within the window before), ``came_back`` (called within the window after), ``fcr`` and
        ``angry`` as 0 or 1, NaN if unknown; and the local ``hour``, ``weekday``, ``day``, ``week`` and
        ``month`` (the last three as their first day).
    """
    local = calls["start"].dt.tz_convert(settings.time_zone).dt.tz_localize(None)
    day = local.dt.normalize()
    window = pd.Timedelta(days=settings.repeat_days)
    keys = ["customer_id", "topic"] if settings.same_topic else ["customer_id"]
    by_customer = calls.sort_values("start", kind="stable").groupby(keys, sort=False)["start"]
    before = (calls["start"] - by_customer.shift(1)) <= window
    after = (by_customer.shift(-1) - calls["start"]) <= window
    seen_before = calls["start"] - window >= calls["start"].min()
    seen_after = calls["start"] + window <= calls["start"].max()
    fcr = (calls["resolved"] & ~before & ~after).astype(float)
    counted = seen_before & seen_after
    if settings.fcr_of == "first_contacts":
        counted &= ~before
    return calls.assign(
        agent=calls["agent_id"],
        handle_s=calls["talk_s"] + calls["hold_s"] + calls["after_call_s"],
        repeat=before.astype(float).where(seen_before),
        came_back=after.astype(float).where(seen_after),
        fcr=fcr.where(counted),
        angry=(calls["flag"] == "angry")
        .astype(float)
        .where(calls["flag"].isin(["angry", "not_flagged"])),
        hour=local.dt.hour,
        weekday=local.dt.day_of_week,
        day=day,
        week=day - pd.to_timedelta(local.dt.day_of_week, unit="D"),
        month=day - pd.to_timedelta(local.dt.day - 1, unit="D"),
    )


def select_period(calls: pd.DataFrame, selection: CallSelection) -> pd.DataFrame:
    """Select the calls of a period, of all agents, and check that the selected agents have calls.

    Args:
        calls: From :func:`add_kpi_columns`.
        selection: Agents and period.

    Raises:
        UnknownAgent: If a selected agent or team handled no call.
        NoCalls: If the period contains no call, or none of a selected agent.
    """
    if calls.empty:
        raise NoCalls(
            "There are no calls; rejected_calls lists the rejected rows of the export with reasons"
        )
    known = sorted(calls["agent_id"].unique())
    for agent in selection.agents:
        if agent not in known:
            shown = ", ".join(known[:30]) + (", …" if len(known) > 30 else "")
            raise UnknownAgent(f"Agent {agent!r} handled no call; agent_id is one of {shown}")
    if selection.team and selection.team not in set(calls["team"]):
        teams = ", ".join(sorted(filter(None, calls["team"].unique())))
        raise UnknownAgent(f"Team {selection.team!r} handled no call; team is one of {teams}")
    first, last = calls["day"].min(), calls["day"].max()
    begin = first if selection.from_ is None else pd.Timestamp(selection.from_)
    end = last if selection.to is None else pd.Timestamp(selection.to)
    chosen = calls[(calls["day"] >= begin) & (calls["day"] <= end)]
    span = f"from {begin:%Y-%m-%d} to {end:%Y-%m-%d}"
    if chosen.empty:
        raise NoCalls(f"No call {span}; the data cover {first:%Y-%m-%d} to {last:%Y-%m-%d}")
    for agent in selection.agents:
        if agent not in set(chosen["agent_id"]):
            days = calls.loc[calls["agent_id"] == agent, "day"]
            raise NoCalls(
                f"Agent {agent} handled no call {span}, only from {days.min():%Y-%m-%d} "
                f"to {days.max():%Y-%m-%d}"
            )
    if selection.team and selection.of(chosen).empty:
        raise NoCalls(f"Team {selection.team} handled no call {span}")
    return chosen


def team_of(calls: pd.DataFrame, agent: str) -> str:
    """Return the most frequent team of an agent's calls."""
    return str(calls.loc[calls["agent_id"] == agent, "team"].mode().iloc[0])


def choose_grain(calls: pd.DataFrame, selection: CallSelection) -> str:
    """Return the selected length of periods, or one that fits: days up to a month, weeks up to a year."""
    if selection.grain != "auto":
        return selection.grain
    days = (calls["day"].max() - calls["day"].min()).days + 1
    return "day" if days <= 31 else "week" if days <= 371 else "month"
