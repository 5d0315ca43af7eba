"""Pages about a contact center: the KPI report and the sonification."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from speech_emotion.contact_center import (
    KpiSettings,
    KpiSound,
    bin_of_note,
    count_emotions,
    note_name,
    scale_notes,
)
from speech_emotion.reporting.kpis.figures import AGENT_COLORS, CENTER_COLOR, calls_note
from speech_emotion.reporting.rendering import plot_html, template, wav_base64

__all__ = ["KpiEvidence", "kpi_page", "sound_page"]

LISTED: Final = 100  # rows of a table on the page; the CSV file has all
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
        agents: Selected agents.
        settings: Settings of the KPIs.
    """

    calls: pd.DataFrame
    rejected: pd.DataFrame
    breakdown: pd.DataFrame
    effects: pd.DataFrame
    angry_calls: pd.DataFrame
    agents: list[str]
    settings: KpiSettings

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
            "emotions": f"{emotions['recording']:,} from recordings, {emotions['generated']:,} "
            f"generated, {emotions['none']:,} unknown; {unsure:,} uncertain, therefore not counted "
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

    def overall(self) -> list[dict[str, Any]]:
        """Return the KPIs of the contact center, the teams and the agents."""
        rows = self.breakdown
        return rows[rows["by"] == "all"].to_dict("records")

    def by(self, dimension: str) -> list[dict[str, Any]]:
        """Return the KPIs of the contact center by agent, team or topic."""
        rows = self.breakdown
        return rows[(rows["scope"] == "center") & (rows["by"] == dimension)].to_dict("records")

    def answers(self) -> list[str]:
        """Return the differences of angry calls in words."""
        return [_answer(row) for row in self.effects.to_dict("records")]

    def reasons(self) -> list[tuple[str, int]]:
        """Return the number of rejected rows by kind of reason, the most frequent first."""
        kinds = self.rejected["reason"].str.extract(r"^(\S+)", expand=False)
        return [(str(kind), int(n)) for kind, n in kinds.value_counts().items()]


def _answer(row: dict[str, Any]) -> str:
    if pd.isna(row["difference"]):
        return f"{row['outcome']}: unknown, because there are no angry calls or no other calls."
    timed = row["outcome"] == "handle_s"

    def shown(name: str) -> str:
        def one(value: float) -> str:
            return f"{value:+.0f} s" if timed else f"{100 * value:+.1f} points"

        ends = f"[{one(row[name + '_low'])}, {one(row[name + '_high'])}]"
        return f"{one(row[name])} {ends}"

    words = {
        "handle_s": ("last longer", "are shorter"),
        "came_back": ("are followed by another call more often", "are followed up less often"),
        "fcr": (
            "are resolved at first contact more often",
            "are resolved at first contact less often",
        ),
    }[row["outcome"]]
    if row["difference_low"] > 0:
        verdict = f"Angry calls {words[0]}"
    elif row["difference_high"] < 0:
        verdict = f"Angry calls {words[1]}"
    else:
        verdict = f"The data do not show whether angry calls {words[0]}"
    means = [f"{row[kind]:.0f} s" if timed else f"{row[kind]:.1%}" for kind in ("angry", "other")]
    return (
        f"{verdict}: {means[0]} against {means[1]}, {shown('difference')}; "
        f"within agent and topic {shown('adjusted_difference')}. {row['effect_name']} "
        f"{row['effect']:.2f} [{row['effect_low']:.2f}, {row['effect_high']:.2f}], "
        f"{_size(row)}; n = {row['n_angry']:,} angry and {row['n_other']:,} others."
    )


def _size(row: dict[str, Any]) -> str:
    """Return the size of an effect in words, after Romano et al. (2006) and Cohen (1988)."""
    limits = (0.147, 0.33, 0.474) if row["effect_name"] == "Cliff's delta" else (0.2, 0.5, 0.8)
    names = ("negligible", "small", "medium", "large")
    return names[int(np.searchsorted(limits, abs(row["effect"]), side="right"))]


def kpi_page(evidence: KpiEvidence, figures: dict[str, go.Figure]) -> str:
    """Render the KPI report as one self-contained HTML file.

    Args:
        evidence: Tables and settings.
        figures: Plotly figures by section name.
    """
    return template("kpis/call_kpis.html.j2").render(
        evidence=evidence,
        figures={name: plot_html(figure, auto_play=False) for name, figure in figures.items()},
        plotly=get_plotlyjs(),
        listed=LISTED,
    )


def sound_page(sound: KpiSound) -> str:
    """Render a self-contained page whose chart is drawn while the sound plays.

    Args:
        sound: From :func:`~speech_emotion.contact_center.sonification.kpi_sound`.
    """
    return template("kpis/sonification.html.j2").render(
        sound=sound,
        voices=[_voice(sound, name, number) for number, name in enumerate(sound.voices)],
        ticks=_ticks(sound),
        periods=_periods(sound),
        target=_y(sound, sound.target) if sound.mapping.reference else None,
        box={"left": LEFT, "top": TOP, "right": RIGHT, "bottom": BOTTOM},
        wav=wav_base64(sound.samples, sound.sample_rate),
        title=f"{sound.kpi.upper()} by {sound.grain}: {' and '.join(sound.voices)}",
    )


def _x(sound: KpiSound, seconds: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * seconds / sound.seconds, 2)


def _y(sound: KpiSound, value: float) -> float:
    low, high = sound.ends
    share = (min(max(value, low), high) - low) / (high - low)
    return round(BOTTOM - (BOTTOM - TOP) * share, 2)


def _shown(sound: KpiSound, value: float) -> str:
    return f"{value:.0f} s" if sound.kpi == "aht" else f"{value:.1%}"


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
