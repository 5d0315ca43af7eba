"""The registered model: MLflow reads this file when it loads one, so nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.models
import pandas as pd
from mlflow.pyfunc import PythonModel

from speech_emotion.models.predictor import EmotionPredictor

__all__ = ["EmotionModel"]


class EmotionModel(PythonModel):
    """Predict emotions from a table with a column ``audio`` of paths."""

    def load_context(self, context: Any) -> None:
        """Load the predictor from the model's artifacts."""
        self.predictor = EmotionPredictor.load(Path(context.artifacts["predictor"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return one row a file, see :meth:`EmotionPredictor.predict_files`."""
        return self.predictor.predict_files(list(model_input["audio"]))


mlflow.models.set_model(EmotionModel())
