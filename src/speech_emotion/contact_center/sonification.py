"""Key figures to be heard: time is time, pitch is the value, loudness or timbre is the angry share.

Pitch is the dimension that listeners read values from most surely (Dubus & Bresin, PLoS ONE 8, 2013).
Values fall into as many equal bins as a scale has notes within a stated range, so a note gives back
the bin that its value lay in.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pandas as pd

from speech_emotion.config import Settings
from speech_emotion.contact_center.kpi_tables import kpi_series
from speech_emotion.contact_center.kpis import (
    CallSelection,
    KpiSettings,
    add_kpi_columns,
    choose_grain,
    select_period,
)
from speech_emotion.contact_center.notes import (
    ANGRY_TIMBRE,
    CALM_TIMBRE,
    SAMPLE_RATE,
    TARGET,
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
STEPS: Final = {"aht": 30.0, "fcr": 0.05}  # ranges that are not set are rounded outwards to these
LONGEST_S: Final = 1800.0


class SonificationSettings(Settings):
    """What is made audible, and how.

    Attributes:
        kpi: ``aht`` or ``fcr``.
        mapping: What is heard as what.
    """

    kpi: Literal["aht", "fcr"] = "aht"
    mapping: SoundMapping = SoundMapping()


@dataclass(frozen=True)
class KpiSound:
    """Key figures as sound.

    Attributes:
        samples: Shape ``(n_samples, 2)``, float32, never at full scale.
        sample_rate: In Hz.
        notes: One row a voice and period: ``voice``, ``period``, ``n_calls``, ``value``, ``low``,
            ``high``, ``angry``, ``small``, ``synthetic``, ``start_s``, ``duration_s``, ``note`` (missing:
            silence), ``name``, ``frequency_hz``, ``clipped``, ``level_db``, ``timbre``, ``velocity``,
            ``pan``.
            The reference tone is the voice ``target``.
        legend: What is heard, and as what.
        kpi: ``aht`` or ``fcr``.
        grain: ``day``, ``week`` or ``month``.
        ends: Values of the range's low and high end.
        target: Value of the reference tone.
        mapping: The mapping.
        synthetic: Whether any call is generated.
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
        """Who is heard, without the reference tone."""
        return [name for name in self.notes["voice"].unique() if name != TARGET]

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate

    def legend_text(self) -> str:
        """Return the legend, one line an entry."""
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
    """Make AHT or FCR over time audible, of an agent, of two compared, or of the center.

    Args:
        calls: See :data:`~speech_emotion.contact_center.calls_table.CALLS`.
        agent_id: An agent, two as ``A01;A07`` (left and right), or ``None`` for the center.
        kpi: ``aht`` or ``fcr``.
        start: First local day; ``None`` for the first of the data.
        end: Last local day, included; ``None`` for the last of the data.
        grain: Length of a period, each of which is a beat.
        settings: Time zone, repeat window, targets.
        mapping: What is heard as what.

    Raises:
        UnknownAgent: If an agent handled no call at all.
        NoCalls: If the period holds no call of those asked for.
        ValueError: If there are more than two agents, or no figure in any period.
    """
    settings, mapping = settings or KpiSettings(), mapping or SoundMapping()
    selection = CallSelection.model_validate(
        {"agent_id": agent_id, "from": start, "to": end, "grain": grain}
    )
    agents = selection.agents
    if len(agents) > 2:
        raise ValueError(f"{len(agents)} agents: two ears tell two apart; name one or two")
    chosen = select_period(add_kpi_columns(calls, settings), selection)
    step = choose_grain(chosen, selection)
    series = kpi_series(chosen, agents, step, settings)
    heard = series[series["scope"].isin(agents or ["center"])]
    if heard["period"].nunique() * mapping.beat_s > LONGEST_S:
        raise ValueError(
            f"{heard['period'].nunique()} periods of {mapping.beat_s:g} s are more than "
            f"{LONGEST_S / 60:.0f} minutes; take a longer grain or a shorter mapping.beat_s"
        )
    target = settings.target_aht_s if kpi == "aht" else settings.target_fcr
    ends = _range(heard, kpi, target, mapping)
    notes = _compose(heard, kpi, ends, target, mapping, settings)
    synthetic = bool(chosen["synthetic"].any())
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
    heard: pd.DataFrame, kpi: str, target: float, mapping: SoundMapping
) -> tuple[float, float]:
    # Figures of few calls are extreme by chance: they are heard, but do not set the range.
    values = heard.loc[~heard["small"], COLUMNS[kpi]].dropna()
    values = heard[COLUMNS[kpi]].dropna() if values.empty else values
    if values.empty:
        raise ValueError(
            f"{kpi.upper()} is not known in any period: calls within the repeat window of either end "
            "of the data do not count; take more days or set kpis.repeat_days"
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
    heard: pd.DataFrame,
    kpi: str,
    ends: tuple[float, float],
    target: float,
    mapping: SoundMapping,
    settings: KpiSettings,
) -> pd.DataFrame:
    column = COLUMNS[kpi]
    counted = "n_calls" if kpi == "aht" else "n_fcr"
    notes = heard.rename(
        columns={
            "scope": "voice",
            column: "value",
            f"{column}_low": "low",
            f"{column}_high": "high",
        }
    )
    notes = notes.assign(n_calls=heard[counted], small=heard[counted] < settings.min_calls)
    kept = ["voice", "period", "n_calls", "value", "low", "high", "angry", "small", "synthetic"]
    notes = notes[kept]
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
    places = [-mapping.pan, mapping.pan] if heard["scope"].nunique() == 2 else [0.0]
    notes["pan"] = notes["voice"].map(dict(zip(notes["voice"].unique(), places, strict=True)))
    if mapping.reference:
        sounding = notes.dropna(subset="note").sort_values("duration_s", ascending=False)
        reference = sounding.drop_duplicates("period").sort_values("period").assign(
            voice=TARGET, n_calls=0, value=target, low=np.nan, high=np.nan, angry=np.nan,
            small=False, note=note_of_value(np.array([target]), ends, mapping)[0],
            clipped=not ends[0] <= target <= ends[1], level_db=mapping.reference_db, timbre=0.0,
            pan=0.0,
        )  # fmt: skip
        notes = pd.concat([notes, reference], ignore_index=True)
    notes["frequency_hz"] = frequency_of_note(notes["note"].to_numpy())
    notes["name"] = notes["note"].map(note_name, na_action="ignore")
    # General MIDI: level is proportional to the square of the velocity.
    notes["velocity"] = (127 * 10 ** (notes["level_db"] / 40)).round().astype(int)
    return notes.reset_index(drop=True)


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
    def shown(value: float) -> str:
        return f"{value:.0f} s" if kpi == "aht" else f"{value:.1%}"

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
    lines = {
        "Time": f"one beat of {mapping.beat_s:g} s is one {grain}, {played['period'].nunique()} in all, "
        f"from {played['period'].min():%Y-%m-%d}",
        "Pitch": f"{kpi.upper()} from {shown(ends[0])} ({low}) to {shown(ends[1])} ({high}) on "
        f"{mapping.root} {mapping.scale.replace('_', ' ')}, {len(scale)} notes of {shown(width)} each",
        "Angry share": f"{angry} from {mapping.full_anger_share:.0%}",
        "Short notes": f"rest on fewer than {settings.min_calls} calls",
        "Silence": f"a {grain} without a figure "
        f"({int(played['note'].isna().sum())} of {len(played)})",
    }
    if mapping.reference:
        note = note_of_value(np.array([target]), ends, mapping)[0]
        lines["Reference"] = f"soft pure tone: the target, {shown(target)} ({note_name(note)})"
    if len(voices) == 2:
        lines["Left and right"] = f"{voices[0]} left, {voices[1]} right"
    else:
        lines["Voice"] = voices[0] if voices[0] != "center" else "the center as a whole"
    if played["clipped"].any():
        lines["Outside"] = f"{int(played['clipped'].sum())} values lie outside and sound as the end"
    if synthetic:
        lines["Data"] = "GENERATED calls: no customer called, no agent answered"
    return lines
