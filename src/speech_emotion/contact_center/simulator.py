"""A generated year of a contact center, to try everything on: no customer called, no agent answered.

A queue is simulated: customers call by season, weekday and hour, wait for an agent on shift, get
angrier the longer they wait and the more often they call about one matter, take longer when angry,
and call again when their matter is not resolved.
"""

from __future__ import annotations

import datetime as dt
import heapq
from typing import Final

import numpy as np
import pandas as pd
from pydantic import Field

from speech_emotion.config import Settings
from speech_emotion.contact_center.calls_table import CALLS, TimeZone

__all__ = ["SimulatorSettings", "attach_recordings", "simulate_calls"]

DAY: Final = 86_400.0
OPENS, CHANGES = 8 * 3600.0, 14 * 3600.0

# Share of contacts, talk in seconds, share with hold, after-call work in seconds, difficulty (logit).
TOPICS: Final = {
    "billing": (0.26, 270, 0.25, 50, 0.0),
    "technical fault": (0.24, 420, 0.45, 80, 0.9),
    "delivery": (0.18, 210, 0.20, 35, 0.2),
    "contract": (0.14, 330, 0.15, 90, -0.3),
    "complaint": (0.10, 390, 0.30, 110, 0.6),
    "password": (0.08, 150, 0.05, 20, -1.2),
}
# Log-odds of anger: the calmest call; a minute of waiting; a further contact; a hard topic; a person.
ANGER: Final = {"base": -3.1, "wait": 0.25, "repeat": 0.9, "topic": 0.6, "person": 0.8}
WEEKDAYS: Final = (1.30, 1.12, 1.0, 0.98, 1.02, 0.45, 0.25)
HOURS: Final = (0.7, 1.2, 1.5, 1.4, 1.0, 0.8, 0.9, 1.1, 1.2, 1.1, 0.7, 0.4)


class SimulatorSettings(Settings):
    """Size and seed of the generated year.

    Attributes:
        first_day: Its first day.
        days: Its length in days.
        calls: About how many calls are made, repeated ones among them.
        agents: Agents, named ``A01`` and so on.
        teams: Teams that the agents belong to, named ``north``, ``south`` and so on.
        time_zone: Time zone of its opening hours.
        seed: Seed of everything that is random.
    """

    first_day: dt.date = dt.date(2026, 1, 1)
    days: int = Field(365, ge=1, le=3660)
    calls: int = Field(50_000, ge=1, le=5_000_000)
    agents: int = Field(12, ge=1, le=999)
    teams: int = Field(3, ge=1, le=4)
    time_zone: TimeZone = "Europe/London"
    seed: int = 0


def simulate_calls(settings: SimulatorSettings | None = None) -> pd.DataFrame:
    """Generate the calls of a year, see :data:`~speech_emotion.contact_center.calls_table.CALLS`.

    Args:
        settings: Size and seed; the same settings give the same calls.
    """
    settings = settings or SimulatorSettings()
    rng = np.random.default_rng(settings.seed)
    contacts = _first_contacts(settings, rng)
    agents = _Agents(settings, rng)
    calls = _simulate(contacts, agents, settings, rng)
    first = pd.Timestamp(settings.first_day)
    local = first + pd.to_timedelta(calls.pop("second").round(), unit="s")
    start = local.dt.tz_localize(
        settings.time_zone, ambiguous=np.ones(len(local), dtype=bool), nonexistent="shift_forward"
    )
    calls["start"] = start.dt.tz_convert("UTC").dt.as_unit("us")
    calls = calls.sort_values(["start", "agent_id"], kind="stable", ignore_index=True)
    calls["call_id"] = [f"G{number:06d}" for number in range(1, len(calls) + 1)]
    known = {"recording": "", "emotion_source": "generated", "synthetic": True}
    return calls.assign(**known)[list(CALLS.columns)]


