"""The registered model. MLflow runs this file when it loads the model, so nothing is unpickled.

``mlflow models serve -m models:/speech-emotion@champion --env-manager local`` answers::

    POST / invocations
    {
        "dataframe_split": {
            "columns": ["audio"],
            "data": [["data:audio/wav;base64,UklGR…"], ["a.wav"]],
        }
    }

**Paths are closed.** The model reads sounds in base64 only, wherever it is loaded: by ``mlflow models
serve``, another server, Spark, a batch or a notebook. The operator of the process opens one folder by
an environment variable::

    SPEECH_EMOTION_RECORDINGS=/srv/calls mlflow models serve …

Then paths below that folder are read, relative ones start there, and links that lead out of it are
refused. A client cannot open anything: the model has no parameter for it.

**Sounds are limited** to ten minutes each; ``SPEECH_EMOTION_MAX_SECONDS`` sets another limit.

Python code that may open files uses the predictor itself, which reads any path::

    from speech_emotion.datasets import ModelDataset

    ModelDataset(uri="models:/speech-emotion@champion").load().predict_files(["a.wav"])
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import mlflow.models
import pandas as pd
from mlflow.pyfunc import PythonModel

from speech_emotion.audio import SoundLimits
from speech_emotion.models import EmotionPredictor

__all__ = ["MAX_SECONDS", "RECORDINGS", "EmotionModel"]

RECORDINGS: Final = "SPEECH_EMOTION_RECORDINGS"
"""Environment variable with the folder whose recordings the model may read."""

MAX_SECONDS: Final = "SPEECH_EMOTION_MAX_SECONDS"
"""Environment variable with the longest accepted sound in seconds."""
DEFAULT_MAX_SECONDS: Final = 600.0


class EmotionModel(PythonModel):
    """Predict emotions from a table with a column ``audio`` of sounds in base64, or of paths."""

    def load_context(self, context: Any) -> None:
        """Load the predictor from the model's artifacts."""
        self.predictor = EmotionPredictor.load(Path(context.artifacts["predictor"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict one row an entry, see :meth:`EmotionPredictor.predict_files`.

        An entry that cannot be used has a row with the reason in ``error``. Missing values are
        ``None``: JSON has no NaN, and a strict client would refuse the whole answer.
        """
        folder = os.environ.get(RECORDINGS)
        limits = SoundLimits(max_seconds=os.environ.get(MAX_SECONDS) or DEFAULT_MAX_SECONDS)
        table = self.predictor.predict_files(
            list(model_input["audio"]),
            paths=bool(folder),
            below=Path(folder) if folder else None,
            limits=limits,
        )
        incomplete = [name for name in table if table[name].isna().any()]
        table[incomplete] = table[incomplete].astype(object).where(table[incomplete].notna(), None)
        return table


mlflow.models.set_model(EmotionModel())
