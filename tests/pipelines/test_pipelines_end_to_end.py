import base64
import json
import logging
import os
import re
import subprocess
import sys

import mlflow
import pandas as pd
import pytest

from speech_emotion.audio import TELEPHONE_TEST, TEST_LINES, TRAINING_LINE
from speech_emotion.batch.models import resolve
from speech_emotion.corpora import PROTOCOLS, UTTERANCES
from speech_emotion.datasets import ModelDataset
from speech_emotion.datasets.registry import Registration, decide_alias
from speech_emotion.models import FAMILIES

COMPARED = sorted(  # those of recipes and encoders are left out
    name for name, family in FAMILIES.items() if name != "conv1d_table" and not family.needs_encoder
)

pytestmark = pytest.mark.slow


def read(project, path):
    file = project / path
    return pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)


def test_utterances_splits_and_plan_fit_together(project):
    utterances = read(project, "02_intermediate/utterances.parquet")
    splits = read(project, "02_intermediate/splits.parquet")
    plan = read(project, "03_primary/augmentation_plan.parquet")
    UTTERANCES.validate(utterances)
    assert utterances["synthetic"].all()
    tests, trained = plan[plan["variant"] == TELEPHONE_TEST], plan[plan["line"] == TRAINING_LINE]
    assert set(tests["utterance_id"]) == set(utterances["utterance_id"])
    assert set(tests["line"]) == set(TEST_LINES)
    assert ((trained["variant"] < 0) & (trained["variant"] > TELEPHONE_TEST)).all()
    assert set(plan.loc[plan["variant"] > 0, "line"]) == {""}
    for protocol, part in splits.groupby("protocol"):
        held_out = part.loc[part["split"] == "test", "utterance_id"]
        planned = plan.loc[plan["protocol"] == protocol, "utterance_id"]
        assert not set(planned) & set(held_out)
        assert set(planned) == set(part["utterance_id"]) - set(held_out)


def test_features_are_complete_and_finite(project):
    features = read(project, "04_feature/features.parquet")
    utterances = read(project, "02_intermediate/utterances.parquet")
    plan = read(project, "03_primary/augmentation_plan.parquet")
    variants = plan.drop_duplicates(["utterance_id", "variant"])
    assert len(features) == len(utterances) + len(variants)
    values = features.drop(columns=["utterance_id", "variant"])
    assert values.shape[1] == 3490
    assert values.notna().to_numpy().all()


def test_tables_of_all_families_are_concatenated(project):
    predictions = read(project, "07_model_output/predictions.parquet")
    utterances = read(project, "02_intermediate/utterances.parquet")
    labels = json.loads((project / "02_intermediate/labels.json").read_text())
    assert labels == sorted(utterances["label"].unique())
    described = ["utterance_id", "corpus", "speaker", "sex"]
    expected = utterances[described].set_index("utterance_id")
    found = predictions[described].drop_duplicates().set_index("utterance_id")
    pd.testing.assert_frame_equal(found.sort_index(), expected.loc[found.index].sort_index())
    assert set(predictions["model"]) == {*COMPARED, "soft_voting", "stacking"}
    sums = predictions[[f"p_{label}" for label in labels]].sum(axis=1)
    assert sums.to_numpy() == pytest.approx(1)
    telephone = predictions["condition"] == "telephone"
    assert set(predictions.loc[telephone, "line"]) == set(TEST_LINES)
    assert set(predictions.loc[~telephone, "line"]) == {""}
    candidates = read(project, "07_model_output/candidates.parquet").set_index("model")
    assert set(candidates.index) == set(COMPARED)
    assert json.loads(candidates.loc["conv1d", "hyperparameters"])["epochs"] == 2
    assert (candidates["started"] < candidates["ended"]).all()
    assert str(candidates["started"].dt.tz) == "UTC"
    trials = read(project, "07_model_output/trials.parquet")
    assert trials.groupby("model").size()["logistic_regression"] == 2
    curves = read(project, "07_model_output/learning_curves.parquet")
    assert set(curves["model"]) == {"conv1d", "conv2d"}
    exported = pd.read_csv(project / "08_reporting/leaderboard.csv")
    board = read(project, "07_model_output/leaderboard.parquet")
    pd.testing.assert_frame_equal(exported, board, check_dtype=False)


