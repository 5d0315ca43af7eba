from pathlib import Path

import mlflow
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def run_kedro():
    """Run a pipeline in a session of its own, with its data under ``data_dir``."""
    bootstrap_project(PROJECT)

    def run(data_dir, *, env="test", params=None, **options):
        runtime_params = {"data_dir": str(data_dir), **(params or {})}
        with KedroSession.create(PROJECT, env=env, runtime_params=runtime_params) as session:
            return session.run(**options)

    return run


@pytest.fixture(scope="session")
def project(tmp_path_factory, run_kedro):
    """The whole default pipeline on a tiny sample corpus; returns the folder of its data."""
    data_dir = tmp_path_factory.mktemp("data")
    run_kedro(data_dir)
    return data_dir


@pytest.fixture
def tracking(project):
    """A client of the run's tracking store."""
    uri = f"sqlite:///{project}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri)