def _first_contacts(settings: SimulatorSettings, rng: np.random.Generator) -> pd.DataFrame:
    """Draw what makes customers call: seconds of local time since the first day, customer, topic."""
    days = np.arange(settings.days)
    dates = pd.Timestamp(settings.first_day) + pd.to_timedelta(days, unit="D")
    season = 1 + 0.15 * np.cos(2 * np.pi * (dates.day_of_year.to_numpy() - 15) / 365)
    busy = np.asarray(WEEKDAYS)[dates.day_of_week] * season * rng.lognormal(0, 0.12, settings.days)
    size = max(1, round(settings.calls * 0.84))  # the others are repeated contacts
    day = rng.choice(days, size=size, p=busy / busy.sum())
    n_customers = max(1, settings.calls // 4)
    habit = rng.gamma(0.8, size=n_customers)  # some call all the time
    table = pd.DataFrame(
        {
            "arrival": day * DAY + _time_of_day(size, rng),
            "customer": rng.choice(n_customers, size=size, p=habit / habit.sum()),
            "topic": rng.choice(len(TOPICS), size=size, p=[row[0] for row in TOPICS.values()]),
        }
    )
    person = rng.normal(0, ANGER["person"], n_customers)
    return table.assign(person=person[table["customer"]])


def _time_of_day(size: int, rng: np.random.Generator) -> np.ndarray:
    shares = np.asarray(HOURS) / sum(HOURS)
    return OPENS + (rng.choice(len(HOURS), size=size, p=shares) + rng.random(size)) * 3600


class _Agents:
    """Who they are: pace and skill, how both change over the year, and when each is on shift."""

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
        self.optimism = rng.uniform(0.1, 0.35, settings.agents)  # unresolved, noted as resolved
        # Learners get quicker over a year, tired ones slower, most stay as they are.
        self.trend = np.resize([-0.35, 0.0, 0.0, 0.0, 0.2, 0.0, 0.0, -0.2], settings.agents)

    def on_shift(self, day: int, late: bool) -> np.ndarray:
        """Agents of a shift: four days on, two off, early and late in turn by week."""
        number = np.arange(len(self.names))
        works = (number * 5 + day) % 6 < 4
        turn = (number + day // 7) % 2 == int(late)
        chosen = np.flatnonzero(works & turn)
        return chosen if len(chosen) else number


def _simulate(
    contacts: pd.DataFrame,
    agents: _Agents,
    settings: SimulatorSettings,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Send every contact through the queue, in the order of arrival, and repeated ones after it."""
    most = len(contacts) * 3
    luck = rng.random((most, 7))
    noise = rng.normal(size=(most, 4))
    later = _time_of_day(most, rng)
    topics = list(TOPICS.values())
    # Arrival, customer, topic, temper, number of the contact about this matter.
    queue = [(*row, 1) for row in contacts.itertuples(index=False, name=None)]
    heapq.heapify(queue)
    free = np.zeros(len(agents.names))
    end, year = settings.days * DAY, 365 * DAY
    shift: tuple[int, bool] | None = None
    on_shift = np.arange(len(free))
    rows: list[tuple] = []
    while queue and len(rows) < most:
        arrival, customer, topic, person, contact = heapq.heappop(queue)
        if arrival >= end:
            break
        now = (int(arrival // DAY), arrival % DAY >= CHANGES)
        if now != shift:
            shift, on_shift = now, agents.on_shift(*now)
        agent = on_shift[np.argmin(free[on_shift])]
        start = max(arrival, free[agent])
        wait, drift = start - arrival, agents.trend[agent] * (arrival / year - 0.5)
        chance, spread = luck[len(rows)], noise[len(rows)]
        _, talk, hold_share, paperwork, difficulty = topics[topic]
        anger = (
            ANGER["base"]
            + ANGER["wait"] * min(wait / 60, 15)
            + ANGER["repeat"] * (contact - 1)
            + ANGER["topic"] * difficulty
            + person
            - agents.calming[agent]
        )
        angry = chance[0] < 1 / (1 + np.exp(-anger))
        talk_s = talk * np.exp(agents.pace[agent] + drift + 0.45 * spread[0] + 0.2 * angry)
        hold_s = -90 * np.log(1 - chance[1] / hold_share) if chance[1] < hold_share * 0.98 else 0.0
        after_s = paperwork * np.exp(agents.paperwork[agent] + drift + 0.5 * spread[1])
        solved = 1.75 + agents.skill[agent] - drift - 0.8 * difficulty - 0.5 * angry
        resolved = chance[2] < 1 / (1 + np.exp(-solved))
        noted = resolved or chance[3] < agents.optimism[agent]
        # Two seconds apart: starts and durations are rounded, and must not overlap for that.
        free[agent] = start + talk_s + hold_s + after_s + 2
        share = np.clip(0.45 + 0.15 * spread[2], 0.15, 0.95) if angry else 0.04 * abs(spread[2])
        rows.append(
            (
                agent,
                customer,
                start,
                wait,
                talk_s,
                hold_s,
                after_s,
                noted,
                topic,
                angry,
                share,
                chance[4],
            )
        )
        if chance[5] < (0.03 if resolved else 0.72) and contact < 6:
            days_later = 1 + int(-2.0 * np.log(1 - chance[6]))
            again = (now[0] + days_later) * DAY + later[len(rows) - 1]
            heapq.heappush(queue, (again, customer, topic, person, contact + 1))
    return _as_table(rows, agents)


def _as_table(rows: list[tuple], agents: _Agents) -> pd.DataFrame:
    names = ["agent", "customer", "second", "wait_s", "talk_s", "hold_s", "after_call_s"]
    table = pd.DataFrame(rows, columns=[*names, "resolved", "topic", "angry", "share", "doubt"])
    agent = table["agent"].to_numpy(dtype=int)
    topic = table["topic"].to_numpy(dtype=int)
    flag = np.where(table["angry"], "angry", "calm")
    begins = -90 * np.log(1 - table["doubt"] * 0.95)
    result = pd.DataFrame(
        {
            "agent_id": np.asarray(agents.names)[agent],
            "team": np.asarray(agents.teams)[agent],
            "customer_id": [f"C{number:05d}" for number in table["customer"]],
            "second": table["second"],
            "resolved": table["resolved"].astype(bool),
            "topic": np.asarray(list(TOPICS))[topic],
            # As with real recordings, some are too poor to tell.
            "flag": np.where(table["doubt"] > 0.97, "review", flag),
            "angry_share": table["share"].astype(float).round(3),
            "first_angry_s": begins.where(table["angry"] & (begins < table["talk_s"])).round(1),
        }
    )
    for name in ("wait_s", "talk_s", "hold_s", "after_call_s"):
        result[name] = table[name].astype(float).round(1)
    return result.astype({"agent_id": str, "team": str, "topic": str, "flag": str})


def attach_recordings(calls: pd.DataFrame, heard: pd.DataFrame | None) -> pd.DataFrame:
    """Give scored recordings to generated calls of about their length, so that both can be joined.

    Args:
        calls: Generated calls.
        heard: ``call_summary``; ``None`` if none was scored.
    """
    if heard is None or heard.empty:
        return calls
    recordings = heard.drop_duplicates("call").sort_values("call")[: len(calls)]
    by_length = calls["talk_s"].to_numpy().argsort(kind="stable")
    lengths = calls["talk_s"].to_numpy()[by_length]
    place = np.searchsorted(lengths, recordings["minutes"].to_numpy() * 60)
    place = np.clip(place, 0, len(calls) - 1)
    while (same := pd.Series(place).duplicated()).any():
        place = np.where(same, (place + 1) % len(calls), place)
    attached = calls.copy()
    attached.loc[by_length[place], "recording"] = recordings["call"].to_numpy()
    return attached
