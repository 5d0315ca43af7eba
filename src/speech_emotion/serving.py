"""The registered model: MLflow reads this file when it loads one, so nothing is unpickled.

``mlflow models serve -m models:/speech-emotion@champion --env-manager local`` answers::

    POST / invocations
    {
        "dataframe_split": {
            "columns": ["audio"],
            "data": [["data:audio/wav;base64,UklGR…"], ["a.wav"]],
        }
    }

A server reads paths only if the operator names the folder that they lie in::

    SPEECH_EMOTION_RECORDINGS=/srv/calls mlflow models serve …

Relative paths start there, and nothing outside is read, links followed. Without the variable a
server takes sounds in base64 alone, so that no client can probe the machine's files. In Python, a
notebook or a batch, where the caller could open any file anyway, all paths are read unless the
variable is set.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import mlflow.models
import pandas as pd
from mlflow.pyfunc import PythonModel

from speech_emotion.models import EmotionPredictor

__all__ = ["RECORDINGS", "EmotionModel"]

RECORDINGS: Final = "SPEECH_EMOTION_RECORDINGS"
"""Environment variable with the folder that recordings may be read from."""

SERVERS: Final = ("mlflow.pyfunc.scoring_server.app", "mlserver")
"""Modules that only a process answering HTTP imports; the model pins the MLflow it was tried with."""


class EmotionModel(PythonModel):
    """Predict emotions from a table with a column ``audio`` of paths or sounds in base64."""

    def load_context(self, context: Any) -> None:
        """Load the predictor from the model's artifacts."""
        self.predictor = EmotionPredictor.load(Path(context.artifacts["predictor"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return one row an entry, see :meth:`EmotionPredictor.predict_files`.

        What cannot be used has a row with the reason in ``error``.
        """
        below = os.environ.get(RECORDINGS)
        serving = any(name in sys.modules for name in SERVERS)
        table = self.predictor.predict_files(
            list(model_input["audio"]),
            paths=bool(below) or not serving,
            below=Path(below) if below else None,
        )
        # JSON has no NaN: a strict client would refuse the whole answer for one bad entry.
        return table.astype(object).where(table.notna(), None) if serving else table


mlflow.models.set_model(EmotionModel())
