"""The champion as a folder that anything can load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from speech_emotion.datasets.folders import Place

if TYPE_CHECKING:
    from speech_emotion.models.predictor import EmotionPredictor

__all__ = ["PredictorDataset"]


class PredictorDataset(AbstractDataset["EmotionPredictor", "EmotionPredictor"]):
    """A folder with an :class:`~speech_emotion.models.predictor.EmotionPredictor`."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        """Store the predictor in the folder ``filepath``.

        Args:
            filepath: Path or URL of the folder.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._filepath = filepath
        self._place = Place(filepath)
        self.metadata = metadata

    def save(self, data: EmotionPredictor) -> None:
        """Write the predictor in the place of an older one."""
        with self._place.to_write() as folder:
            data.save(folder)

    def load(self) -> EmotionPredictor:
        """Read the predictor without unpickling anything."""
        from speech_emotion.models.predictor import EmotionPredictor

        with self._place.to_read() as folder:
            return EmotionPredictor.load(folder)

    def _exists(self) -> bool:
        return self._place.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
