"""Pages about a contact center: the KPI report and the sonification."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from speech_emotion.clock import format_clock
from speech_emotion.contact_center import (
    OUTCOMES,
    CallSelection,
    KpiSettings,
    KpiSound,
    angry_calls,
    bin_of_note,
    count_emotions,
    kpi_table,
    note_name,
    scale_notes,
)
from speech_emotion.reporting.kpis.figures import AGENT_COLORS, CENTER_COLOR, TITLES, calls_note
from speech_emotion.reporting.plotting import row_interval
from speech_emotion.reporting.rendering import (
    figure_html,
    page_script,
    read_template,
    template,
)
from speech_emotion.runtime import safe_name

__all__ = ["KpiEvidence", "explorer_page", "kpi_page", "sound_page"]

MAX_NAME: Final = 150  # characters of the name of a page
LISTED: Final = 100  # rows of a table on the page; the CSV file has all
EXPLORED: Final = 3000  # angry calls on the page with pickers
# Edges of the chart in units of its viewBox.
LEFT, TOP, RIGHT, BOTTOM = 80.0, 20.0, 980.0, 400.0
MARKS: Final = 9  # maximal number of labels per axis


@dataclass(frozen=True)
class KpiEvidence:
    """Tables and settings that the KPI report quotes.

    Attributes:
        calls: From :func:`~speech_emotion.contact_center.kpis.select_period`.
        rejected: Rejected rows of the export.
        breakdown: From :func:`~speech_emotion.contact_center.kpi_tables.kpi_breakdown`.
        effects: From :func:`~speech_emotion.contact_center.effects.anger_effects`.
        angry_calls: From :func:`~speech_emotion.contact_center.kpi_tables.angry_calls`.
        selection: Selected agents or team, and period.
        settings: Settings of the KPIs.
    """

    calls: pd.DataFrame
    rejected: pd.DataFrame
    breakdown: pd.DataFrame
    effects: pd.DataFrame
    angry_calls: pd.DataFrame
    selection: CallSelection
    settings: KpiSettings

    @property
    def name(self) -> str:
        """Name of the page's file: what is selected, and the days."""
        first, last = self.calls["day"].min(), self.calls["day"].max()
        if agents := self.selection.agents:
            chosen = "+".join(map(safe_name, agents))
            chosen = chosen if len(chosen) <= MAX_NAME else safe_name(chosen)
        else:
            chosen = f"team_{safe_name(self.selection.team)}" if self.selection.team else "center"
        return f"{chosen}_{first:%Y-%m-%d}_{last:%Y-%m-%d}"

    @property
    def synthetic(self) -> bool:
        """Whether any call is generated."""
        return bool(self.calls["synthetic"].any())

    def to_dict(self) -> dict[str, str]:
        """Return the data basis of the KPIs by name."""
        calls, settings = self.calls, self.settings
        emotions = count_emotions(calls)
        undecided = int(calls["fcr"].isna().sum())
        topic = " about the same topic" if settings.same_topic else ""
        unsure = int((calls["flag"] == "review").sum())
        of = "all calls" if settings.fcr_of == "calls" else "first contacts"
        return {
            "calls": calls_note(calls),
            "agents and teams": f"{calls['agent_id'].nunique()} and {calls['team'].nunique()}",
            "time zone": settings.time_zone,
            "emotions": f"{emotions['verdict']:,} by verdicts of reviewers, "
            f"{emotions['recording']:,} from recordings, {emotions['generated']:,} generated, "
            f"{emotions['none']:,} unknown; {unsure:,} uncertain, therefore not counted "
            "(flag review)",
            "repeat": f"the same customer called{topic} within {settings.repeat_days:g} days",
            "FCR": f"of {of}; {undecided:,} calls are excluded"
            + (
                " (repeats, and calls whose repeat window is not completely within the data)"
                if settings.fcr_of == "first_contacts"
                else " whose repeat window is not completely within the data"
            ),
            "intervals": "95 %: Wilson intervals for shares, bootstrap over customers for AHT",
            "rejected": f"{len(self.rejected):,} rows of the export",
        }

    def tiles(self) -> list[dict[str, str]]:
        """Return the KPIs of the selection against their targets."""
        settings = self.settings
        row = kpi_table(self.selection.of(self.calls), [], settings).iloc[0].to_dict()
        target_s, target = settings.target_aht_s, settings.target_fcr
        low, high = format_clock(row["aht_s_low"]), format_clock(row["aht_s_high"])
        return [
            {"name": "calls", "value": f"{row['n_calls']:,}", "note": "", "state": ""},
            {
                "name": "AHT",
                "value": format_clock(row["aht_s"]),
                "note": f"[{low}, {high}], target {format_clock(target_s)}",
                "state": _state(target_s - row["aht_s_high"], row["aht_s_low"] - target_s),
            },
            {
                "name": "FCR",
                "value": row_interval(row, "fcr").split(" ")[0],
                "note": ", ".join(
                    filter(
                        None, [row_interval(row, "fcr").partition(" ")[2], f"target {target:.0%}"]
                    )
                ),
                "state": _state(row["fcr_low"] - target, target - row["fcr_high"]),
            },
            {
                "name": "angry calls",
                "value": row_interval(row, "angry").split(" ")[0],
                "note": row_interval(row, "angry").partition(" ")[2] + _confirmed(row["confirmed"]),
                "state": "",
            },
        ]

    @property
    def has_verdicts(self) -> bool:
        """Whether reviewers have judged any of the calls."""
        return bool((self.calls["emotion_source"] == "verdict").any())

    def overall(self) -> list[dict[str, Any]]:
        """Return the KPIs of the contact center, the teams and the agents."""
        rows = self.breakdown
        return rows[rows["by"] == "all"].to_dict("records")

    def dimensions(self) -> list[str]:
        """Return what the KPIs are listed by: agent, team, topic, and queue and direction if known."""
        known = set(self.breakdown["by"])
        return [name for name in ("agent", "team", "topic", "queue", "direction") if name in known]

    def by(self, dimension: str) -> list[dict[str, Any]]:
        """Return the KPIs of the contact center by one of the :meth:`dimensions`."""
        rows = self.breakdown
        return rows[(rows["scope"] == "center") & (rows["by"] == dimension)].to_dict("records")

    def answers(self) -> list[dict[str, str]]:
        """Return the differences of angry calls in words, in numbers, and as footnotes."""
        return [_answer(row) for row in self.effects.to_dict("records")]

    def reasons(self) -> list[tuple[str, int]]:
        """Return the number of rejected rows by kind of reason, the most frequent first."""
        kinds = self.rejected["reason"].str.extract(r"^(\S+)", expand=False)
        return [(str(kind), int(n)) for kind, n in kinds.value_counts().items()]


