"""Render notes as samples and as MIDI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from speech_emotion.contact_center.kpi_tables import TARGET
from speech_emotion.contact_center.sound_mapping import SoundMapping

if TYPE_CHECKING:
    import mido

__all__ = [
    "ANGRY_TIMBRE",
    "ATTACK_S",
    "CALM_TIMBRE",
    "HARMONICS",
    "RELEASE_S",
    "SAMPLE_RATE",
    "TARGET",
    "amplitudes",
    "midi_of_notes",
    "render_notes",
]

SAMPLE_RATE: Final = 44_100
TICKS_PER_BEAT: Final = 480
PEAK: Final = 0.89  # 1 dB below full scale
ATTACK_S, RELEASE_S, TAIL_S = 0.012, 0.06, 0.25
CALM_TIMBRE, ANGRY_TIMBRE, HARMONICS = 0.12, 0.65, 10


def render_notes(notes: pd.DataFrame, mapping: SoundMapping) -> np.ndarray:
    """Render notes as stereo samples, shape ``(n_samples, 2)``, float32.

    Args:
        notes: See :class:`~speech_emotion.contact_center.sonification.KpiSound`.
        mapping: Length of a beat and level of the reference.
    """
    beats = notes["start_s"].max() + mapping.beat_s
    samples = np.zeros((round((beats + TAIL_S) * SAMPLE_RATE), 2))
    amplitude = amplitudes(notes, mapping)
    for row in notes.dropna(subset="note").itertuples():
        begin = round(row.start_s * SAMPLE_RATE)
        tone = _tone(row.frequency_hz, row.duration_s, row.timbre)
        angle = (row.pan + 1) * np.pi / 4  # equal power
        gains = amplitude[row.Index] * np.array([np.cos(angle), np.sin(angle)])
        samples[begin : begin + len(tone)] += tone[:, None] * gains
    return samples.astype(np.float32)


def amplitudes(notes: pd.DataFrame, mapping: SoundMapping) -> pd.Series:
    """Return the peak amplitude of each note.

    It depends on the number of voices, not on the peak of their sum, so that levels are comparable.
    """
    voices = notes.loc[notes["voice"] != TARGET, "voice"].nunique()
    full = PEAK / (voices + 10 ** (mapping.reference_db / 20) * mapping.reference)
    return full * 10 ** (notes["level_db"] / 20)


def _tone(frequency: float, seconds: float, timbre: float) -> np.ndarray:
    """Add overtones with geometrically decreasing amplitudes; the envelope starts and ends at zero."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    number = np.arange(1, HARMONICS + 1)
    number = number[number * frequency < 0.45 * SAMPLE_RATE]
    weights = timbre ** (number - 1.0)  # 0 to the power of 0 is 1: a pure tone
    weights /= weights.sum()
    wave = weights @ np.sin(2 * np.pi * frequency * number[:, None] * times)
    edge = np.minimum(times / ATTACK_S, (times[-1] - times) / RELEASE_S).clip(0, 1)
    return wave * (0.5 - 0.5 * np.cos(np.pi * edge)) * np.exp(-0.5 * times / seconds)


def midi_of_notes(
    notes: pd.DataFrame, mapping: SoundMapping, *, title: str, legend: dict[str, str]
) -> mido.MidiFile:
    """Render notes as MIDI, for a DAW: one track per voice, one beat per period, dates as markers.

    The angry share is mapped to velocity and controller 74 (brightness), the pan to controller 10.

    Args:
        notes: See :class:`~speech_emotion.contact_center.sonification.KpiSound`.
        mapping: Length of a beat and instrument.
        title: Name of the first track.
        legend: Sound mapping in words, written into the first track.
    """
    import mido

    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT, charset="utf-8")
    head = mido.MidiTrack()
    head.append(mido.MetaMessage("track_name", name=title))
    head.append(mido.MetaMessage("set_tempo", tempo=round(mapping.beat_s * 1e6)))
    for name, text in legend.items():
        head.append(mido.MetaMessage("text", text=f"{name}: {text}"))
    for number, period in enumerate(sorted(notes["period"].unique())):
        text = f"{pd.Timestamp(period):%Y-%m-%d}"
        head.append(mido.MetaMessage("marker", text=text, time=TICKS_PER_BEAT * (number > 0)))
    file.tracks.append(head)
    for channel, (voice, voice_notes) in enumerate(notes.groupby("voice", sort=False)):
        file.tracks.append(_track(str(voice), voice_notes, channel, mapping))
    return file


def _track(voice: str, notes: pd.DataFrame, channel: int, mapping: SoundMapping) -> mido.MidiTrack:
    import mido

    track = mido.MidiTrack([mido.MetaMessage("track_name", name=voice)])
    program = mapping.midi_program
    track.append(mido.Message("program_change", channel=channel, program=program))
    side = round(64 + 63 * float(notes["pan"].iloc[0]))
    track.append(mido.Message("control_change", channel=channel, control=10, value=side))
    now = 0
    for row in notes.dropna(subset="note").sort_values("start_s").itertuples():
        begin = round(row.start_s / mapping.beat_s * TICKS_PER_BEAT)
        length = round(row.duration_s / mapping.beat_s * TICKS_PER_BEAT)
        bright = round(127 * row.timbre / ANGRY_TIMBRE)
        common = {"channel": channel, "note": int(row.note)}
        track.append(
            mido.Message(
                "control_change", channel=channel, control=74, value=bright, time=begin - now
            )
        )
        track.append(mido.Message("note_on", velocity=row.velocity, **common))
        track.append(mido.Message("note_off", velocity=0, time=length, **common))
        now = begin + length
    return track
