"""A run with a pretrained encoder: embeddings, champion, served model, calls."""

import shutil
import subprocess
import sys

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile

from speech_emotion.corpora import Speaker, speak
from speech_emotion.models import EmotionPredictor
from speech_emotion.pipelines.feature_engineering import create_pipeline

PARAMS = {
    "selection": {
        "families": ["encoder_lda"],
        "encoder_families": ["encoder_lda", "encoder_attention"],
        "compared": ["speaker_independent", "enrolled"],
        "max_members": 2,
    },
    "candidates": {
        "encoder_attention": {
            "fixed": {"epochs": 1, "batch_size": 512, "networks": 1, "units": 16},  # few steps
        }
    },
    "embeddings": {"copies": 1},
    "features": {"feature_set": "means_184"},
}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory, run_kedro, tiny_encoder, uncompiled):
    """A run with an encoder of random weights up to the report; returns the folder of its data."""
    data_dir = tmp_path_factory.mktemp("data")
    with uncompiled():
        run_kedro(data_dir, params=PARAMS | {"encoder": str(tiny_encoder)})
    return data_dir


def test_embeddings_are_a_table_of_recordings_and_copies(encoded):
    embeddings = pd.read_parquet(encoded / "04_feature/embeddings.parquet")
    names = embeddings.columns[2:]
    assert names.str.match(r"tiny_layer[12]_(mean|std|change)_\d\d$").all()
    assert len(names) == 2 * 3 * 16
    assert set(embeddings["variant"]) == {-1000, -2, -1, 0, 1}
    assert np.isfinite(embeddings[names].to_numpy()).all()


def test_frames_have_the_rows_of_the_table(encoded):
    frames = np.load(encoded / "04_feature/encoder_frames.npy", mmap_mode="r")
    embeddings = pd.read_parquet(encoded / "04_feature/embeddings.parquet")
    assert frames.shape == (len(embeddings), 16, 2 * 16)
    assert frames.dtype == np.float16
    # The mean of a layer over all steps is close to the mean over frames.
    first = np.asarray(frames[0], dtype=float)
    used = first[np.any(first != 0, axis=1)]
    means = embeddings.iloc[0][[f"tiny_layer1_mean_{at:02d}" for at in range(16)]].astype(float)
    np.testing.assert_allclose(used[:, :16].mean(axis=0), means, rtol=0.1, atol=2)


def test_every_protocol_and_condition_is_evaluated(encoded):
    leaderboard = pd.read_parquet(encoded / "07_model_output/leaderboard.parquet")
    assert set(leaderboard["model"]) >= {"encoder_lda", "encoder_attention", "soft_voting"}
    assert set(leaderboard["protocol"]) == {"speaker_independent", "enrolled"}
    assert set(leaderboard["condition"]) == {"clean", "telephone"}


def test_the_champion_carries_its_encoder_and_names_it(encoded):
    predictor = EmotionPredictor.load(encoded / "06_models/champion")
    assert predictor.encoder is not None
    assert predictor.encoder.layers == [1, 2]
    assert "encoder: tiny, layers 1, 2" in (encoded / "08_reporting/model_card.md").read_text()
    mlflow.set_tracking_uri(f"sqlite:///{encoded}/mlflow.db")
    version = mlflow.MlflowClient().get_model_version_by_alias("speech-emotion", "champion")
    assert version.tags["encoder"] == "tiny"
    assert version.tags["encoder_layers"] == "1, 2"