WORDS: Final = {
    "handle_s": ("last {} longer", "are {} shorter"),
    "came_back": (
        "are followed by another call {} more often",
        "are followed by another call {} less often",
    ),
    "fcr": (
        "are resolved at first contact {} more often",
        "are resolved at first contact {} less often",
    ),
}


def _answer(row: dict[str, Any]) -> dict[str, str]:
    """Return what an effect means in words, the numbers behind it, and its size as a footnote."""
    more, less = WORDS[row["outcome"]]
    if pd.isna(row["difference"]):
        name = OUTCOMES[row["outcome"]].removesuffix(", s")
        words = f"{name.capitalize()}: unknown, because there are no angry calls or no other calls."
        return {"words": words, "numbers": "", "footnote": ""}
    timed = row["outcome"] == "handle_s"

    def amount(value: float) -> str:
        return format_clock(abs(value)) if timed else f"{100 * abs(value):.1f} points"

    def signed(value: float) -> str:
        return ("−" if value < 0 else "+") + amount(value)

    def shown(name: str) -> str:
        return f"{signed(row[name])} [{signed(row[name + '_low'])}, {signed(row[name + '_high'])}]"

    size = amount(row["difference"])
    if row["difference_low"] > 0:
        words = f"Angry calls {more.format(size)}."
    elif row["difference_high"] < 0:
        words = f"Angry calls {less.format(size)}."
    else:
        words = f"The data do not show whether angry calls {more.replace(' {}', '')}."
    means = [
        format_clock(row[kind]) if timed else f"{row[kind]:.1%}" for kind in ("angry", "other")
    ]
    return {
        "words": words,
        "numbers": f"{means[0]} against {means[1]}, difference {shown('difference')}; within agent and "
        f"topic {shown('adjusted_difference')}; n = {row['n_angry']:,} angry and "
        f"{row['n_other']:,} others",
        "footnote": f"{OUTCOMES[row['outcome']].removesuffix(', s').capitalize()}: {row['effect_name']} "
        f"{row['effect']:.2f} [{row['effect_low']:.2f}, {row['effect_high']:.2f}], {_size(row)}",
    }


def _confirmed(share: float) -> str:
    """Say how many of the angry calls reviewers have confirmed."""
    return "" if not share > 0 else f", {share:.0%} of them confirmed by reviewers"


def _state(met: float, missed: float) -> str:
    """Return whether a whole interval meets its target, or misses it."""
    return "met" if met >= 0 else "missed" if missed > 0 else "uncertain"