def test_leaderboard_has_every_model_and_protocol(project):
    board = read(project, "07_model_output/leaderboard.parquet")
    assert set(board["model"]) >= set(COMPARED)
    assert set(board["protocol"]) == set(PROTOCOLS) - {"leaking_folds"}
    for _, rows in board.groupby("model"):
        speaker_independent = rows[rows["protocol"] == "speaker_independent"]
        assert set(
            zip(speaker_independent["condition"], speaker_independent["evaluation"], strict=True)
        ) == {
            (condition, evaluation)
            for condition in ("clean", "telephone")
            for evaluation in ("cross-validation", "test")
        }
    board = board[board["condition"] == "clean"]
    champions = board[board["champion"]]
    assert champions["protocol"].eq("speaker_independent").all()
    assert champions["model"].nunique() == 1
    speaker_independent = board[
        (board["protocol"] == "speaker_independent") & (board["evaluation"] == "cross-validation")
    ]
    assert speaker_independent.loc[speaker_independent["uar"].idxmax(), "champion"]
    utterances = read(project, "02_intermediate/utterances.parquet")
    together = board.groupby(["protocol", "model"])["n_utterances"].sum()
    assert (together.drop("enrolled") == len(utterances)).all()
    neutral = utterances[utterances["label"] == "neutral"].groupby("speaker").size()
    assert (together["enrolled"] == len(utterances) - neutral.clip(upper=2).sum()).all()


def test_telephone_lines_are_reported(project):
    lines = read(project, "08_reporting/lines.csv")
    assert set(lines["line"]) == {"all", *TEST_LINES}
    board = read(project, "07_model_output/leaderboard.parquet")
    keys = ["model", "protocol", "evaluation"]
    everything = lines[lines["line"] == "all"].merge(
        board[board["condition"] == "telephone"], on=keys, suffixes=("", "_board")
    )
    assert len(everything) == (board["condition"] == "telephone").sum()
    assert everything["uar"].to_numpy() == pytest.approx(everything["uar_board"].to_numpy())
    by_line = lines[lines["line"] != "all"].groupby(keys)["n_utterances"].sum()
    assert (
        by_line.to_numpy().tolist()
        == everything.set_index(keys).loc[by_line.index, "n_utterances"].to_numpy().tolist()
    )
    assert "Opus 12 kbit/s" in (project / "08_reporting/report.html").read_text()


def test_detection_calibration_and_pairs_are_reported(project):
    detection = read(project, "08_reporting/detection.csv")
    assert set(detection["corpus"]) >= {"all", "ravdess"}
    areas = detection["auc"].dropna()  # a speaker may have said nothing angry
    assert len(areas) > 0.8 * len(detection)
    assert areas.between(0, 1).all()
    calibration = read(project, "07_model_output/calibration.parquet")
    assert (calibration["temperature"] > 0).all()
    assert set(read(project, "08_reporting/paired.csv")["protocol"]) >= {
        "speaker_independent",
        "random_split",
    }


def test_report_and_card_are_marked_synthetic(project):
    page = (project / "08_reporting/report.html").read_text()
    assert "SYNTHETIC SAMPLE CORPUS" in page
    assert "SYNTHETIC" in (project / "08_reporting/model_card.md").read_text()
    figure = json.loads((project / "08_reporting/confusion.json").read_text())
    assert "SYNTHETIC" in figure["layout"]["title"]["subtitle"]["text"]
    assert (project / "08_reporting/waveform.png").read_bytes()[:4] == b"\x89PNG"


