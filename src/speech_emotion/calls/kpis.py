"""Key figures of a call centre, each with its count and an interval.

AHT is the mean of talk, hold and after-call work over the calls handled. FCR is the share of calls that
were resolved at first contact: noted as resolved, with no call of the same customer about the same
topic within the repeat window before or after. Near both ends of the data that window cannot be seen
whole, so such calls count for neither side of FCR and repeat rate, and their number is said.

Intervals are 95 %: of shares after Wilson (JASA 22, 1927), of means from a Bayesian bootstrap over
customers (Rubin, Annals of Statistics 9, 1981), whose calls are not independent.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from scipy import sparse

from speech_emotion.calls.centre import TimeZone

__all__ = [
    "DIMENSIONS",
    "SHARES",
    "CallSelection",
    "KpiSettings",
    "NoCalls",
    "UnknownAgent",
    "add_kpi_columns",
    "choose_grain",
    "customer_weights",
    "kpi_breakdown",
    "kpi_series",
    "kpi_table",
    "select_period",
    "team_of",
    "wilson_interval",
]

SHARES: Final = ("fcr", "angry", "repeat")
DIMENSIONS: Final = ("agent", "team", "topic", "hour", "weekday", "month", "week", "day")
GRAINS: Final = ("day", "week", "month")
Z95: Final = 1.959963984540054


class NoCalls(ValueError):
    """There are no calls where some were asked for."""


class UnknownAgent(ValueError):
    """An agent was asked for who handled no call at all."""


class KpiSettings(BaseModel):
    """How key figures are computed.

    Attributes:
        time_zone: The centre's time zone: hours, days and months are its local ones.
        repeat_days: Repeat window in days of 24 hours, from start to start.
        same_topic: Whether only a call about the same topic is a repeat.
        fcr_of: ``calls``: FCR is the share of all calls; ``first_contacts``: of those that are no
            repeat themselves.
        min_calls: Figures of fewer calls are marked as small and drawn in grey.
        resamples: Bootstrap resamples behind each interval of a mean.
        seed: Seed of the bootstrap.
        target_aht_s: Target of AHT in seconds.
        target_fcr: Target of FCR.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_zone: TimeZone = "Europe/London"
    repeat_days: float = Field(7.0, gt=0, le=90)
    same_topic: bool = True
    fcr_of: Literal["calls", "first_contacts"] = "calls"
    min_calls: int = Field(30, ge=1)
    resamples: int = Field(400, ge=100)
    seed: int = 0
    target_aht_s: float = Field(480.0, gt=0)
    target_fcr: float = Field(0.70, gt=0, lt=1)


class CallSelection(BaseModel):
    """Which agents and which period are looked at.

    Attributes:
        agent_id: An agent, several as ``A01;A07``, or ``None`` for the centre as a whole.
        from_: First local day; ``None`` for the first of the data. Written ``from``.
        to: Last local day, which is included; ``None`` for the last of the data.
        grain: Length of a period of a series; ``auto`` chooses by the length of all.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, coerce_numbers_to_str=True
    )

    agent_id: str | None = None
    from_: dt.date | None = Field(None, alias="from")
    to: dt.date | None = None
    grain: Literal["auto", "day", "week", "month"] = "auto"

    @field_validator("agent_id")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return value or None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> CallSelection:
        if self.from_ and self.to and self.to < self.from_:
            raise ValueError(f"to={self.to} lies before from={self.from_}")
        return self

    @property
    def agents(self) -> list[str]:
        """The agents, each once, in the order they were named."""
        names = [name.strip() for name in (self.agent_id or "").split(";")]
        return list(dict.fromkeys(name for name in names if name))


def add_kpi_columns(calls: pd.DataFrame, settings: KpiSettings) -> pd.DataFrame:
    """Add what key figures are made of; to be done on all calls, before any are selected.

    Args:
        calls: See :data:`~speech_emotion.calls.centre.CALLS`.
        settings: Time zone and repeat window.

    Returns:
        The calls with ``agent`` (as ``agent_id``), ``handle_s``; ``repeat`` (the customer had called
        within the window before), ``came_back`` (called within the window after), ``fcr`` and
        ``angry`` as 0 or 1, missing where not known; and the local ``date``, ``hour``, ``weekday``,
        ``day``, ``week`` and ``month`` (the last three by their first day).
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
        angry=(calls["flag"] == "angry").astype(float).where(calls["flag"].isin(["angry", "calm"])),
        hour=local.dt.hour,
        weekday=local.dt.day_of_week,
        day=day,
        week=day - pd.to_timedelta(local.dt.day_of_week, unit="D"),
        month=day - pd.to_timedelta(local.dt.day - 1, unit="D"),
    )


