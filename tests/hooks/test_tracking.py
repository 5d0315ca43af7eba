import json
import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from speech_emotion.evaluation import SelectionSettings
from speech_emotion.hooks import TrackingHooks
from speech_emotion.hooks.tracking import SELECTION_TABLES, locate_artifacts
from speech_emotion.reporting.models import format_leaderboard, headline_table, run_metrics

LABELS = ("angry", "sad")
MODELS = {"svm": 0.7, "mlp": 0.6, "soft_voting": 0.8}
PROTOCOLS = ("speaker_independent", "random_split")


def leaderboard():
    rows = []
    for model, uar in MODELS.items():
        for protocol in PROTOCOLS:
            for condition in ("clean", "telephone"):
                for evaluation in ("cross-validation", "test"):
                    shift = 0.01 * (protocol != PROTOCOLS[0]) - 0.1 * (condition == "telephone")
                    score = uar + shift - 0.02 * (evaluation == "cross-validation")
                    row = {"model": model, "protocol": protocol, "condition": condition}
                    row |= {"evaluation": evaluation, "n_utterances": 20, "n_speakers": 4}
                    for name in ("accuracy", "uar", "macro_f1"):
                        row |= {
                            name: score,
                            f"{name}_low": score - 0.1,
                            f"{name}_high": score + 0.1,
                        }
                    row |= {"fit_seconds": 1.5, "predict_ms": 2.0}
                    rows.append(row)
    table = pd.DataFrame(rows)
    best = (table["model"] == "soft_voting") & (table["protocol"] == PROTOCOLS[0])
    return table.assign(champion=best)


def predictions():
    frames = []
    for model in MODELS:
        label = np.array(LABELS)[np.arange(20) % 2]
        frame = pd.DataFrame({"utterance_id": [f"u{i}" for i in range(20)], "label": label})
        frame["p_angry"] = np.where(label == "angry", 0.8, 0.3)
        if model == "mlp":
            frame["p_angry"] = 0.5
        frame["p_sad"] = 1 - frame["p_angry"]
        frames += [
            frame.assign(model=model, protocol=PROTOCOLS[0], condition="clean", evaluation=name)
            for name in ("test", "cross-validation")
        ]
    return pd.concat(frames, ignore_index=True)


def tables():
    trials = [
        ("svm", 0, "complete", 0.65, "[0.6, 0.7]", 3.0, '{"C": 1.0}'),
        ("svm", 1, "failed", np.nan, "[]", np.nan, '{"C": -1.0}'),
    ]
    names = ["model", "trial", "state", "uar", "fold_uar", "seconds", "params"]
    curves = pd.DataFrame(
        [
            ("mlp", PROTOCOLS[0], fold, epoch, 1.0 / (epoch + 1))
            for fold in (0, 1)
            for epoch in (0, 1)
        ],
        columns=["model", "protocol", "run", "epoch", "loss"],
    )
    ids = [f"u{i}" for i in range(60)]
    utterances = pd.DataFrame(
        {
            "utterance_id": ids,
            "corpus": ["ravdess" if i % 2 else "tess" for i in range(60)],
            "label": np.array(LABELS)[np.arange(60) % 2],
            "synthetic": True,
        }
    )
    split = np.where(np.arange(60) < 20, "test", "train")
    return {
        "leaderboard": leaderboard(),
        "predictions": predictions(),
        "trials": pd.DataFrame(trials, columns=names),
        "learning_curves": curves.assign(accuracy=0.5, val_loss=np.nan, val_accuracy=np.nan),
        "candidates": pd.DataFrame(
            {
                "model": ["svm", "mlp"],
                "family": ["svm", "mlp"],
                "hyperparameters": ['{"C": 1.0}', '{"alpha": 0.1}'],
                "started": pd.to_datetime(["2026-01-01T10:00:00Z", "2026-01-01T10:05:00Z"]),
                "ended": pd.to_datetime(["2026-01-01T10:01:00Z", "2026-01-01T10:07:00Z"]),
            }
        ),
        "utterances": utterances,
        "splits": pd.concat(
            pd.DataFrame({"utterance_id": ids, "protocol": name, "split": split})
            for name in PROTOCOLS
        ),
    }


