"""Models as folders: a fitted estimator of any family, the champion, and a pretrained encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from speech_emotion.runtime import download, exists, upload

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from speech_emotion.encoders import SpeechEncoder
    from speech_emotion.models import EmotionPredictor

__all__ = ["EncoderDataset", "EstimatorDataset", "PredictorDataset"]


class EstimatorDataset(AbstractDataset[Any, Any]):
    """A folder with one fitted estimator: skops for scikit-learn, ``.keras`` for networks.

    kedro-datasets stores either kind, but which one a model is shows only when it is fitted.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        """Store the model in the folder ``filepath``.

        Args:
            filepath: Path or URL of the folder.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._filepath = filepath
        self.metadata = metadata

    def save(self, data: BaseEstimator | EmotionPredictor | SpeechEncoder) -> None:
        """Write the model; an older one is replaced."""
        with upload(self._filepath) as folder:
            self._write(data, folder)

    def load(self) -> BaseEstimator | EmotionPredictor | SpeechEncoder:
        """Read the model without unpickling anything."""
        with download(self._filepath) as folder:
            return self._read(folder)

    def _write(self, data: BaseEstimator, folder: Path) -> None:
        from speech_emotion.models import save_estimator

        save_estimator(data, folder)

    def _read(self, folder: Path) -> BaseEstimator:
        from speech_emotion.models import load_estimator

        return load_estimator(folder)

    def _exists(self) -> bool:
        return exists(self._filepath)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}


class PredictorDataset(EstimatorDataset):
    """A folder with an :class:`~speech_emotion.models.predictor.EmotionPredictor`."""

    def _write(self, data: EmotionPredictor, folder: Path) -> None:
        data.save(folder)

    def _read(self, folder: Path) -> EmotionPredictor:
        from speech_emotion.models import EmotionPredictor

        return EmotionPredictor.load(folder)


class EncoderDataset(EstimatorDataset):
    """A folder with a :class:`~speech_emotion.encoders.SpeechEncoder`: ONNX graph and card."""

    def _write(self, data: SpeechEncoder, folder: Path) -> None:
        data.save(folder)

    def _read(self, folder: Path) -> SpeechEncoder:
        from speech_emotion.encoders import SpeechEncoder

        return SpeechEncoder.load(folder)
