"""The MLflow model registry, in which only a better version becomes champion.

kedro-mlflow's ``pipeline_ml_factory`` would register a whole Kedro pipeline: it unpickles when the model
is loaded, and copies every artifact for each prediction. Here the model is logged from code without
pickle, its artifacts are skops and ``.keras`` files, and a comparison decides the alias.
"""

from __future__ import annotations

import json
import logging
import math
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import mlflow
import pandas as pd
from kedro.io import AbstractDataset
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

import speech_emotion
from speech_emotion.datasets.inputs import TEST_SET, TRAINING_SET

if TYPE_CHECKING:
    from speech_emotion.models import EmotionPredictor

__all__ = [
    "NotRegistered",
    "Registered",
    "Registration",
    "RegistryDataset",
    "decide_alias",
    "describe_registered",
    "versions_of_run",
]

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
DESCRIPTION_LENGTH: Final = 5000
"""Characters of a description that every store of MLflow keeps."""
REGISTRATION: Final = "registration"
INCOMPLETE: Final = "incomplete"
"""Tag of a version that is being registered, and of one whose registration was interrupted."""
MISSING: Final = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
"""Error codes of MLflow for a model and an alias that do not exist."""
NOTE_LENGTH: Final = 8000
"""Characters that MLflow accepts in a tag."""
REQUIRED: Final = (
    "fsspec",
    "joblib",
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
    "threadpoolctl",
    "tqdm",
    "universal-pathlib",
)
"""Packages that every model needs."""
NETWORKS: Final = ("keras", "tensorflow-cpu", "tensorflow")
TREES: Final = ("xgboost-cpu", "xgboost")
ENCODERS: Final = ("onnxruntime",)
"""Packages that only some models need."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registration:
    """A model that is registered, and what decides whether it becomes champion.

    Attributes:
        predictor: The model.
        metric: Name of the metric that it is compared by.
        value: Value of the metric on the test set.
        split: Digest of the test set; metrics are comparable only for equal digests.
        example: Value of the column ``audio`` that is stored as the input example: a sound in base64,
            which works wherever the model is served.
        tags: Tags of the version.
        metrics: Metrics that are shown with the model.
        inputs: MLflow datasets by context, ``training`` and ``test``; the metrics are linked with the
            test set.
        decision: Whether it becomes champion and why, if that was decided by other data than the test
            set; ``None`` to compare ``value`` with the champion's.
        obstacle: Why it must not become champion, whatever its value; empty if nothing is against it.
    """

    predictor: EmotionPredictor
    metric: str
    value: float
    split: str
    example: str
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    decision: tuple[bool, str] | None = None
    obstacle: str = ""


@dataclass(frozen=True)
class NotRegistered:
    """No model is registered.

    Attributes:
        reason: Why, and what to do.
    """

    reason: str


class Registered(NamedTuple):
    """A new version of a registered model."""

    name: str
    version: str
    alias: str
    reason: str

    @property
    def title(self) -> str:
        """Name, version and alias for people."""
        return f"{self.name} version {self.version} ({self.alias})"


def decide_alias(registration: Registration, champion: dict[str, str] | None) -> tuple[str, str]:
    """Decide between ``champion`` and ``challenger``.

    Args:
        registration: The new model.
        champion: Tags of the current champion's version, or ``None`` if there is none.

    Returns:
        The alias and the reason in words.
    """
    ours = f"{registration.metric} {registration.value:.4f}"
    theirs = float("nan") if champion is None else float(champion.get(registration.metric, "nan"))
    if registration.obstacle:
        return CHALLENGER, f"{ours} does not count: {registration.obstacle}"
    if registration.decision is not None:
        better, reason = registration.decision
        return CHAMPION if better else CHALLENGER, reason
    if math.isfinite(registration.value) and champion is None:
        return CHAMPION, f"{ours}: there was no champion"
    comparable = math.isfinite(registration.value) and math.isfinite(theirs)
    if champion is None or champion.get("split") != registration.split or not comparable:
        split = None if champion is None else champion.get("split")
        return CHALLENGER, (
            f"{ours} cannot be compared: the champion was evaluated on another test set, or by another "
            f"metric (split {split}, here {registration.split}); set the alias by hand "
            "to replace it"
        )
    if registration.value > theirs:
        return CHAMPION, f"{ours} beats the former champion's {theirs:.4f} on the same split"
    return CHALLENGER, f"{ours} does not beat the champion's {theirs:.4f} on the same split"


class RegistryDataset(AbstractDataset["Registration | NotRegistered", "Registered | None"]):
    """Register a model on save; load the version that this run has registered."""

    def __init__(self, *, name: str, metadata: dict[str, Any] | None = None):
        """Use the registered model ``name``.

        Args:
            name: Name in the MLflow model registry.
            metadata: Ignored by Kedro, read by its plugins.
        """
        self._name = name
        self.metadata = metadata
        self.registered: Registered | None = None

    def save(self, data: Registration | NotRegistered) -> None:
        """Log the model with its metrics and data, register a new version and give it an alias.

        The alias is given last. A version whose registration was interrupted is deleted by the next one.

        Raises:
            MlflowException: If the registry cannot be read or written; then nothing is decided.
        """
        if isinstance(data, NotRegistered):
            logger.warning("No version of %s is registered: %s", self._name, data.reason)
            return
        client = mlflow.MlflowClient()
        self._remove_incomplete(client)
        alias, reason = decide_alias(data, self._champion_tags())
        package = Path(speech_emotion.__file__).parent
        with tempfile.TemporaryDirectory() as folder:
            data.predictor.save(Path(folder) / "predictor")
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(package / "serving.py"),
                artifacts={"predictor": str(Path(folder) / "predictor")},
                code_paths=[str(package)],
                signature=_signature(data.predictor.labels),
                input_example=pd.DataFrame({"audio": [data.example]}),
                pip_requirements=_pinned(data.predictor),
            )
        if data.metrics:
            dataset = data.inputs.get(TEST_SET) or data.inputs.get(TRAINING_SET)
            mlflow.log_metrics(data.metrics, model_id=logged.model_id, dataset=dataset)
        version = self._register(client, logged, data, reason)
        client.set_registered_model_alias(self._name, alias, version)
        client.delete_model_version_tag(self._name, version, REGISTRATION)
        self.registered = Registered(self._name, version, alias, reason)
        logger.info("Registered %s version %s as %s: %s", self._name, version, alias, reason)

    def _remove_incomplete(self, client: mlflow.MlflowClient) -> None:
        """Finish or delete the versions that interrupted runs left."""
        for found in client.search_model_versions(f"name = '{self._name}'"):
            if found.tags.get(REGISTRATION) != INCOMPLETE:
                continue
            version = client.get_model_version(self._name, found.version)
            if version.run_id and _is_running(client, version.run_id):
                continue  # another process is registering it
            if version.aliases:  # only the mark is left
                client.delete_model_version_tag(self._name, version.version, REGISTRATION)
                continue
            client.delete_model_version(self._name, version.version)
            logger.warning(
                "Deleted %s version %s: the run that registered it was interrupted",
                self._name,
                version.version,
            )

    def _register(
        self, client: mlflow.MlflowClient, logged: Any, data: Registration, reason: str
    ) -> str:
        """Create a version of the registered model, which is created too if it is the first."""
        try:
            client.get_registered_model(self._name)
        except MlflowException as error:
            if error.error_code not in MISSING:
                raise
            client.create_registered_model(self._name)
        tags = {data.metric: repr(data.value), "split": data.split} | data.tags
        tags |= {"alias_reason": reason, REGISTRATION: INCOMPLETE}
        version = client.create_model_version(
            self._name,
            logged.model_uri,
            run_id=logged.run_id,
            tags=tags,
            model_id=logged.model_id,
        )
        # The page of the logged model shows it; mlflow.register_model would also print messages.
        link = [{"name": self._name, "version": version.version}]
        client.set_logged_model_tags(logged.model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(link)})
        return str(version.version)

    def load(self) -> Registered | None:
        """Return the version that this run has registered, ``None`` if it registers none."""
        return self.registered

    def _champion_tags(self) -> dict[str, str] | None:
        try:
            version = mlflow.MlflowClient().get_model_version_by_alias(self._name, CHAMPION)
        except MlflowException as error:
            if error.error_code not in MISSING:
                raise  # a champion that cannot be looked up now is not a missing one
            return None
        return dict(version.tags)

    def _exists(self) -> bool:
        return self._champion_tags() is not None

    def _describe(self) -> dict[str, Any]:
        return {"name": self._name}


def describe_registered(name: str, text: str) -> None:
    """Describe the registered model and the version of the active run, if the run registered one.

    Args:
        name: Name in the MLflow model registry.
        text: Markdown; what MLflow cannot store is cut off.
    """
    active = mlflow.active_run()
    if active is None:
        return
    client = mlflow.MlflowClient()
    for version in versions_of_run(name, active.info.run_id):
        client.update_model_version(name, version.version, text[:DESCRIPTION_LENGTH])
        client.update_registered_model(name, text[:DESCRIPTION_LENGTH])
        note = {"mlflow.note.content": text[:NOTE_LENGTH]}
        client.set_logged_model_tags(str(version.source).removeprefix("models:/"), note)


def versions_of_run(name: str, run_id: str) -> list[ModelVersion]:
    """Return the versions of the registered model that a run has registered, with their aliases."""
    client = mlflow.MlflowClient()
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    return [client.get_model_version(name, version.version) for version in found]


def _is_running(client: mlflow.MlflowClient, run_id: str) -> bool:
    """Whether a run, other than that of this process, goes on."""
    active = mlflow.active_run()
    if active is not None and active.info.run_id == run_id:
        return False
    return client.get_run(run_id).info.status == "RUNNING"


def _signature(labels: tuple[str, ...]) -> ModelSignature:
    text, real = DataType.string, DataType.double
    outputs: list[ColSpec | TensorSpec] = [ColSpec(text, "emotion", required=False)]
    outputs += [ColSpec(real, label, required=False) for label in labels]
    outputs.append(ColSpec(text, "error", required=False))
    return ModelSignature(Schema([ColSpec(text, "audio")]), Schema(outputs))


def _pinned(predictor: EmotionPredictor) -> list[str]:
    """Return the installed versions of the packages that the model needs."""
    families = {member.family for member in predictor.members}
    names = list(REQUIRED)
    names += ENCODERS if predictor.encoder is not None else ()
    names += TREES if "xgboost" in families else ()
    # Keras networks, of recordings or of the frames of an encoder, also as part of other estimators.
    networks = any(name.startswith("conv") or name == "encoder_attention" for name in families)
    names += NETWORKS if networks else ()
    installed = {
        dist.metadata["Name"].lower().replace("_", "-") for dist in metadata.distributions()
    }
    return [f"{name}=={metadata.version(name)}" for name in names if name in installed]