@pytest.fixture
def runs(tmp_path, empty_store):
    """Track a run of model selection; return its child runs by name, and the run as None."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = mlflow.create_experiment("speech-emotion", (tmp_path / "mlflow").as_posix())
    data = tables() | {"params:selection": SelectionSettings(storage="sqlite://")}
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in data.items()})
    outputs = sorted(SELECTION_TABLES)
    pipeline = Pipeline([Node(lambda splits: None, "splits", outputs, name="select")])
    hooks = TrackingHooks()
    hooks._opened_here = True
    with mlflow.start_run(experiment_id=experiment, run_name="__default__") as run:
        hooks.before_pipeline_run({"env": None, "project_path": str(tmp_path)}, pipeline, catalog)
        hooks.after_dataset_loaded("splits")
        for name in outputs:
            assert len(mlflow.MlflowClient().search_runs([experiment])) == 1
            hooks.after_dataset_saved(name, catalog[name].load())
    hooks.after_pipeline_run({"runner": "SequentialRunner"}, pipeline)
    found = mlflow.MlflowClient().search_runs([experiment], max_results=100)
    yield {
        None if each.info.run_id == run.info.run_id else each.info.run_name: each for each in found
    }
    mlflow.set_tracking_uri(before)


def test_the_run_has_a_telling_name_and_the_headline_of_the_champion(runs):
    run = runs[None]
    assert run.info.run_name == "sample · soft voting · UAR 80.0 %"
    assert set(run.data.metrics) == {
        "uar",
        "uar_low",
        "uar_high",
        "accuracy",
        "macro_f1",
        "anger_auc",
    }
    assert run.data.metrics["uar"] == pytest.approx(0.8)
    assert run.data.metrics["anger_auc"] == 1
    assert "SYNTHETIC" in run.data.tags["mlflow.note.content"]
    assert "| svm | 70.0 %" in run.data.tags["mlflow.note.content"]
    assert run.data.params == {}  # this pipeline has none
    assert contexts(run) == {"training": 40, "test": 20}


def contexts(run):
    return {
        entry.tags[0].value: json.loads(entry.dataset.profile)["num_rows"]
        for entry in run.inputs.dataset_inputs
    }


def test_every_model_is_a_child_run_with_the_time_of_its_training(runs):
    parent = runs[None].info.run_id
    children = {
        name for name, run in runs.items() if run.data.tags.get("mlflow.parentRunId") == parent
    }
    assert children == {"svm", "mlp", "soft voting"}
    start = pd.Timestamp("2026-01-01T10:00:00Z").timestamp() * 1000
    svm, ensemble = runs["svm"], runs["soft voting"]
    assert (svm.info.start_time, svm.info.end_time) == (start, start + 60_000)
    assert (ensemble.info.start_time, ensemble.info.end_time) == (start, start + 7 * 60_000)
    assert svm.data.params == {"C": "1.0"}
    assert contexts(svm) == {"training": 40, "test": 20}
    tags = {
        key: svm.data.tags[key] for key in ("family", "kind", "synthetic", "protocol", "champion")
    }
    assert tags == {
        "family": "svm",
        "kind": "family",
        "synthetic": "True",
        "protocol": "speaker_independent",
        "champion": "False",
    }
    assert ensemble.data.tags["kind"] == "ensemble"
    assert ensemble.data.tags["champion"] == "True"


def test_child_runs_have_few_metrics_in_groups(runs):
    metrics = runs["svm"].data.metrics
    assert {name for name in metrics if "/" in name} == {
        "cross-validation/uar",
        "cross-validation/accuracy",
        "telephone/uar",
        "protocols/random_split",
        "cost/fit_seconds",
        "cost/predict_ms",
        "tuning/uar",
    }
    assert metrics["cross-validation/uar"] == pytest.approx(0.68)
    assert metrics["telephone/uar"] == pytest.approx(0.6)
    assert metrics["protocols/random_split"] == pytest.approx(0.71)
    assert runs["mlp"].data.metrics["anger_auc"] == 0.5
    history = mlflow.MlflowClient().get_metric_history(runs["mlp"].info.run_id, "training/loss")
    assert [(entry.step, entry.value) for entry in history] == [(0, 1.0), (1, 0.5)]


def test_trials_are_runs_below_their_family(runs):
    trial, failed = runs["svm · trial 0"], runs["svm · trial 1"]
    assert trial.data.tags["mlflow.parentRunId"] == runs["svm"].info.run_id
    assert trial.data.params == {"C": "1.0"}
    assert trial.data.metrics["mean_fold_uar"] == 0.65
    assert trial.info.end_time - trial.info.start_time == 3000
    assert failed.info.status == "FAILED"


def test_without_a_test_set_the_headline_is_cross_validation():
    board = leaderboard()
    board = board[board["evaluation"] != "test"]
    headline = headline_table(board)
    assert set(headline["evaluation"]) == {"cross-validation"}
    assert headline["anger_auc"].isna().all()
    metrics = run_metrics(board, headline, "svm")
    assert metrics["uar"] == pytest.approx(0.68)
    assert "cross-validation/uar" not in metrics


def test_the_leaderboard_fits_a_console_of_80_columns():
    board = leaderboard().replace("soft_voting", "a_family_of_24_characters")
    lines = format_leaderboard(headline_table(board), "a_family_of_24_characters").splitlines()
    assert max(map(len, lines)) <= 80
    assert [line[0] for line in lines[2:5]] == ["*", " ", " "]
    assert lines[-1].startswith("* champion")


def test_artifacts_of_a_local_store_lie_beside_it():
    local = locate_artifacts({"server": {"mlflow_tracking_uri": "sqlite:////data/mlflow.db"}})
    assert local["tracking"]["experiment"]["create_experiment_kwargs"] == {
        "artifact_location": "/data/mlflow"
    }


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "databricks", None])
def test_a_tracking_server_stores_artifacts_itself(uri):
    configuration = {"server": {"mlflow_tracking_uri": uri}, "tracking": {"experiment": {}}}
    assert locate_artifacts(configuration) == configuration


def test_a_location_that_is_set_is_kept():
    options = {"artifact_location": "s3://bucket"}
    configuration = {
        "server": {"mlflow_tracking_uri": "sqlite:////data/mlflow.db"},
        "tracking": {"experiment": {"create_experiment_kwargs": options}},
    }
    assert locate_artifacts(configuration) == configuration
