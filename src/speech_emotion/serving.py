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

**Requests are limited**, and what is above a limit has a row with the reason. Variables set other limits:

===============================  =======  ===================================================
variable                         default  limit
===============================  =======  ===================================================
``SPEECH_EMOTION_MAX_SECONDS``   600      seconds of a sound
``SPEECH_EMOTION_MAX_SOUNDS``    100      sounds of a request
``SPEECH_EMOTION_MAX_MB``        100      megabytes of text of a request
``SPEECH_EMOTION_MAX_WORK_S``    60       seconds that a request may wait and work
``SPEECH_EMOTION_PARALLEL``      2        requests of this process that work at the same time
===============================  =======  ===================================================

The server itself reads a request whole before the model sees it: put a proxy that limits bodies before it,
or ``speech-emotion serve``, which stops reading at its limit.

Python code that may open files uses the predictor itself, which reads any path::

    from speech_emotion.datasets import ModelDataset

    ModelDataset(uri="models:/speech-emotion@champion").load().predict_files(["a.wav"])
"""

from __future__ import annotations

import math
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import mlflow.models
import pandas as pd
import yaml
from mlflow.pyfunc import PythonModel

from speech_emotion.audio import SoundLimits
from speech_emotion.models import EmotionPredictor

__all__ = [
    "MAX_MB",
    "MAX_SECONDS",
    "MAX_SOUNDS",
    "MAX_WORK_S",
    "PARALLEL",
    "RECORDINGS",
    "EmotionModel",
]

RECORDINGS: Final = "SPEECH_EMOTION_RECORDINGS"
"""Environment variable with the folder whose recordings the model may read."""

MAX_SECONDS: Final = "SPEECH_EMOTION_MAX_SECONDS"
"""Environment variable with the longest accepted sound in seconds."""
MAX_SOUNDS: Final = "SPEECH_EMOTION_MAX_SOUNDS"
"""Environment variable with the most sounds of a request."""
MAX_MB: Final = "SPEECH_EMOTION_MAX_MB"
"""Environment variable with the megabytes of text of a request."""
MAX_WORK_S: Final = "SPEECH_EMOTION_MAX_WORK_S"
"""Environment variable with the seconds that a request may wait and work."""
PARALLEL: Final = "SPEECH_EMOTION_PARALLEL"
"""Environment variable with the requests that work at the same time."""
DEFAULTS: Final = {
    MAX_SECONDS: 600.0,
    MAX_SOUNDS: 100.0,
    MAX_MB: 100.0,
    MAX_WORK_S: 60.0,
    PARALLEL: 2.0,
}
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
        self.slots = threading.BoundedSemaphore(max(int(_limit(PARALLEL)), 1))
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
        until = time.monotonic() + _limit(MAX_WORK_S)
        folder = os.environ.get(RECORDINGS)
        entries = list(model_input["audio"])
        admitted = _admitted(entries)
        working = self.slots.acquire(timeout=_limit(MAX_WORK_S))
        try:
            predicted = self.predictor.predict_each(
                entries[:admitted],
                paths=bool(folder),
                below=Path(folder) if folder else None,
                limits=SoundLimits(max_seconds=_limit(MAX_SECONDS)),
                until=until if working else 0.0,
            )
        finally:
            if working:
                self.slots.release()
        table = predicted.table.reindex(range(len(entries)))
        table.loc[admitted:, "error"] = (
            f"not read: a request may have {_limit(MAX_SOUNDS):.0f} sounds and {_limit(MAX_MB):g} MB; "
            "send the rest in another one"
        )
        seconds = [*predicted.seconds, *[math.nan] * (len(entries) - admitted)]
        table["warning"] = [_warning(one) for one in seconds]
        table["model"] = self.predictor.title
        table["notice"] = SYNTHETIC if self.predictor.synthetic else None
        incomplete = [name for name in table if table[name].isna().any()]
        table[incomplete] = table[incomplete].astype(object).where(table[incomplete].notna(), None)
        return table


def _limit(name: str) -> float:
    """Return a limit of the environment, or its default; one that is no positive number is an error."""
    text = os.environ.get(name) or ""
    try:
        value = float(text or DEFAULTS[name])
    except ValueError:
        value = math.nan
    if not value > 0:
        raise ValueError(f"{name} has to be a number above 0, not {text!r}")
    return value


def _admitted(entries: list[Any]) -> int:
    """Return how many entries, from the first, are within the limits of a request."""
    most, size = int(_limit(MAX_SOUNDS)), 0.0
    for number, entry in enumerate(entries[:most]):
        size += len(entry) / 1e6 if isinstance(entry, str) else 0
        if size > _limit(MAX_MB):
            return number
    return min(len(entries), most)


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
            if registered["model_name"]:  # a model that was loaded by its id has none
                return f"{registered['model_name']} version {registered['model_version']}"
    return ""


mlflow.models.set_model(EmotionModel())
