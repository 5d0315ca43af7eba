"""MIDI files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from speech_emotion.runtime import download, exists, upload

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
            filepath: Path or URL of the ``.mid`` file.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._path = filepath  # by this name kedro-mlflow finds what it copies
        self.metadata = metadata

    def save(self, data: mido.MidiFile) -> None:
        """Write the file."""
        with upload(self._path) as path:
            data.save(path)

    def load(self) -> mido.MidiFile:
        """Read the file."""
        import mido

        with download(self._path) as path:
            return mido.MidiFile(path, charset="utf-8")

    def _exists(self) -> bool:
        return exists(self._path)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._path}
