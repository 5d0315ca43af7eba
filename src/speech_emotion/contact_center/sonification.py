"""Sonification of KPIs: periods become beats, values pitches, and angry shares volume or timbre.

Pitch is the auditory dimension that listeners read values from most reliably (Dubus & Bresin, PLoS ONE 8,
2013). The range of values is divided into as many equal bins as the scale has notes, so that each note
corresponds to one bin.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd

from speech_emotion.config import Settings
from speech_emotion.contact_center.kpi_tables import CENTER, agent_scope, kpi_series
from speech_emotion.contact_center.kpis import (
    CallSelection,
    KpiSettings,
    add_kpi_columns,
    choose_grain,
    select_period,
)
from speech_emotion.contact_center.notes import (
    ANGRY_TIMBRE,
    ATTACK_S,
    CALM_TIMBRE,
    HARMONICS,
    RELEASE_S,
    SAMPLE_RATE,
    TARGET,
    amplitudes,
    midi_of_notes,
    render_notes,
)
from speech_emotion.contact_center.sound_mapping import (
    SoundMapping,
    frequency_of_note,
    note_name,
    note_of_value,
    scale_notes,
)

if TYPE_CHECKING:
    import mido

__all__ = ["KpiSound", "SonificationSettings", "kpi_sound"]

COLUMNS: Final = {"aht": "aht_s", "fcr": "fcr"}
STEPS: Final = {"aht": 30.0, "fcr": 0.05}  # ranges from the data are rounded outwards to multiples
MAX_DURATION_S: Final = 1800.0


class SonificationSettings(Settings):
    """Which KPI is made audible, and how.

    Attributes:
        kpi: ``aht`` or ``fcr``.
        mapping: The sound mapping.
    """

    kpi: Literal["aht", "fcr"] = "aht"
    mapping: SoundMapping = SoundMapping()


@dataclass(frozen=True)
class KpiSound:
    """A KPI over time as sound.

    Attributes:
        samples: Shape ``(n_samples, 2)``, float32, below full scale.
        sample_rate: In Hz.
        notes: One row per voice and period: ``voice``, ``period``, ``n_calls``, ``value``, ``low``,
            ``high``, ``angry``, ``small``, ``synthetic``, ``start_s``, ``duration_s``, ``note`` (NaN is
            silence), ``name``, ``frequency_hz``, ``clipped``, ``level_db``, ``timbre``, ``velocity``
            and ``pan``. The reference tone is the voice ``target``.
        legend: The sound mapping in words, by topic.
        kpi: ``aht`` or ``fcr``.
        grain: ``day``, ``week`` or ``month``.
        ends: Lowest and highest value of the range.
        target: Value of the reference tone.
        mapping: The sound mapping.
        synthetic: Whether any call is simulated.
    """

    samples: np.ndarray
    sample_rate: int
    notes: pd.DataFrame
    legend: dict[str, str]
    kpi: str
    grain: str
    ends: tuple[float, float]
    target: float
    mapping: SoundMapping
    synthetic: bool

    @property
    def voices(self) -> list[str]:
        """Names of the voices, without the reference tone."""
        return [name for name in self.notes["voice"].unique() if name != TARGET]

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate

    def played(self) -> list[dict[str, Any]]:
        """Return how each voice, and the reference tone, is played in a browser.

        Returns:
            ``name``, ``pan`` and ``notes``: start, duration, frequency, timbre and amplitude of each. With
            the attack, release and harmonics of :meth:`tone`, they give :attr:`samples`.
        """
        sounding = self.notes.assign(amplitude=amplitudes(self.notes, self.mapping))
        columns = ["start_s", "duration_s", "frequency_hz", "timbre", "amplitude"]
        return [
            {
                "name": str(name),
                "pan": float(rows["pan"].iloc[0]),
                "notes": rows.dropna(subset="note")[columns].round(4).to_numpy().tolist(),
            }
            for name, rows in sounding.groupby("voice", sort=False)
        ]

    @staticmethod
    def tone() -> dict[str, float]:
        """Return what all notes have in common: attack and release in seconds, number of harmonics."""
        return {"attack": ATTACK_S, "release": RELEASE_S, "harmonics": HARMONICS}

    def legend_text(self) -> str:
        """Return the legend, one line per entry."""
        return "\n".join(f"{name}: {text}" for name, text in self.legend.items()) + "\n"

    def midi(self) -> mido.MidiFile:
        """Return the same notes as a MIDI file."""
        title = f"{self.kpi.upper()} by {self.grain}"
        return midi_of_notes(self.notes, self.mapping, title=title, legend=self.legend)


def kpi_sound(
    calls: pd.DataFrame,
    *,
    agent_id: str | None = None,
    kpi: Literal["aht", "fcr"] = "aht",
    start: dt.date | str | None = None,
    end: dt.date | str | None = None,
    grain: Literal["auto", "day", "week", "month"] = "auto",
    settings: KpiSettings | None = None,
    mapping: SoundMapping | None = None,
) -> KpiSound:
    """Make AHT or FCR over time audible, for one agent, for two, or for the whole contact center.

    Args:
        calls: See :data:`~speech_emotion.contact_center.CALLS`.
        agent_id: An agent, two as ``A01;A07`` (left and right), or ``None`` for the contact center.
        kpi: ``aht`` or ``fcr``.
        start: First local day; ``None`` for the first of the data.
        end: Last local day, inclusive; ``None`` for the last of the data.
        grain: Length of a period; each period is one beat.
        settings: Time zone, repeat window, targets.
        mapping: The sound mapping.

    Raises:
        UnknownAgent: If an agent handled no call.
        NoCalls: If the period contains no call, or none of a selected agent.
        ValueError: If there are more than two agents, or the KPI is unknown in all periods.

    Example:
        >>> from speech_emotion.contact_center import SimulatorSettings, simulate_calls
        >>> calls = simulate_calls(SimulatorSettings(days=60, calls=1000, agents=2))
        >>> sound = kpi_sound(calls, agent_id="A01", kpi="aht", grain="week")
        >>> sound.voices, sound.legend["Time"]
        (['A01'], 'one beat of 0.5 s is one week, 9 in total, from 2025-12-29')
    """
    settings, mapping = settings or KpiSettings(), mapping or SoundMapping()
    selection = CallSelection.model_validate(
        {"agent_id": agent_id, "from": start, "to": end, "grain": grain}
    )
    agents = selection.agents
    if len(agents) > 2:
        raise ValueError(f"{len(agents)} agents: at most two can be compared; name one or two")
    selected = select_period(add_kpi_columns(calls, settings), selection)
    step = choose_grain(selected, selection)
    series = kpi_series(selected, agents, step, settings)
    played = series[series["scope"].isin([agent_scope(agent) for agent in agents] or [CENTER])]
    if played["period"].nunique() * mapping.beat_s > MAX_DURATION_S:
        raise ValueError(
            f"{played['period'].nunique()} periods of {mapping.beat_s:g} s are more than "
            f"{MAX_DURATION_S / 60:.0f} minutes; use a longer grain or a shorter mapping.beat_s"
        )
    target = settings.target_aht_s if kpi == "aht" else settings.target_fcr
    ends = _range(played, kpi, target, mapping)
    notes = _compose(played, kpi, ends, target, mapping, settings)
    synthetic = bool(selected["synthetic"].any())
    return KpiSound(
        samples=render_notes(notes, mapping),
        sample_rate=SAMPLE_RATE,
        notes=notes,
        legend=_legend(notes, kpi, step, ends, target, mapping, settings, synthetic=synthetic),
        kpi=kpi,
        grain=step,
        ends=ends,
        target=target,
        mapping=mapping,
        synthetic=synthetic,
    )


def _range(
    series: pd.DataFrame, kpi: str, target: float, mapping: SoundMapping
) -> tuple[float, float]:
    """Return lowest and highest value of the pitch range."""
    # Values from few calls are extreme by chance, so they do not set the range.
    values = series.loc[~series["small"], COLUMNS[kpi]].dropna()
    values = series[COLUMNS[kpi]].dropna() if values.empty else values
    if values.empty:
        raise ValueError(
            f"{kpi.upper()} is unknown in all periods: calls within the repeat window at both ends of "
            "the data do not count; select more days or set kpis.repeat_days"
        )
    fixed = mapping.aht_range_s if kpi == "aht" else mapping.fcr_range
    if fixed is not None:
        return fixed
    step = STEPS[kpi]
    low = np.floor(min(values.min(), target) / step) * step
    high = (np.floor(max(values.max(), target) / step) + 1) * step
    high = min(high, 1.0) if kpi == "fcr" else high
    return float(round(low, 6)), float(round(high, 6))


def _compose(
    series: pd.DataFrame,
    kpi: str,
    ends: tuple[float, float],
    target: float,
    mapping: SoundMapping,
    settings: KpiSettings,
) -> pd.DataFrame:
    """Return the notes of all voices, see :class:`KpiSound`."""
    column = COLUMNS[kpi]
    count_column = "n_calls" if kpi == "aht" else "n_fcr"
    notes = series.rename(
        columns={
            "scope": "voice",
            column: "value",
            f"{column}_low": "low",
            f"{column}_high": "high",
        }
    )
    notes = notes.assign(
        n_calls=series[count_column], small=series[count_column] < settings.min_calls
    )
    columns = ["voice", "period", "n_calls", "value", "low", "high", "angry", "small", "synthetic"]
    notes = notes[columns]
    periods = pd.Index(sorted(notes["period"].unique()))
    notes["start_s"] = periods.get_indexer(notes["period"]) * mapping.beat_s
    share = np.where(notes["small"], mapping.short_note_share, mapping.note_share)
    notes["duration_s"] = mapping.beat_s * share
    notes["note"] = note_of_value(notes["value"].to_numpy(), ends, mapping)
    notes["clipped"] = (notes["value"] < ends[0]) | (notes["value"] > ends[1])
    anger = (notes["angry"].fillna(0) / mapping.full_anger_share).clip(upper=1)
    loudness = anger if mapping.anger_cue != "timbre" else 0.5
    sharpness = anger if mapping.anger_cue != "volume" else 0.25
    notes["level_db"] = mapping.min_level_db * (1 - loudness)
    notes["timbre"] = CALM_TIMBRE + (ANGRY_TIMBRE - CALM_TIMBRE) * sharpness
    pans = [-mapping.pan, mapping.pan] if series["scope"].nunique() == 2 else [0.0]
    notes["pan"] = notes["voice"].map(dict(zip(notes["voice"].unique(), pans, strict=True)))
    if mapping.reference:
        notes = pd.concat([notes, _reference(notes, ends, target, mapping)], ignore_index=True)
    notes["frequency_hz"] = frequency_of_note(notes["note"].to_numpy())
    notes["name"] = notes["note"].map(note_name, na_action="ignore")
    # General MIDI: level is proportional to the square of the velocity.
    notes["velocity"] = (127 * 10 ** (notes["level_db"] / 40)).round().astype(int)
    return notes.reset_index(drop=True)


def _reference(
    notes: pd.DataFrame, ends: tuple[float, float], target: float, mapping: SoundMapping
) -> pd.DataFrame:
    """Return the notes of the reference tone, as long as the longest note of each period."""
    by_duration = notes.dropna(subset="note").sort_values("duration_s", ascending=False)
    return (
        by_duration.drop_duplicates("period")
        .sort_values("period")
        .assign(
            voice=TARGET,
            n_calls=0,
            value=target,
            low=np.nan,
            high=np.nan,
            angry=np.nan,
            small=False,
            note=note_of_value(np.array([target]), ends, mapping)[0],
            clipped=not ends[0] <= target <= ends[1],
            level_db=mapping.reference_db,
            timbre=0.0,
            pan=0.0,
        )
    )


def _legend(
    notes: pd.DataFrame,
    kpi: str,
    grain: str,
    ends: tuple[float, float],
    target: float,
    mapping: SoundMapping,
    settings: KpiSettings,
    *,
    synthetic: bool,
) -> dict[str, str]:
    """Describe the sound mapping in words."""

    def format_value(value: float) -> str:
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes}:{seconds:02d}" if kpi == "aht" else f"{value:.1%}"

    scale = scale_notes(mapping)
    low, high = note_name(scale[0]), note_name(scale[-1])
    voices = [name for name in notes["voice"].unique() if name != TARGET]
    played = notes[notes["voice"] != TARGET]
    angry = {
        "volume": f"volume: {mapping.min_level_db:g} dB at 0 %, 0 dB",
        "timbre": "timbre: a nearly pure tone at 0 %, sharp",
        "both": f"volume ({mapping.min_level_db:g} dB and a nearly pure tone at 0 %) and timbre, sharp",
    }[mapping.anger_cue]
    width = (ends[1] - ends[0]) / len(scale)
    of_each = f"{width:.0f} s" if kpi == "aht" else f"{width:.1%}"
    lines = {
        "Time": f"one beat of {mapping.beat_s:g} s is one {grain}, {played['period'].nunique()} in total, "
        f"from {played['period'].min():%Y-%m-%d}",
        "Pitch": f"{kpi.upper()} from {format_value(ends[0])} ({low}) to {format_value(ends[1])} ({high}) on "
        f"{mapping.root} {mapping.scale.replace('_', ' ')}, {len(scale)} notes of {of_each} each",
        "Angry share": f"{angry} from {mapping.full_anger_share:.0%}",
        "Short notes": f"fewer than {settings.min_calls} calls",
        "Silence": f"a {grain} without a value "
        f"({int(played['note'].isna().sum())} of {len(played)})",
    }
    if mapping.reference:
        note = note_of_value(np.array([target]), ends, mapping)[0]
        lines["Reference"] = (
            f"soft pure tone: the target, {format_value(target)} ({note_name(note)})"
        )
    if len(voices) == 2:
        lines["Left and right"] = f"{voices[0]} left, {voices[1]} right"
    else:
        lines["Voice"] = voices[0] if voices[0] != "center" else "the whole contact center"
    if played["clipped"].any():
        lines["Outside"] = (
            f"{int(played['clipped'].sum())} values outside the range are mapped to its ends"
        )
    if synthetic:
        lines["Data"] = "GENERATED calls: no customer called, no agent answered"
    return lines