def _size(row: dict[str, Any]) -> str:
    """Return the size of an effect in words, after Romano et al. (2006) and Cohen (1988)."""
    limits = (0.147, 0.33, 0.474) if row["effect_name"] == "Cliff's delta" else (0.2, 0.5, 0.8)
    names = ("negligible", "small", "medium", "large")
    return names[int(np.searchsorted(limits, abs(row["effect"]), side="right"))]


def kpi_page(evidence: KpiEvidence, figures: dict[str, go.Figure]) -> str:
    """Render the KPI report of one selection; it loads ``plotly.js`` from its folder.

    Args:
        evidence: Tables and settings.
        figures: Plotly figures by section name.
    """
    return template("kpis/selection.html.j2", time_interval=_time_interval).render(
        evidence=evidence,
        figures={
            name: figure_html(figure, name, auto_play=False) for name, figure in figures.items()
        },
        theme=read_template("theme.js"),
        tables=page_script("kpis/tables.js"),
        listed=LISTED,
    )


def _time_interval(row: dict[str, Any]) -> str:
    shown = format_clock(row["aht_s"])
    if pd.isna(row["aht_s_low"]):
        return shown
    return f"{shown} [{format_clock(row['aht_s_low'])}, {format_clock(row['aht_s_high'])}]"


def explorer_page(
    calls: pd.DataFrame, settings: KpiSettings, selections: Iterable[str], chosen: CallSelection
) -> str:
    """Render the page that shows the KPIs of any agent, team and months, and links the reports.

    Args:
        calls: From :func:`~speech_emotion.contact_center.add_kpi_columns`, of all agents and days.
        settings: Settings of the KPIs.
        selections: Names of the reports in the folder of the page.
        chosen: What is shown first.
    """
    months = calls.assign(
        month_name=calls["month"].dt.strftime("%Y-%m"),
        square=calls["handle_s"] ** 2,
        confirmed=calls["angry"].eq(1) & calls["emotion_source"].eq("verdict"),
    )
    sums = months.groupby(["month_name", "team", "agent_id"], sort=True, dropna=False).agg(
        n=("handle_s", "size"),
        total=("handle_s", "sum"),
        squares=("square", "sum"),
        n_fcr=("fcr", "count"),
        fcr=("fcr", "sum"),
        n_angry=("angry", "count"),
        angry=("angry", "sum"),
        confirmed=("confirmed", "sum"),
    )
    listed = angry_calls(calls, [], settings)
    first, last = calls["day"].min(), calls["day"].max()
    cut = []
    if first.day != 1:
        cut.append(f"{first:%Y-%m}")
    if last != last + pd.offsets.MonthEnd(0):
        cut.append(f"{last:%Y-%m}")
    reports = sorted(selections)
    return template("kpis/call_kpis.html.j2").render(
        synthetic=bool(calls["synthetic"].any()),
        note=calls_note(calls),
        reports=[(name, _report_title(name)) for name in reports],
        n_angry=len(listed),
        shown=EXPLORED,
        settings=settings,
        data={
            "rows": [
                [str(value) for value in index] + [round(float(value), 1) for value in row]
                for index, row in zip(sums.index, sums.to_numpy(), strict=True)
            ],
            "cut": cut,
            "target_aht": settings.target_aht_s,
            "target_fcr": settings.target_fcr,
            "min_calls": settings.min_calls,
            "agent": chosen.agents[0] if len(chosen.agents) == 1 else "",
            "team": chosen.team or "",
            "from": f"{chosen.from_ or first:%Y-%m}",
            "to": f"{chosen.to or last:%Y-%m}",
            "angry": [
                [
                    row["call_id"],
                    row["start"][:16].replace("T", " "),
                    row["agent_id"],
                    row["team"],
                    row["customer_id"],
                    row["topic"],
                    None if pd.isna(row["angry_share"]) else round(row["angry_share"], 3),
                    None if pd.isna(row["first_angry_s"]) else int(row["first_angry_s"]),
                    int(row["handle_s"]),
                    "" if pd.isna(row["recording"]) else row["recording"],
                ]
                for row in listed.head(EXPLORED).to_dict("records")
            ],
        },
        script=page_script("kpis/explorer.js"),
    )


def _report_title(name: str) -> str:
    """Return the title of a report by its file name.

    Example:
        >>> _report_title("A01+A07_2026-01-01_2026-03-31")
        'A01 and A07, 2026-01-01 to 2026-03-31'
    """
    chosen, first, last = name.rsplit("_", 2)
    return f"{chosen.replace('+', ' and ').replace('_', ' ')}, {first} to {last}"


