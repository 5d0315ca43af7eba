"""Simulate the calls of a contact center, as example data: no customer called, no agent answered.

Customers call depending on season, weekday and hour, and wait in a queue for an agent on shift. The
probability of anger rises with waiting time and with repeated contacts about the same matter. Angry calls
take longer, and customers call again if their matter was not resolved.
"""

from __future__ import annotations

import datetime as dt
import heapq
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from speech_emotion.config import Settings
from speech_emotion.contact_center.calls_table import CALLS, TimeZone

__all__ = ["SimulatorSettings", "attach_recordings", "simulate_calls"]

DAY: Final = 86_400.0
YEAR: Final = 365 * DAY
OPENS, CHANGES = 8 * 3600.0, 14 * 3600.0

# Share of contacts, talk in seconds, share with hold, after-call work in seconds, difficulty (log-odds).
TOPICS: Final = {
    "billing": (0.26, 270, 0.25, 50, 0.0),
    "technical fault": (0.24, 420, 0.45, 80, 0.9),
    "delivery": (0.18, 210, 0.20, 35, 0.2),
    "contract": (0.14, 330, 0.15, 90, -0.3),
    "complaint": (0.10, 390, 0.30, 110, 0.6),
    "password": (0.08, 150, 0.05, 20, -1.2),
}
TOPIC_ROWS: Final = tuple(TOPICS.values())
# Log-odds of anger: baseline; per minute of waiting; per further contact; per difficulty of the topic;
# standard deviation between customers.
ANGER: Final = {"base": -3.1, "wait": 0.25, "repeat": 0.9, "topic": 0.6, "person": 0.8}
WEEKDAYS: Final = (1.30, 1.12, 1.0, 0.98, 1.02, 0.45, 0.25)
HOURS: Final = (0.7, 1.2, 1.5, 1.4, 1.0, 0.8, 0.9, 1.1, 1.2, 1.1, 0.7, 0.4)


class SimulatorSettings(Settings):
    """Size and seed of the simulated data.

    Attributes:
        first_day: First day.
        days: Number of days.
        calls: Approximate number of calls, including repeat calls.
        agents: Number of agents, named ``A01`` and so on.
        teams: Number of teams, named ``north``, ``south`` and so on.
        time_zone: Time zone of the opening hours.
        seed: Seed of the random numbers.
    """

    first_day: dt.date = dt.date(2026, 1, 1)
    days: int = Field(365, ge=1, le=3660)
    calls: int = Field(50_000, ge=1, le=5_000_000)
    agents: int = Field(12, ge=1, le=999)
    teams: int = Field(3, ge=1, le=4)
    time_zone: TimeZone = "Europe/London"
    seed: int = 0


def simulate_calls(settings: SimulatorSettings | None = None) -> pd.DataFrame:
    """Simulate calls, see :data:`~speech_emotion.contact_center.CALLS`.

    Args:
        settings: Size and seed; the same settings give the same calls.

    Example:
        >>> calls = simulate_calls(SimulatorSettings(days=3, calls=50, agents=2))
        >>> calls["agent_id"].unique().tolist(), bool(calls["synthetic"].all())
        (['A01', 'A02'], True)
    """
    settings = settings or SimulatorSettings()
    rng = np.random.default_rng(settings.seed)
    contacts = _first_contacts(settings, rng)
    agents = _Agents(settings, rng)
    calls = _run_queue(contacts, agents, settings, rng)
    first = pd.Timestamp(settings.first_day)
    local = first + pd.to_timedelta(calls.pop("second").round(), unit="s")
    start = local.dt.tz_localize(
        settings.time_zone, ambiguous=np.ones(len(local), dtype=bool), nonexistent="shift_forward"
    )
    calls["start"] = start.dt.tz_convert("UTC").dt.as_unit("us")
    calls = calls.sort_values(["start", "agent_id"], kind="stable", ignore_index=True)
    calls["call_id"] = [f"G{number:06d}" for number in range(1, len(calls) + 1)]
    constants = {"recording": "", "emotion_source": "generated", "synthetic": True}
    return calls.assign(**constants)[list(CALLS.columns)]


