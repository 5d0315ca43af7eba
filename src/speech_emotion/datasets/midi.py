"""MIDI files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

if TYPE_CHECKING:
    import mido

__all__ = ["MidiDataset"]


class MidiDataset(AbstractDataset["mido.MidiFile", "mido.MidiFile"]):
    """Save and load one standard MIDI file with mido.

    Example:
        >>> import mido
        >>> MidiDataset(filepath="tune.mid").save(mido.MidiFile())  # doctest: +SKIP
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        """Store the file at ``filepath``.

        Args:
            filepath: Path of the ``.mid`` file.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: mido.MidiFile) -> None:
        """Write the file."""
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        data.save(self._filepath)

    def load(self) -> mido.MidiFile:
        """Read the file."""
        import mido

        return mido.MidiFile(self._filepath, charset="utf-8")

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}
