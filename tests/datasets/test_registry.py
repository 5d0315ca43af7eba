"""Registration that fails half-way, and a registry that cannot be read."""

import shutil
from types import SimpleNamespace

import mlflow
import mlflow.pyfunc
import pytest
from kedro.io import DatasetError
from mlflow.exceptions import MlflowException

from speech_emotion.datasets import RegistryDataset
from speech_emotion.datasets import registry as module
from speech_emotion.datasets.registry import Registration, decide_alias

NAME = "speech-emotion"


class Predictor(SimpleNamespace):
    """What registration needs of a predictor whose model is not logged here."""

    labels = ("angry", "sad")
    members = ()
    encoder = None

    def save(self, folder):
        folder.mkdir()
        (folder / "predictor.json").write_text("{}")


def registration(value, **options):
    return Registration(Predictor(), "uar", value, "split", "", **options)


@pytest.fixture
def client(empty_store, tmp_path, monkeypatch):
    """A registry of its own; models are logged without their code and requirements."""
    before = mlflow.get_tracking_uri()
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = mlflow.create_experiment("models", artifact_location=str(tmp_path / "artifacts"))
    client = mlflow.MlflowClient()

    def log_model(**_):
        run = mlflow.active_run().info.run_id
        model = client.create_logged_model(experiment, source_run_id=run)
        client.finalize_logged_model(model.model_id, "READY")
        uri = f"models:/{model.model_id}"
        return SimpleNamespace(model_id=model.model_id, model_uri=uri, run_id=run)

    monkeypatch.setattr(mlflow.pyfunc, "log_model", log_model)
    client.experiment = experiment
    yield client
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before)


def register(client, value, status="FINISHED"):
    with mlflow.start_run(experiment_id=client.experiment) as run:
        RegistryDataset(name=NAME).save(registration(value))
    client.set_terminated(run.info.run_id, status)


def versions(client):
    found = client.search_model_versions(f"name = '{NAME}'")
    rows = [client.get_model_version(NAME, version.version) for version in found]
    return {str(row.version): (list(row.aliases), row.tags.get("registration")) for row in rows}


def test_a_champion_that_cannot_be_looked_up_is_not_a_missing_one(client, monkeypatch):
    register(client, 0.99)
    broken = MlflowException("database is locked")  # INTERNAL_ERROR
    real = mlflow.MlflowClient.get_model_version_by_alias

    def fail(*_):
        raise broken

    monkeypatch.setattr(mlflow.MlflowClient, "get_model_version_by_alias", fail)
    with pytest.raises(DatasetError, match="locked"):
        register(client, 0.10)
    monkeypatch.setattr(mlflow.MlflowClient, "get_model_version_by_alias", real)
    register(client, 0.10)
    assert versions(client) == {"1": (["champion"], None), "2": (["challenger"], None)}


@pytest.mark.parametrize("step", ["set_logged_model_tags", "set_registered_model_alias"])
def test_a_registration_that_was_interrupted_is_removed_by_the_next(client, monkeypatch, step):
    register(client, 0.5)

    def interrupt(*_):
        raise KeyboardInterrupt

    real = getattr(mlflow.MlflowClient, step)
    monkeypatch.setattr(mlflow.MlflowClient, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        register(client, 0.9)
    assert versions(client) == {"1": (["champion"], None), "2": ([], "incomplete")}
    monkeypatch.setattr(mlflow.MlflowClient, step, real)
    register(client, 0.8)
    first, second = versions(client).values()
    assert sorted([first, second]) == [([], None), (["champion"], None)]


def test_a_registration_that_lacks_only_its_end_is_finished(client, monkeypatch):
    real = mlflow.MlflowClient.delete_model_version_tag

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(mlflow.MlflowClient, "delete_model_version_tag", interrupt)
    with pytest.raises(KeyboardInterrupt):
        register(client, 0.9)
    monkeypatch.setattr(mlflow.MlflowClient, "delete_model_version_tag", real)
    register(client, 0.5)
    assert versions(client) == {"1": (["champion"], None), "2": (["challenger"], None)}


@pytest.mark.parametrize(
    ("options", "champion", "expected"),
    [
        ({"obstacle": "leaks"}, None, ("challenger", "uar 0.9000 does not count: leaks")),
        ({}, {"split": "split", "uar": "nan"}, ("challenger", "cannot be compared")),
        ({}, {"split": "split"}, ("challenger", "cannot be compared")),
        ({}, {"split": "split", "uar": "0.8"}, ("champion", "beats")),
    ],
)
def test_who_becomes_champion(options, champion, expected):
    alias, reason = decide_alias(registration(0.9, **options), champion)
    assert alias == expected[0]
    assert expected[1] in reason
    assert module.decide_alias(registration(float("nan")), None)[0] == "challenger"
