import pandas as pd

from speech_emotion.audio import load_audio, open_sound
from speech_emotion.evaluation import DetectionSettings, SelectionSettings
from speech_emotion.pipelines.registration.nodes import propose_champion


def test_the_input_example_is_a_sound_that_any_server_can_read():
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
        None,
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
