"""The sound mapping: which values become which notes, and how anger sounds."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field, model_validator

from speech_emotion.config import Settings

__all__ = [
    "SoundMapping",
    "bin_of_note",
    "frequency_of_note",
    "note_name",
    "note_of_value",
    "scale_notes",
]

SCALES: Final = {
    "major_pentatonic": (0, 2, 4, 7, 9),
    "minor_pentatonic": (0, 3, 5, 7, 10),
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "chromatic": tuple(range(12)),
}
NAMES: Final = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class SoundMapping(Settings):
    """How values and angry shares are mapped to sound.

    Attributes:
        beat_s: Duration of one period of the data, in seconds.
        note_share: Duration of a note as a share of its period.
        short_note_share: The same for values from fewer calls than ``kpis.min_calls``.
        lowest_note: Lowest MIDI note; 60 is middle C.
        highest_note: Highest MIDI note.
        root: First note of the scale.
        scale: Scale of the notes.
        aht_range_s: Lowest and highest AHT in seconds; ``None`` uses the range of the data and the
            target, rounded outwards. Values outside are mapped to the nearest end and are marked.
        fcr_range: The same for FCR.
        anger_cue: Whether the angry share is mapped to ``volume``, ``timbre`` (overtones) or ``both``.
        full_anger_share: Angry share from which notes have the highest volume and sharpest timbre.
        min_level_db: Level at an angry share of 0, relative to that at ``full_anger_share``.
        reference: Whether a soft pure tone plays the target with each note.
        reference_db: Level of the reference tone.
        pan: Stereo width of two agents: 0 both in the middle, 1 hard left and right.
        midi_program: General MIDI instrument of the notes, from 0.

    Example:
        >>> SoundMapping(scale="minor_pentatonic", root="A").scale
        'minor_pentatonic'
    """

    renamed: ClassVar[dict[str, str]] = {
        "lowest": "lowest_note",
        "highest": "highest_note",
        "angry_as": "anger_cue",
        "angry_full": "full_anger_share",
        "quietest_db": "min_level_db",
        "small_share": "short_note_share",
    }

    beat_s: float = Field(0.5, ge=0.15, le=10)
    note_share: float = Field(0.9, gt=0.2, le=0.95)
    short_note_share: float = Field(0.4, gt=0.2, le=0.95)
    lowest_note: int = Field(48, ge=21, le=108)
    highest_note: int = Field(84, ge=21, le=108)
    root: Literal["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"] = "C"
    scale: Literal["major_pentatonic", "minor_pentatonic", "major", "minor", "chromatic"] = (
        "major_pentatonic"
    )
    aht_range_s: tuple[float, float] | None = None
    fcr_range: tuple[float, float] | None = None
    anger_cue: Literal["volume", "timbre", "both"] = "both"
    full_anger_share: float = Field(0.3, gt=0, le=1)
    min_level_db: float = Field(-12.0, ge=-18, le=0)
    reference: bool = True
    reference_db: float = Field(-26.0, ge=-60, le=-20)
    pan: float = Field(0.8, ge=0, le=1)
    midi_program: int = Field(11, ge=0, le=127)

    @model_validator(mode="after")
    def _check_ranges(self) -> SoundMapping:
        for name in ("aht_range_s", "fcr_range"):
            ends = getattr(self, name)
            if ends is not None and not ends[0] < ends[1]:
                raise ValueError(f"{name} {ends} must be ascending")
        if len(scale_notes(self)) < 2:
            raise ValueError(
                f"no two notes of {self.root} {self.scale} lie from {self.lowest_note} to {self.highest_note}"
            )
        return self


def scale_notes(mapping: SoundMapping) -> np.ndarray:
    """Return the MIDI notes of the scale within the range, in ascending order.

    Example:
        >>> scale_notes(SoundMapping(lowest_note=60, highest_note=72)).tolist()
        [60, 62, 64, 67, 69, 72]
    """
    notes = np.arange(mapping.lowest_note, mapping.highest_note + 1)
    return notes[np.isin((notes - NAMES.index(mapping.root)) % 12, SCALES[mapping.scale])]


def note_of_value(
    values: np.ndarray, ends: tuple[float, float], mapping: SoundMapping
) -> np.ndarray:
    """Return the MIDI note of each value; NaN for NaN.

    Args:
        values: Shape ``(n,)``; values outside ``ends`` get the nearest note.
        ends: Values of the range's low and high end.
        mapping: Scale and range.
    """
    notes = scale_notes(mapping)
    values = np.asarray(values, dtype=float)
    edges = np.linspace(*ends, len(notes) + 1)
    position = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(notes) - 1)
    return np.where(np.isnan(values), np.nan, notes[position])


def bin_of_note(
    note: float, ends: tuple[float, float], mapping: SoundMapping
) -> tuple[float, float]:
    """Return the range of values that a note stands for; the upper end is exclusive.

    Raises:
        ValueError: If the note is not part of the scale.
    """
    notes = scale_notes(mapping)
    if note not in notes:
        raise ValueError(f"{note} is not a note of the scale: {notes.tolist()}")
    position = int(np.flatnonzero(notes == note)[0])
    edges = np.linspace(*ends, len(notes) + 1)
    return float(edges[position]), float(edges[position + 1])


def frequency_of_note(note: np.ndarray | float) -> np.ndarray | float:
    """Return frequencies in Hz of MIDI notes, in equal temperament with A4 (69) at 440 Hz."""
    return 440.0 * 2.0 ** ((np.asarray(note, dtype=float) - 69) / 12)


def note_name(note: float) -> str:
    """Return the name of a MIDI note.

    Example:
        >>> note_name(60), note_name(58)
        ('C4', 'A#3')
    """
    return f"{NAMES[int(note) % 12]}{int(note) // 12 - 1}"