def sound_page(sound: KpiSound) -> str:
    """Render a self-contained page with the chart of a sound, which seeks the sound.

    Args:
        sound: From :func:`~speech_emotion.contact_center.sonification.kpi_sound`.
    """
    title = f"{TITLES[sound.kpi]} by {sound.grain}: {' and '.join(sound.voices)}"
    return template("kpis/sonification.html.j2").render(
        sound=sound,
        voices=[_voice(sound, name, number) for number, name in enumerate(sound.voices)],
        ticks=_ticks(sound),
        periods=_periods(sound),
        target=_y(sound, sound.target) if sound.mapping.reference else None,
        box={"left": LEFT, "top": TOP, "right": RIGHT, "bottom": BOTTOM},
        names=[voice["name"] for voice in sound.played()],
        data={
            "voices": sound.played(),
            "tone": sound.tone(),
            "seconds": sound.seconds,
            "beat": sound.mapping.beat_s,
            "left": LEFT,
            "right": RIGHT,
            "readings": _readings(sound),
        },
        script=page_script("kpis/sonification.js"),
        summary=f"{title}. {_summary(sound)}",
        title=title,
    )


def _readings(sound: KpiSound) -> list[str]:
    """Return what each period says: its first day, and the values of all voices."""
    shown = sound.notes[sound.notes["voice"].isin(sound.voices)]
    readings = []
    for period, rows in shown.groupby("period", sort=True):
        values = []
        for row in rows.itertuples():
            value = "no value" if pd.isna(row.value) else _shown(sound, row.value)
            angry = "" if pd.isna(row.angry) else f", angry {row.angry:.1%}"
            values.append(f"{row.voice} {value}{angry}, n = {row.n_calls:,}")
        readings.append(f"{pd.Timestamp(str(period)):%Y-%m-%d}: {'; '.join(values)}")
    return readings


def _summary(sound: KpiSound) -> str:
    """Describe lowest and highest value of each voice."""
    parts = []
    for name in sound.voices:
        values = sound.notes.loc[sound.notes["voice"] == name].dropna(subset="value")
        if values.empty:
            continue
        low, high = values.loc[values["value"].idxmin()], values.loc[values["value"].idxmax()]
        parts.append(
            f"{name} from {_shown(sound, low['value'])} ({low['period']:%Y-%m-%d}) to "
            f"{_shown(sound, high['value'])} ({high['period']:%Y-%m-%d})"
        )
    return "; ".join(parts)


def _x(sound: KpiSound, seconds: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * seconds / sound.seconds, 2)


def _y(sound: KpiSound, value: float) -> float:
    low, high = sound.ends
    share = (min(max(value, low), high) - low) / (high - low)
    return round(BOTTOM - (BOTTOM - TOP) * share, 2)


def _shown(sound: KpiSound, value: float) -> str:
    return format_clock(value) if sound.kpi == "aht" else f"{value:.1%}"


def _voice(sound: KpiSound, name: str, number: int) -> dict[str, Any]:
    """Lay out one voice: one bar per note, whose width is the share of angry calls, and a line."""
    notes = sound.notes[sound.notes["voice"] == name]
    color = CENTER_COLOR if name == "center" else AGENT_COLORS[number % len(AGENT_COLORS)]
    bars, path, pen = [], [], "M"
    for row in notes.itertuples():
        if pd.isna(row.note):
            pen = "M"  # a rest interrupts the line
            continue
        x, y = _x(sound, row.start_s), _y(sound, row.value)
        anger = 0.0 if pd.isna(row.angry) else min(row.angry / sound.mapping.full_anger_share, 1.0)
        share = "unknown" if pd.isna(row.angry) else f"{row.angry:.1%}"
        bars.append(
            {
                "x": x,
                "y": y,
                "to": _x(sound, row.start_s + row.duration_s),
                "width": round(3 + 11 * anger, 1),
                "small": row.small,
                "text": f"{name}, {row.period:%Y-%m-%d}: {_shown(sound, row.value)}, {row.name}, "
                f"angry {share}, n = {row.n_calls:,}",
            }
        )
        path.append(f"{pen}{x} {y}")
        pen = "L"
    return {"name": name, "color": color, "bars": bars, "path": " ".join(path)}


def _ticks(sound: KpiSound) -> list[dict[str, Any]]:
    """Label some notes of the scale at the center of their range of values."""
    notes = scale_notes(sound.mapping)
    ticks = []
    for note in notes[:: math.ceil(len(notes) / MARKS)]:
        middle = sum(bin_of_note(note, sound.ends, sound.mapping)) / 2
        text = f"{_shown(sound, middle)} {note_name(note)}"
        ticks.append({"y": _y(sound, middle), "text": text})
    return ticks


def _periods(sound: KpiSound) -> list[dict[str, Any]]:
    times = sound.notes.drop_duplicates("period").sort_values("period")
    return [
        {"x": _x(sound, row.start_s), "text": f"{row.period:%Y-%m-%d}"}
        for row in times[:: math.ceil(len(times) / MARKS)].itertuples()
    ]