def test_every_model_is_a_child_run_with_its_trials(project, tracking):
    experiment = tracking.get_experiment_by_name("speech-emotion")
    runs = tracking.search_runs([experiment.experiment_id], max_results=1000)
    by_name = {run.info.run_name: run for run in runs}
    parent = next(run for run in runs if re.match("test · .* · UAR [0-9.]+ %", run.info.run_name))
    assert parent.data.tags["synthetic"] == "True"
    assert parent.data.params["selection.protocol"] == "speaker_independent"
    assert parent.data.tags["champion"] in {*COMPARED, "soft_voting", "stacking"}
    board = read(project, "07_model_output/leaderboard.parquet")
    board = board[(board["protocol"] == "speaker_independent") & (board["condition"] == "clean")]
    board = board[board["evaluation"] == "test"].set_index("model")
    champion = board.loc[parent.data.tags["champion"]]
    assert parent.data.metrics["uar"] == pytest.approx(champion["uar"])
    assert 0 <= parent.data.metrics["anger_auc"] <= 1
    names = {entry.dataset.name for entry in parent.inputs.dataset_inputs}
    assert names == {"synthetic sample, training set", "synthetic sample, test set"}
    candidates = read(project, "07_model_output/candidates.parquet").set_index("model")
    for family in [*COMPARED, "soft_voting", "stacking"]:
        child = by_name[family.replace("_", " ")]
        assert child.info.status == "FINISHED"
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.tags["family"] == family
        assert child.data.metrics["uar"] == pytest.approx(board.loc[family, "uar"])
        assert len(child.data.metrics) < 30
    for family in COMPARED:
        child, trial = (
            by_name[family.replace("_", " ")],
            by_name[f"{family.replace('_', ' ')} · trial 0"],
        )
        assert trial.data.tags["mlflow.parentRunId"] == child.info.run_id
        assert trial.data.params
        started = pd.Timestamp(candidates.loc[family, "started"]).timestamp()
        assert child.info.start_time / 1000 == pytest.approx(started, abs=0.01)
        assert child.info.start_time < child.info.end_time
    losses = tracking.get_metric_history(by_name["conv1d"].info.run_id, "training/loss")
    assert losses[-1].step == 2
    stored = {item.path for item in tracking.list_artifacts(parent.info.run_id)}
    assert {"figures", "report", "tables"} <= stored
    figures = {item.path for item in tracking.list_artifacts(parent.info.run_id, "figures")}
    assert {"figures/confusion.json", "figures/confusion.html"} <= figures


def test_the_registered_version_has_metrics_data_and_the_model_card(project, tracking):
    version = tracking.get_model_version_by_alias("speech-emotion", "champion")
    assert "SYNTHETIC" in version.description
    assert tracking.get_registered_model("speech-emotion").description == version.description
    model = tracking.get_logged_model(version.source.removeprefix("models:/"))
    assert model.tags["mlflow.note.content"].startswith(version.description[:1000])
    # MLflow also copies the metrics of the run, without their dataset.
    metrics = {metric.key: metric for metric in model.metrics if metric.dataset_name}
    assert set(metrics) >= {"uar", "uar_low", "uar_high", "accuracy"}
    assert metrics["uar"].value == pytest.approx(float(version.tags["uar"]))
    assert metrics["uar"].dataset_name == "synthetic sample, test set"


def test_a_model_has_the_name_of_its_version_however_it_is_loaded(tracking):
    version = tracking.get_model_version_by_alias("speech-emotion", "champion")
    title = f"speech-emotion version {version.version}"
    model_id, load = resolve("models:/speech-emotion@champion")
    assert version.source == f"models:/{model_id}"
    assert load().title == title
    by_id = ModelDataset(uri=f"models:/{model_id}").load()
    assert by_id.version == ""
    assert by_id.title == f"{by_id.name} {by_id.digest[:8]}"


def test_registered_champion_predicts_in_a_clean_process(project, tracking, tmp_path):
    version = tracking.get_model_version_by_alias("speech-emotion", "champion")
    assert version.tags["synthetic"] == "True"
    utterances = read(project, "02_intermediate/utterances.parquet")
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    paths = [*utterances["path"].head(3), str(broken)]
    code = (
        "import json, sys, mlflow, pandas as pd\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model('models:/speech-emotion@champion')\n"
        "result = model.predict(pd.DataFrame({'audio': json.loads(sys.argv[2])}))\n"
        "print('RESULT' + result.to_json(orient='records'))\n"
    )
    uri = f"sqlite:///{project}/mlflow.db"
    done = subprocess.run(
        [sys.executable, "-c", code, uri, json.dumps(paths)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"SPEECH_EMOTION_RECORDINGS": "/"},
    )
    rows = json.loads(done.stdout.split("RESULT")[1])
    labels = sorted(utterances["label"].unique())
    assert list(rows[0]) == ["emotion", *labels, "error", "warning", "model", "notice"]
    for row in rows[:3]:
        assert sum(row[label] for label in labels) == pytest.approx(1)
        assert row["emotion"] == max(labels, key=row.get)
        assert row["error"] is None
    assert rows[3]["emotion"] is None
    assert "unreadable" in rows[3]["error"]


