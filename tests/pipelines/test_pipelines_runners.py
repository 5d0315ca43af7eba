import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest

PROJECT = Path(__file__).parents[2]
SMALL = {
    "features": {"feature_set": "means_36"},
    "augmentation": {"copies": [], "variants": 0, "telephone": False},
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def features(tmp_path_factory, run_kedro):
    """Few features of the sample corpus; returns the folder of their data."""
    data_dir = tmp_path_factory.mktemp("data")
    names = ["ingestion", "augmentation", "feature_engineering"]
    run_kedro(data_dir, pipeline_names=names, params=SMALL)
    return data_dir


@pytest.mark.parametrize("runner", ["ParallelRunner", "ThreadRunner"])
def test_stages_run_in_parallel(features, runner):
    # In a process of its own, as its users do: forking this one, full of threads, would hang.
    chosen = ["logistic_regression", "conv1d"]
    params = f"data_dir={features},features.feature_set=means_36"
    params += f",selection.families={';'.join(chosen)},selection.compared=speaker_independent;random_split"
    command = ["-m", "kedro", "run", "--env", "test", "--pipeline", "model_selection"]
    subprocess.run(
        [sys.executable, *command, "--runner", runner, "--params", params], cwd=PROJECT, check=True
    )
    board = pd.read_parquet(features / "07_model_output/leaderboard.parquet")
    assert set(board["model"]) == {*chosen, "soft_voting", "stacking"}
    client = mlflow.MlflowClient(f"sqlite:///{features}/mlflow.db")
    experiment = client.get_experiment_by_name("speech-emotion")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    newest = max(
        (run for run in runs if run.info.run_name.startswith("test · ")),
        key=lambda run: run.info.start_time,
    )
    children = [
        run.info.run_name
        for run in runs
        if run.data.tags.get("mlflow.parentRunId") == newest.info.run_id
    ]
    expected = [*chosen, "soft_voting", "stacking"]
    assert sorted(children) == sorted(name.replace("_", " ") for name in expected)
