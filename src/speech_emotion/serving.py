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
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import mlflow.models
import pandas as pd
import yaml
from mlflow.pyfunc import PythonModel

from speech_emotion.audio import SoundLimits
from speech_emotion.models import EmotionPredictor

__all__ = ["MAX_SECONDS", "RECORDINGS", "EmotionModel"]

RECORDINGS: Final = "SPEECH_EMOTION_RECORDINGS"
"""Environment variable with the folder whose recordings the model may read."""

MAX_SECONDS: Final = "SPEECH_EMOTION_MAX_SECONDS"
"""Environment variable with the longest accepted sound in seconds."""
DEFAULT_MAX_SECONDS: Final = 600.0
UTTERANCE_S: Final = 15.0
"""Longest sound that is like the utterances of the training corpora."""
REGISTRY_FILE: Final = "registered_model_meta"
"""File that MLflow adds to a model from its registry."""
SYNTHETIC: Final = (
    "The model was trained on the SYNTHETIC sample corpus: it means nothing for real speech"
)


class EmotionModel(PythonModel):
    """Predict emotions from a table with a column ``audio`` of sounds in base64, or of paths."""

    def load_context(self, context: Any) -> None:
        """Load the predictor from the model's artifacts."""
        folder = Path(context.artifacts["predictor"])
        self.predictor = replace(EmotionPredictor.load(folder), version=_version(folder))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict one row an entry, see :meth:`EmotionPredictor.predict_files`.

        An entry that cannot be used has a row with the reason in ``error``; ``warning`` says if a sound is
        longer than an utterance. ``model`` is name and version, ``notice`` marks models of synthetic
        speech. Missing values are
        ``None``: JSON has no NaN, and a strict client would refuse the whole answer.
        """
        folder = os.environ.get(RECORDINGS)
        limits = SoundLimits(max_seconds=os.environ.get(MAX_SECONDS) or DEFAULT_MAX_SECONDS)
        predicted = self.predictor.predict_each(
            list(model_input["audio"]),
            paths=bool(folder),
            below=Path(folder) if folder else None,
            limits=limits,
        )
        table = predicted.table
        table["warning"] = [_warning(seconds) for seconds in predicted.seconds]
        table["model"] = self.predictor.title
        table["notice"] = SYNTHETIC if self.predictor.synthetic else None
        incomplete = [name for name in table if table[name].isna().any()]
        table[incomplete] = table[incomplete].astype(object).where(table[incomplete].notna(), None)
        return table


def _warning(seconds: float) -> str | None:
    if not seconds > UTTERANCE_S:
        return None
    return (
        f"{seconds:.0f} s is longer than an utterance, for which the model is made: one answer says little. "
        "Score whole calls with `speech-emotion serve` or the pipeline call_scoring"
    )


def _version(folder: Path) -> str:
    """Return name and version, if the model was downloaded from a registry."""
    for parent in folder.parents[:3]:
        if (parent / REGISTRY_FILE).is_file():
            registered = yaml.safe_load((parent / REGISTRY_FILE).read_text(encoding="utf-8"))
            return f"{registered['model_name']} version {registered['model_version']}"
    return ""


mlflow.models.set_model(EmotionModel())