def select_period(calls: pd.DataFrame, selection: CallSelection) -> pd.DataFrame:
    """Select the calls of a period, of all agents, and check that the asked ones have some.

    Args:
        calls: From :func:`add_kpi_columns`.
        selection: Agents and period.

    Raises:
        UnknownAgent: If an agent handled no call at all.
        NoCalls: If the period holds no call, or none of an asked agent.
    """
    if calls.empty:
        raise NoCalls(
            "There are no calls at all: see rejected_calls for what was left out, and why"
        )
    known = sorted(calls["agent_id"].unique())
    for agent in selection.agents:
        if agent not in known:
            shown = ", ".join(known[:30]) + (", …" if len(known) > 30 else "")
            raise UnknownAgent(f"Agent {agent!r} handled no call; agent_id is one of {shown}")
    first, last = calls["day"].min(), calls["day"].max()
    begin = first if selection.from_ is None else pd.Timestamp(selection.from_)
    end = last if selection.to is None else pd.Timestamp(selection.to)
    chosen = calls[(calls["day"] >= begin) & (calls["day"] <= end)]
    span = f"from {begin:%Y-%m-%d} to {end:%Y-%m-%d}"
    if chosen.empty:
        raise NoCalls(f"No call {span}; the data reach from {first:%Y-%m-%d} to {last:%Y-%m-%d}")
    for agent in selection.agents:
        if agent not in set(chosen["agent_id"]):
            own = calls.loc[calls["agent_id"] == agent, "day"]
            raise NoCalls(
                f"Agent {agent} handled no call {span}, but some from {own.min():%Y-%m-%d} "
                f"to {own.max():%Y-%m-%d}"
            )
    return chosen


def team_of(calls: pd.DataFrame, agent: str) -> str:
    """Return the team of most of an agent's calls."""
    return str(calls.loc[calls["agent_id"] == agent, "team"].mode().iloc[0])


def choose_grain(calls: pd.DataFrame, selection: CallSelection) -> str:
    """Return the length of a series' periods: days up to a month, weeks up to a year."""
    if selection.grain != "auto":
        return selection.grain
    days = (calls["day"].max() - calls["day"].min()).days + 1
    return "day" if days <= 31 else "week" if days <= 371 else "month"


