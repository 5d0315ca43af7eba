import logging
import types

import mlflow
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from speech_emotion.hooks import SummaryHooks


@pytest.fixture
def summary(tmp_path, monkeypatch, caplog):
    """Run the hooks of a small pipeline for a tracking server; return the logged text."""

    def run(server, project, params=None):
        experiment = types.SimpleNamespace(experiment_id="7")
        monkeypatch.setattr(mlflow, "get_experiment_by_name", lambda name: experiment)
        monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: server)
        ui = types.SimpleNamespace(host="127.0.0.1", port="5000")
        tracking = types.SimpleNamespace(experiment=types.SimpleNamespace(name="speech-emotion"))
        context = types.SimpleNamespace(mlflow=types.SimpleNamespace(tracking=tracking, ui=ui))
        entries = {
            "page": {
                "type": "text.TextDataset",
                "filepath": str(tmp_path / "page.html"),
                "metadata": {"speech_emotion": {"open": "Page of calls"}},
            },
            "hidden": {"type": "text.TextDataset", "filepath": str(tmp_path / "hidden.html")},
        }
        catalog = DataCatalog.from_config(entries)
        node = Node(lambda: ("", ""), None, ["page", "hidden"], name="write")
        hooks = SummaryHooks()
        hooks.after_context_created(context)
        hooks.before_pipeline_run()
        run_params = {"env": "test", "project_path": str(project), "runtime_params": params}
        with caplog.at_level(logging.INFO, logger="speech_emotion"):
            hooks.after_pipeline_run(run_params, Pipeline([node]), catalog)
        return caplog.messages[-1].splitlines()

    return run


def test_entries_with_a_title_and_the_training_runs_are_listed(summary, tmp_path):
    (tmp_path / "pyproject.toml").touch()
    lines = summary("sqlite:///mlflow.db", tmp_path)
    assert lines[1:3] == ["  Page of calls", f"    {tmp_path / 'page.html'}"]
    assert not any("hidden" in line for line in lines)
    assert "    kedro mlflow ui --env test" in lines
    page = "http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning"
    assert lines[-1].strip() == page


@pytest.mark.parametrize(("params", "is_project"), [({"data_dir": "/x"}, True), (None, False)])
def test_a_store_that_the_project_does_not_name_has_its_address(
    summary, tmp_path, params, is_project
):
    if is_project:
        (tmp_path / "pyproject.toml").touch()
    lines = summary("sqlite:////x/mlflow.db", tmp_path, params)
    assert "    mlflow ui --backend-store-uri sqlite:////x/mlflow.db" in lines


def test_a_server_needs_no_command(summary, tmp_path):
    lines = summary("https://mlflow.example.com", tmp_path)
    assert not any("mlflow ui" in line for line in lines)
    assert lines[-1].strip().startswith("https://mlflow.example.com/#/experiments/7/runs?")


@pytest.mark.parametrize(
    ("synthetic", "outputs", "hinted"),
    [(False, ["leaderboard"], True), (True, ["leaderboard"], False), (False, ["encoder"], False)],
)
def test_runs_on_real_corpora_without_an_encoder_say_what_it_would_add(
    tmp_path, monkeypatch, caplog, synthetic, outputs, hinted
):
    monkeypatch.setattr("speech_emotion.hooks.summary._leaderboard", lambda catalog: "")
    utterances = pd.DataFrame({"synthetic": [synthetic]})
    catalog = DataCatalog(
        {"utterances": MemoryDataset(utterances), "leaderboard": MemoryDataset(0)}
    )
    nodes = [
        Node(lambda: 0, None, name, name=name) for name in dict.fromkeys(["leaderboard", *outputs])
    ]
    hooks = SummaryHooks()
    hooks.before_pipeline_run()
    with caplog.at_level(logging.INFO, logger="speech_emotion"):
        hooks.after_pipeline_run({"project_path": str(tmp_path)}, Pipeline(nodes), catalog)
    assert ("--params encoder=" in caplog.text) is hinted
