"""The MLflow model registry, where a version becomes champion only by being better.

kedro-mlflow's ``pipeline_ml_factory`` would register a whole Kedro pipeline: it unpickles on load
and copies every artifact a prediction. Here the model is logged *from code* (no pickle), its
artifacts are skops and ``.keras`` files, and the alias is decided by a comparison.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import mlflow
import pandas as pd
from kedro.io import AbstractDataset
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

import speech_emotion

if TYPE_CHECKING:
    from speech_emotion.models import EmotionPredictor

__all__ = ["Registration", "RegistryDataset", "decide_alias"]

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
REQUIRED: Final = (
    "joblib",
    "keras",
    "lazy-loader",
    "librosa",
    "mlflow",
    "numpy",
    "pandas",
    "pydantic",
    "scikit-learn",
    "scipy",
    "skops",
    "soundfile",
    "soxr",
    "tensorflow-cpu",
    "tensorflow",
    "xgboost-cpu",
    "xgboost",
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registration:
    """A model that asks to become champion.

    Attributes:
        predictor: The model.
        metric: Name of the figure it is compared by.
        value: Its value on the held-out utterances.
        split: Digest of the held-out utterances; figures compare on equal digests only.
        example: Value of the column ``audio``, stored as the input example: a sound in base64, so
            that it works wherever the model is served.
        tags: Facts to store with the version.
    """

    predictor: EmotionPredictor
    metric: str
    value: float
    split: str
    example: str
    tags: dict[str, str] = field(default_factory=dict)


def decide_alias(registration: Registration, champion: dict[str, str] | None) -> tuple[str, str]:
    """Decide between ``champion`` and ``challenger``.

    Args:
        registration: The new model.
        champion: Tags of the present champion's version, or ``None`` if there is none.

    Returns:
        The alias and the reason in words.
    """
    ours = f"{registration.metric} {registration.value:.4f}"
    if champion is None:
        return CHAMPION, f"{ours}: there was no champion"
    if champion.get("split") != registration.split:
        return CHALLENGER, (
            f"{ours} cannot be compared: the champion was measured on other held-out utterances "
            f"(split {champion.get('split')}, here {registration.split}); set the alias by hand "
            "if this model shall replace it"
        )
    theirs = float(champion[registration.metric])
    if registration.value > theirs:
        return CHAMPION, f"{ours} beats the former champion's {theirs:.4f} on the same split"
    return CHALLENGER, f"{ours} does not beat the champion's {theirs:.4f} on the same split"


class RegistryDataset(AbstractDataset[Registration, Any]):
    """Register a model on save; load the champion as a pyfunc."""

    def __init__(self, *, name: str, metadata: dict[str, Any] | None = None):
        """Use the registered model ``name``.

        Args:
            name: Name in the MLflow model registry.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._name = name
        self.metadata = metadata

    def save(self, data: Registration) -> None:
        """Log the model, register it as a new version and give it its alias."""
        alias, reason = decide_alias(data, self._champion_tags())
        package = Path(speech_emotion.__file__).parent
        labels = data.predictor.labels
        with tempfile.TemporaryDirectory() as folder:
            data.predictor.save(Path(folder) / "predictor")
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(package / "serving.py"),
                artifacts={"predictor": str(Path(folder) / "predictor")},
                code_paths=[str(package)],
                signature=_signature(labels),
                input_example=pd.DataFrame({"audio": [data.example]}),
                pip_requirements=_pinned(),
                registered_model_name=self._name,
            )
        version = str(logged.registered_model_version)
        client = mlflow.MlflowClient()
        tags = {data.metric: repr(data.value), "split": data.split, "alias_reason": reason}
        for key, value in (tags | data.tags).items():
            client.set_model_version_tag(self._name, version, key, value)
        client.set_registered_model_alias(self._name, alias, version)
        logger.info("Registered %s version %s as %s: %s", self._name, version, alias, reason)

    def load(self) -> Any:
        """Load the champion."""
        return mlflow.pyfunc.load_model(f"models:/{self._name}@{CHAMPION}")

    def _champion_tags(self) -> dict[str, str] | None:
        try:
            version = mlflow.MlflowClient().get_model_version_by_alias(self._name, CHAMPION)
        except MlflowException:  # neither the model nor the alias need exist
            return None
        return dict(version.tags)

    def _exists(self) -> bool:
        return self._champion_tags() is not None

    def _describe(self) -> dict[str, Any]:
        return {"name": self._name}


def _signature(labels: tuple[str, ...]) -> ModelSignature:
    text, real = DataType.string, DataType.double
    outputs: list[ColSpec | TensorSpec] = [ColSpec(text, "emotion", required=False)]
    outputs += [ColSpec(real, label, required=False) for label in labels]
    outputs.append(ColSpec(text, "error", required=False))
    return ModelSignature(Schema([ColSpec(text, "audio")]), Schema(outputs))


def _pinned() -> list[str]:
    """The versions that run here; packages that are not installed are not needed."""
    installed = {dist.metadata["Name"].lower() for dist in metadata.distributions()}
    return [f"{name}=={metadata.version(name)}" for name in REQUIRED if name in installed]