def wilson_interval(hits: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of shares ``hits / n`` after Wilson; missing where ``n`` is 0."""
    hits, n = np.asarray(hits, dtype=float), np.asarray(n, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        share, weight = hits / n, Z95**2 / n
        centre = (share + weight / 2) / (1 + weight)
        half = Z95 * np.sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def customer_weights(
    n_customers: int, resamples: int, seed: int, *, block: int | None = None
) -> Iterator[np.ndarray]:
    """Draw Bayesian bootstrap weights, shape ``(n_customers, at most block)`` at a time.

    Args:
        n_customers: Number of customers.
        resamples: Number of resamples in all.
        seed: Seed.
        block: Resamples drawn at once; ``None`` for as many as take some 40 MB.
    """
    rng = np.random.default_rng(seed)
    block = block or max(1, 10_000_000 // max(1, n_customers))
    for start in range(0, resamples, block):
        size = (n_customers, min(block, resamples - start))
        yield rng.standard_exponential(size, dtype=np.float32)


def kpi_table(calls: pd.DataFrame, by: Sequence[str], settings: KpiSettings) -> pd.DataFrame:
    """Compute the key figures of groups of calls.

    Args:
        calls: From :func:`add_kpi_columns` or :func:`select_period`.
        by: Columns that group them; none for all calls together.
        settings: Bootstrap and smallest count.

    Returns:
        One row a group: ``by``, ``n_calls``, ``n_customers``; ``aht_s``, and ``fcr``, ``angry`` and
        ``repeat`` with the number of calls each share rests on (``n_fcr``…); each with ``_low`` and
        ``_high``; ``small``. The interval of a mean is missing where there is one customer only.
    """
    code = calls.groupby(list(by), sort=True).ngroup() if by else pd.Series(0, index=calls.index)
    grouped = calls.groupby(code, sort=True)
    table = grouped[list(by)].first() if by else pd.DataFrame(index=[0])
    table["n_calls"] = grouped.size()
    table["n_customers"] = grouped["customer_id"].nunique()
    table["aht_s"] = grouped["handle_s"].mean()
    table["aht_s_low"], table["aht_s_high"] = _mean_interval(calls, code.to_numpy(), settings)
    lonely = table["n_customers"] < 2
    table.loc[lonely, ["aht_s_low", "aht_s_high"]] = np.nan
    for name in SHARES:
        hits, n = grouped[name].sum(), grouped[name].count()
        table[f"n_{name}"] = n
        table[name] = (hits / n).where(n > 0)
        table[f"{name}_low"], table[f"{name}_high"] = wilson_interval(hits, n)
    table["small"] = table["n_calls"] < settings.min_calls
    return table.reset_index(drop=True)


def _mean_interval(
    calls: pd.DataFrame, group: np.ndarray, settings: KpiSettings
) -> tuple[np.ndarray, np.ndarray]:
    customer, names = pd.factorize(calls["customer_id"])
    shape = (int(group.max()) + 1, len(names))
    place = (group, customer)
    seconds = sparse.coo_matrix((calls["handle_s"].to_numpy(), place), shape=shape).tocsr()
    counts = sparse.coo_matrix((np.ones(len(calls)), place), shape=shape).tocsr()
    means = [
        (seconds @ weights) / (counts @ weights)
        for weights in customer_weights(len(names), settings.resamples, settings.seed)
    ]
    low, high = np.percentile(np.hstack(means), [2.5, 97.5], axis=1)
    return low, high


def _scopes(calls: pd.DataFrame, agents: Sequence[str]) -> dict[str, pd.DataFrame]:
    scopes = {"centre": calls}
    for agent in agents:
        team = team_of(calls, agent)
        if team:
            scopes[f"team {team}"] = calls[calls["team"] == team]
    for agent in agents:
        scopes[agent] = calls[calls["agent_id"] == agent]
    return scopes


def kpi_breakdown(
    calls: pd.DataFrame, agents: Sequence[str], settings: KpiSettings
) -> pd.DataFrame:
    """Compute the key figures of the centre, the agents' teams and the agents, each by everything.

    Args:
        calls: From :func:`select_period`.
        agents: Agents that are looked at.
        settings: Bootstrap and smallest count.

    Returns:
        ``scope`` (``centre``, ``team NAME`` or the agent), ``by`` (``all`` or one of
        :data:`DIMENSIONS`), ``value``, and the columns of :func:`kpi_table`.
    """
    parts = []
    for scope, own in _scopes(calls, agents).items():
        for by in ("all", *DIMENSIONS):
            if (by == "agent" and scope != "centre") or (by == "team" and scope != "centre"):
                continue
            table = kpi_table(own, [] if by == "all" else [by], settings)
            value = table.pop(by) if by != "all" else pd.Series("all", index=table.index)
            if by in GRAINS:
                value = value.dt.strftime("%Y-%m-%d")
            table.insert(0, "value", value.astype(str))
            table.insert(0, "by", by)
            table.insert(0, "scope", scope)
            parts.append(table)
    return pd.concat(parts, ignore_index=True)


def kpi_series(
    calls: pd.DataFrame, agents: Sequence[str], grain: str, settings: KpiSettings
) -> pd.DataFrame:
    """Compute the key figures over time of the centre, the agents' teams and the agents.

    Args:
        calls: From :func:`select_period`.
        agents: Agents that are looked at.
        grain: ``day``, ``week`` or ``month``.
        settings: Bootstrap and smallest count.

    Returns:
        ``scope``, ``period`` (its first local day) and the columns of :func:`kpi_table`. Every scope
        has every period from the first to the last; one without calls has 0 of them and no figures.
    """
    steps = {"day": "D", "week": "7D", "month": "MS"}
    periods = pd.date_range(calls[grain].min(), calls[grain].max(), freq=steps[grain])
    parts = []
    for scope, own in _scopes(calls, agents).items():
        table = kpi_table(own, [grain], settings).set_index(grain).reindex(periods)
        table = table.rename_axis("period").reset_index()
        table.insert(0, "scope", scope)
        counts = [name for name in table.columns if name.startswith("n_")]
        table[counts] = table[counts].fillna(0).astype(int)
        table["small"] = table["n_calls"] < settings.min_calls
        parts.append(table)
    return pd.concat(parts, ignore_index=True)
