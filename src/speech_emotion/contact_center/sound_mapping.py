"""What of a key figure is heard as what: scales, notes and the values they stand for."""

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
    """What is heard as what.

    Attributes:
        beat_s: Seconds that one period of the data lasts.
        note_share: Share of its period that a note sounds.
        short_note_share: The same for figures of fewer calls than ``kpis.min_calls``: short notes.
        lowest_note: Lowest MIDI note that may be used; 60 is middle C.
        highest_note: Highest MIDI note that may be used.
        root: First note of the scale.
        scale: Scale that values are heard on.
        aht_range_s: Lowest and highest_note AHT in seconds; ``None`` takes what is heard, and the target,
            rounded outwards. Values outside sound as the nearest end and are marked.
        fcr_range: The same for FCR.
        anger_cue: Whether the angry share is heard as ``volume``, ``timbre`` (overtones) or ``both``.
        full_anger_share: Angry share that is heard as loudest and sharpest; more is the same.
        min_level_db: Level of an angry share of 0, below that of ``full_anger_share``.
        reference: Whether the target is heard as a soft pure tone beside each note.
        reference_db: Its level.
        pan: How far two agents are apart: 0 both in the middle, 1 hard left and right.
        midi_program: General MIDI instrument of the notes, from 0; a DAW brings its own.
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
    def _ranges_rise(self) -> SoundMapping:
        for name in ("aht_range_s", "fcr_range"):
            ends = getattr(self, name)
            if ends is not None and not ends[0] < ends[1]:
                raise ValueError(f"{name} {ends} must rise")
        if len(scale_notes(self)) < 2:
            raise ValueError(
                f"no two notes of {self.root} {self.scale} lie from {self.lowest_note} to {self.highest_note}"
            )
        return self


def scale_notes(mapping: SoundMapping) -> np.ndarray:
    """Return the MIDI notes of the scale within the range, low to high."""
    notes = np.arange(mapping.lowest_note, mapping.highest_note + 1)
    return notes[np.isin((notes - NAMES.index(mapping.root)) % 12, SCALES[mapping.scale])]


def note_of_value(
    values: np.ndarray, ends: tuple[float, float], mapping: SoundMapping
) -> np.ndarray:
    """Return the MIDI note of each value, missing where the value is.

    Args:
        values: Shape ``(n,)``; values outside ``ends`` take the nearest note.
        ends: Values of the range's low and high end.
        mapping: Scale and range.
    """
    notes = scale_notes(mapping)
    values = np.asarray(values, dtype=float)
    edges = np.linspace(*ends, len(notes) + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(notes) - 1)
    return np.where(np.isnan(values), np.nan, notes[place])


def bin_of_note(
    note: float, ends: tuple[float, float], mapping: SoundMapping
) -> tuple[float, float]:
    """Return the values that sound as a note: from the first to just below the second.

    Raises:
        ValueError: If the note is none of the scale.
    """
    notes = scale_notes(mapping)
    if note not in notes:
        raise ValueError(f"{note} is none of the scale's notes {notes.tolist()}")
    place = int(np.flatnonzero(notes == note)[0])
    edges = np.linspace(*ends, len(notes) + 1)
    return float(edges[place]), float(edges[place + 1])


def frequency_of_note(note: np.ndarray | float) -> np.ndarray | float:
    """Return frequencies in Hz of MIDI notes, in equal temperament with A4 (69) at 440 Hz."""
    return 440.0 * 2.0 ** ((np.asarray(note, dtype=float) - 69) / 12)


def note_name(note: float) -> str:
    """Return the name of a MIDI note, as ``C4`` for 60."""
    return f"{NAMES[int(note) % 12]}{int(note) // 12 - 1}"