def test_the_registered_model_predicts_in_a_clean_process_without_network_and_pytorch(
    encoded, tmp_path
):
    samples = speak(Speaker("example", "female"), "angry", "one", "", 16000)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    code = f"""
import socket, sys
def refuse(*_, **__):
    raise OSError("no network")
socket.socket.connect = refuse
import mlflow, pandas
mlflow.set_tracking_uri("sqlite:///{encoded}/mlflow.db")
model = mlflow.pyfunc.load_model("models:/speech-emotion@champion")
table = model.predict(pandas.DataFrame({{"audio": ["a.wav"]}}))
assert table["error"].isna().all(), table["error"].iloc[0]
needless = {{"torch", "transformers", "onnx", "safetensors"}}
assert not needless & set(sys.modules), needless & set(sys.modules)
print("EMOTION", table["emotion"].iloc[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"SPEECH_EMOTION_RECORDINGS": str(tmp_path), "PATH": "", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = EmotionPredictor.load(encoded / "06_models/champion")
    emotion = expected.predict_files([tmp_path / "a.wav"])["emotion"].iloc[0]
    assert f"EMOTION {emotion}" in done.stdout


def test_calls_are_scored_with_the_line_of_the_center(encoded, run_kedro, tmp_path):
    recordings = tmp_path / "calls"
    recordings.mkdir()
    for name in ("one", "two"):
        turns = [speak(Speaker(name, "male"), "neutral", str(turn), "", 8000) for turn in range(6)]
        soundfile.write(recordings / f"{name}.wav", np.concatenate(turns), 8000)
    model = str(encoded / "06_models/champion")
    params = {"recordings_dir": str(recordings), "model_uri": model}
    params |= {"calls": {"one_channel": "customer"}}
    run_kedro(tmp_path / "data", params=params, pipeline_names=["call_scoring"])
    line = pd.read_json(tmp_path / "data/07_model_output/calls/line.json", typ="series")
    assert line["n_calls"] == 2
    windows = pd.read_parquet(tmp_path / "data/07_model_output/calls/emotions.parquet")
    assert windows["call"].nunique() == 2
    assert windows.loc[windows["out_of_domain"] == "", "confidence"].between(0, 1).all()


def test_families_on_embeddings_need_an_encoder(run_kedro, tmp_path):
    with pytest.raises(ValueError, match=r"encoder_lda .* needs embeddings .* encoder="):
        run_kedro(tmp_path, params={"selection": {"families": ["encoder_lda"]}})


def test_without_an_encoder_there_are_no_nodes_for_it():
    plain, extended = create_pipeline(encoder=False), create_pipeline(encoder=True)
    assert extended.outputs() - plain.outputs() == {
        "embeddings",
        "encoder_frames",
        "rejected_embeddings",
    }
    assert not {"encoder", "embeddings"} & plain.datasets()


def test_encoders_and_fusion_are_compared(encoded, run_kedro, tiny_encoder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_encoder, other)
    params = PARAMS | {"encoder": str(tiny_encoder)}
    params |= {"ablation": {"encoders": [str(other)], "fusion_models": ["shrinkage_lda"]}}
    nodes = ["encode_with_others", "compare_encoders", "compare_fusion"]
    run_kedro(
        encoded,
        params=params,
        pipeline_names=["ablation"],
        node_names=[f"ablation.{name}" for name in nodes],
    )
    tables = encoded / "08_reporting/ablation"
    encoders = pd.read_csv(tables / "encoders.csv").query("condition == 'clean'")
    assert list(encoders["encoder"]) == ["tiny", "other"]
    assert (encoders["ms_per_second"] > 0).all()
    # Both have the same weights, and are trained without copies.
    assert encoders["uar"].nunique() == encoders["megabytes"].round(3).nunique() == 1
    assert encoders["difference"].iloc[1] == 0
    fusion = pd.read_csv(tables / "fusion.csv").query("condition == 'clean'")
    assert list(fusion["weight"]) == [0, 0.1, 0.25, 0.5, 1]


def test_an_encoder_is_not_compared_with_itself(encoded, run_kedro, tiny_encoder):
    params = PARAMS | {"encoder": str(tiny_encoder)}
    params |= {"ablation": {"encoders": [str(tiny_encoder)]}}
    with pytest.raises(ValueError, match=r"ablation\.encoders: tiny occurs more than once"):
        run_kedro(
            encoded,
            params=params,
            pipeline_names=["ablation"],
            node_names=["ablation.encode_with_others"],
        )
