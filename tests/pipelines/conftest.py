import shutil

import mlflow
import pytest


@pytest.fixture(scope="session")
def project(tmp_path_factory, run_kedro, uncompiled):
    """The whole default pipeline on a tiny sample corpus; returns the folder of its data."""
    data_dir = tmp_path_factory.mktemp("data")
    with uncompiled():
        run_kedro(data_dir)
    return data_dir


@pytest.fixture
def copied(project, tmp_path):
    """A copy of that folder, to run again in."""
    folder = tmp_path / "data"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("mlflow"))
    return folder


@pytest.fixture
def tracking(project):
    """A client of the run's tracking store."""
    uri = f"sqlite:///{project}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri)