def test_no_pickle_is_stored_with_the_model(project):
    model = next((project / "mlflow").rglob("MLmodel")).parent
    assert not [path.name for path in model.rglob("*.pkl")]
    assert list(model.rglob("*.skops")) or list(model.rglob("*.keras"))


def test_second_run_has_the_same_figures_and_does_not_replace_the_champion(
    copied, run_kedro, uncompiled, caplog
):
    before = read(copied, "07_model_output/leaderboard.parquet")
    shards = sorted((copied / "04_feature/cache").iterdir())
    times = [shard.stat().st_mtime_ns for shard in shards]
    with caplog.at_level(logging.INFO), uncompiled():
        run_kedro(
            copied,
            params={"selection": {"compared": ["speaker_independent"]}},
            pipeline_names=[
                "ingestion",
                "augmentation",
                "feature_engineering",
                "model_selection",
                "registration",
            ],
        )
    after = read(copied, "07_model_output/leaderboard.parquet")
    timings = ["fit_seconds", "predict_ms"]
    speaker_independent = before[before["protocol"] == "speaker_independent"].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        speaker_independent.drop(columns=timings), after.drop(columns=timings)
    )
    assert [shard.stat().st_mtime_ns for shard in shards] == times
    client = mlflow.MlflowClient(f"sqlite:///{copied}/mlflow.db")
    versions = [
        int(client.get_model_version_by_alias("speech-emotion", alias).version)
        for alias in ("champion", "challenger")
    ]
    assert versions == [1, 2]
    assert "does not beat the champion's" in caplog.text


def test_only_the_missing_report_is_made_again(project, run_kedro, caplog):
    report = project / "08_reporting/report.html"
    leaderboard = (project / "07_model_output/leaderboard.parquet").stat().st_mtime_ns
    report.unlink()
    with caplog.at_level(logging.INFO):
        run_kedro(project, only_missing_outputs=True)
    assert report.exists()
    assert (project / "07_model_output/leaderboard.parquet").stat().st_mtime_ns == leaderboard
    ran = {line.split()[-1] for line in caplog.messages if re.match(r"\[ *\d+/\d+\] ", line)}
    assert ran == {"reporting.gather_evidence", "reporting.write_report"}


def registration(value, split="a"):
    return Registration(None, "uar", value, split, "x.wav")


@pytest.mark.parametrize(
    ("value", "champion", "alias", "reason"),
    [
        (0.5, None, "champion", "there was no champion"),
        (0.6, {"split": "a", "uar": "0.5"}, "champion", "beats"),
        (0.5, {"split": "a", "uar": "0.5"}, "challenger", "does not beat"),
        (0.9, {"split": "b", "uar": "0.5"}, "challenger", "another test set"),
    ],
)
def test_champion_must_be_beaten_on_the_same_split(value, champion, alias, reason):
    decided, said = decide_alias(registration(value), champion)
    assert decided == alias
    assert reason in said


def test_sounds_of_the_examples_can_be_previewed(project):
    from speech_emotion.datasets.audio import AudioDataset

    sounds = sorted((project / "03_primary/augmentation_examples").glob("*.wav"))
    kinds = {sound.stem.rsplit("_", 1)[-1] for sound in sounds}
    assert kinds == {"recording", "before", "after"}
    preview = AudioDataset(filepath=str(sounds[0])).preview()
    assert base64.b64decode(preview)[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"corpora": {"label_set": "nine"}}, "no label set 'nine'"),
        ({"candidates": {"mlp": {"family": "transformer"}}}, "no model family 'transformer'"),
        ({"features": {"feature_set": "best"}}, "no feature set 'best'"),
        ({"corpora_dir": "/nowhere/at/all"}, "No corpus was found below /nowhere/at/all"),
    ],
)
def test_wrong_parameters_stop_the_run_with_a_remedy(tmp_path, run_kedro, params, message):
    with pytest.raises(Exception, match=message):
        run_kedro(tmp_path, params=params)
