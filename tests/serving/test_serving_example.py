import json
import shutil
import textwrap
from importlib import resources

import mlflow
import pandas as pd
import pytest

from speech_emotion.audio import load_audio, open_sound
from speech_emotion.evaluation import DetectionSettings, SelectionSettings
from speech_emotion.pipelines.registration.nodes import propose_champion


def test_the_input_example_is_a_sound_that_any_server_can_read(predictor):
    row = {
        "model": "mlp",
        "protocol": "speaker_independent",
        "condition": "clean",
        "evaluation": "test",
    }
    row |= {"n_utterances": 1, "n_speakers": 1, "uar": 0.5, "uar_low": 0.4, "uar_high": 0.6}
    utterance = {"utterance_id": "a", "content_hash": "1", "corpus": "tess", "synthetic": False}
    split = {
        "utterance_id": "a",
        "protocol": "speaker_independent",
        "split": "test",
        "tested": True,
    }
    registration = propose_champion(
        predictor,
        pd.DataFrame([row | {"champion": True, "accuracy": 0.5, "macro_f1": 0.5}]),
        pd.DataFrame(),
        pd.DataFrame([utterance | {"path": "/licensed/recording.wav", "label": "sad"}]),
        pd.DataFrame([split]),
        SelectionSettings(storage="sqlite://"),
        DetectionSettings(),
    )
    assert registration.metrics["uar"] == 0.5
    assert list(registration.inputs) == ["test"]
    assert len(registration.example) < 50_000
    assert len(load_audio(open_sound(registration.example, paths=False), 16000)) > 8000


@pytest.mark.slow
@pytest.mark.serve
def test_the_logged_model_names_its_version(served):
    client = mlflow.MlflowClient(served.store)
    version = client.get_model_version_by_alias("speech-emotion", "champion")
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    link = {"name": "speech-emotion", "version": int(version.version)}
    assert json.loads(model.tags["mlflow.modelVersions"]) == [link]


@pytest.mark.slow
@pytest.mark.serve
def test_the_example_of_the_model_card_runs_with_closed_paths(
    served, predictor, tmp_path, monkeypatch
):
    monkeypatch.delenv("SPEECH_EMOTION_RECORDINGS", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(next(served.recordings.rglob("angry.WAV")), "utterance.wav")
    templates = resources.files("speech_emotion.reporting") / "templates"
    card = (templates / "models/model_card.md.j2").read_text(encoding="utf-8")
    usage = card.split("## Use\n")[1].split("**Intended use")[0]
    *statements, prediction = textwrap.dedent(usage).strip().splitlines()
    names = {}
    exec("\n".join(statements), names)
    result = eval(prediction, names)
    assert result["error"].tolist() == [None]
    assert (
        result["emotion"].tolist() == predictor.predict_files(["utterance.wav"])["emotion"].tolist()
    )