def _first_contacts(settings: SimulatorSettings, rng: np.random.Generator) -> pd.DataFrame:
    """Draw first contacts: arrival in seconds of local time since the first day, customer, topic."""
    days = np.arange(settings.days)
    dates = pd.Timestamp(settings.first_day) + pd.to_timedelta(days, unit="D")
    season = 1 + 0.15 * np.cos(2 * np.pi * (dates.day_of_year.to_numpy() - 15) / 365)
    busy = np.asarray(WEEKDAYS)[dates.day_of_week] * season * rng.lognormal(0, 0.12, settings.days)
    size = max(1, round(settings.calls * 0.84))  # the rest are repeat calls
    day = rng.choice(days, size=size, p=busy / busy.sum())
    n_customers = max(1, settings.calls // 4)
    habit = rng.gamma(0.8, size=n_customers)  # a few customers call often
    table = pd.DataFrame(
        {
            "arrival": day * DAY + _time_of_day(size, rng),
            "customer": rng.choice(n_customers, size=size, p=habit / habit.sum()),
            "topic": rng.choice(len(TOPICS), size=size, p=[row[0] for row in TOPICS.values()]),
        }
    )
    temper = rng.normal(0, ANGER["person"], n_customers)
    return table.assign(temper=temper[table["customer"]])


def _time_of_day(size: int, rng: np.random.Generator) -> np.ndarray:
    shares = np.asarray(HOURS) / sum(HOURS)
    return OPENS + (rng.choice(len(HOURS), size=size, p=shares) + rng.random(size)) * 3600


class _Agents:
    """Properties of the agents, their trend over the year, and their shifts."""

    def __init__(self, settings: SimulatorSettings, rng: np.random.Generator) -> None:
        self.names = [f"A{number:02d}" for number in range(1, settings.agents + 1)]
        teams = ["north", "south", "east", "west"][: settings.teams]
        self.teams = [teams[number % len(teams)] for number in range(settings.agents)]
        team_skill = rng.normal(0, 0.15, settings.teams)
        self.pace = rng.normal(0, 0.13, settings.agents)  # log of relative talk time
        self.skill = (
            rng.normal(0, 0.35, settings.agents)
            + team_skill[np.arange(settings.agents) % settings.teams]
        )
        self.calming = rng.normal(0, 0.3, settings.agents)
        self.paperwork = rng.normal(0, 0.3, settings.agents)  # log of relative after-call work
        self.optimism = rng.uniform(
            0.1, 0.35, settings.agents
        )  # share of unresolved calls entered as resolved
        # Log of the relative change of handle time over a year: some agents improve, some get slower.
        self.trend = np.resize([-0.35, 0.0, 0.0, 0.0, 0.2, 0.0, 0.0, -0.2], settings.agents)

    def on_shift(self, day: int, late: bool) -> np.ndarray:
        """Return the agents on shift: four days on, two off; early and late shift alternate by week."""
        number = np.arange(len(self.names))
        works_today = (number * 5 + day) % 6 < 4
        has_shift = (number + day // 7) % 2 == int(late)
        on_shift = np.flatnonzero(works_today & has_shift)
        return on_shift if len(on_shift) else number


class _Draws(NamedTuple):
    """Random numbers of each call, drawn in advance."""

    uniform: np.ndarray  # (n_calls, 7)
    normal: np.ndarray  # (n_calls, 4)
    time_of_day: np.ndarray  # (n_calls,)


class _Contact(NamedTuple):
    """One contact in the queue; ordered by arrival."""

    arrival: float
    customer: int
    topic: int
    temper: float
    number: int  # of the contact about this matter, from 1


def _run_queue(
    contacts: pd.DataFrame,
    agents: _Agents,
    settings: SimulatorSettings,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Assign contacts to agents in order of arrival; repeat calls join the queue."""
    limit = len(contacts) * 3
    draws = _Draws(rng.random((limit, 7)), rng.normal(size=(limit, 4)), _time_of_day(limit, rng))
    queue = [_Contact._make((*row, 1)) for row in contacts.itertuples(index=False, name=None)]
    heapq.heapify(queue)
    free_at = np.zeros(len(agents.names))
    shift: tuple[int, bool] | None = None
    on_shift = np.arange(len(free_at))
    rows: list[tuple] = []
    while queue and len(rows) < limit:
        contact = heapq.heappop(queue)
        if contact.arrival >= settings.days * DAY:
            break
        day, second = int(contact.arrival // DAY), contact.arrival % DAY
        if (day, second >= CHANGES) != shift:
            shift = day, second >= CHANGES
            on_shift = agents.on_shift(*shift)
        agent = on_shift[np.argmin(free_at[on_shift])]
        start = max(contact.arrival, free_at[agent])
        number = len(rows)
        row, busy_s, resolved = _handle(contact, agent, start, agents, draws, number)
        free_at[agent] = start + busy_s
        rows.append(row)
        chance = draws.uniform[number]
        if chance[5] < (0.03 if resolved else 0.72) and contact.number < 6:
            days_later = 1 + int(-2.0 * np.log(1 - chance[6]))
            arrival = (day + days_later) * DAY + draws.time_of_day[number]
            heapq.heappush(queue, contact._replace(arrival=arrival, number=contact.number + 1))
    return _as_table(rows, agents)


def _handle(
    contact: _Contact,
    agent: int,
    start: float,
    agents: _Agents,
    draws: _Draws,
    number: int,
) -> tuple[tuple, float, bool]:
    """Simulate one call: row of the table, seconds until the agent is free, whether it is resolved."""
    chance, spread = draws.uniform[number], draws.normal[number]
    _, talk, hold_share, paperwork, difficulty = TOPIC_ROWS[contact.topic]
    wait, drift = start - contact.arrival, agents.trend[agent] * (contact.arrival / YEAR - 0.5)
    anger = (
        ANGER["base"]
        + ANGER["wait"] * min(wait / 60, 15)
        + ANGER["repeat"] * (contact.number - 1)
        + ANGER["topic"] * difficulty
        + contact.temper
        - agents.calming[agent]
    )
    angry = chance[0] < 1 / (1 + np.exp(-anger))
    talk_s = talk * np.exp(agents.pace[agent] + drift + 0.45 * spread[0] + 0.2 * angry)
    hold_s = -90 * np.log(1 - chance[1] / hold_share) if chance[1] < hold_share * 0.98 else 0.0
    after_s = paperwork * np.exp(agents.paperwork[agent] + drift + 0.5 * spread[1])
    solved = 1.75 + agents.skill[agent] - drift - 0.8 * difficulty - 0.5 * angry
    resolved = chance[2] < 1 / (1 + np.exp(-solved))
    entered = resolved or chance[3] < agents.optimism[agent]
    share = np.clip(0.45 + 0.15 * spread[2], 0.15, 0.95) if angry else 0.04 * abs(spread[2])
    row = (
        agent,
        contact.customer,
        start,
        wait,
        talk_s,
        hold_s,
        after_s,
        entered,
        contact.topic,
        angry,
        share,
        chance[4],
    )
    # Two seconds between calls, so that they do not overlap after starts and durations are rounded.
    return row, talk_s + hold_s + after_s + 2, bool(resolved)


def _as_table(rows: list[tuple], agents: _Agents) -> pd.DataFrame:
    names = ["agent", "customer", "second", "wait_s", "talk_s", "hold_s", "after_call_s"]
    table = pd.DataFrame(rows, columns=[*names, "resolved", "topic", "angry", "share", "doubt"])
    agent = table["agent"].to_numpy(dtype=int)
    topic = table["topic"].to_numpy(dtype=int)
    flag = np.where(table["angry"], "angry", "not_flagged")
    begins = -90 * np.log(1 - table["doubt"] * 0.95)
    result = pd.DataFrame(
        {
            "agent_id": np.asarray(agents.names)[agent],
            "team": np.asarray(agents.teams)[agent],
            "queue": "",
            "direction": "",
            "customer_id": [f"C{number:05d}" for number in table["customer"]],
            "second": table["second"],
            "resolved": table["resolved"].astype(bool),
            "topic": np.asarray(list(TOPICS))[topic],
            # Like real recordings, a few have too little quality to be scored.
            "flag": np.where(table["doubt"] > 0.97, "review", flag),
            "angry_share": table["share"].astype(float).round(3),
            "first_angry_s": begins.where(table["angry"] & (begins < table["talk_s"])).round(1),
        }
    )
    for name in ("wait_s", "talk_s", "hold_s", "after_call_s"):
        result[name] = table[name].astype(float).round(1)
    return result.astype({"agent_id": str, "team": str, "topic": str, "flag": str})


def attach_recordings(calls: pd.DataFrame, call_summary: pd.DataFrame | None) -> pd.DataFrame:
    """Assign scored recordings to simulated calls of similar length, so that both can be joined.

    Args:
        calls: Simulated calls.
        call_summary: One row per recording and scored channel; ``None`` if no recording was scored.
    """
    if call_summary is None or call_summary.empty:
        return calls
    recordings = call_summary.drop_duplicates("call").sort_values("call")[: len(calls)]
    by_length = calls["talk_s"].to_numpy().argsort(kind="stable")
    lengths = calls["talk_s"].to_numpy()[by_length]
    position = np.searchsorted(lengths, recordings["minutes"].to_numpy() * 60)
    position = np.clip(position, 0, len(calls) - 1)
    while (duplicated := pd.Series(position).duplicated()).any():
        position = np.where(duplicated, (position + 1) % len(calls), position)
    attached = calls.copy()
    attached.loc[by_length[position], "recording"] = recordings["call"].to_numpy()
    return attached
