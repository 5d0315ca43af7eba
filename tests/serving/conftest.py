from typing import NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile

from speech_emotion.audio import encode_sound
from speech_emotion.corpora import Speaker, speak
from speech_emotion.datasets.registry import Registration, RegistryDataset
from speech_emotion.features import FeatureSettings, extract
from speech_emotion.models import Combiner, EmotionPredictor, Member, family_named

LABELS = ("angry", "neutral", "sad")
VOICE_RATE = 16000


class Served(NamedTuple):
    """A tracking store whose registry has a champion, and recordings."""

    store: str
    recordings: object


def voice(number, emotion, take=""):
    speaker = Speaker(f"speaker {number}", "male" if number % 2 else "female")
    return speak(speaker, emotion, "statement", take, VOICE_RATE)


@pytest.fixture(scope="session")
def predictor():
    """Logistic regression on means of synthetic voices: small, and of the kind that is served."""
    settings = FeatureSettings(feature_set="means_36", sample_rate=VOICE_RATE)
    spoken = [(number, code) for number in range(6) for code in range(len(LABELS))]
    rows = [
        extract(voice(number, LABELS[code]), VOICE_RATE, settings=settings)[0]
        for number, code in spoken
    ]
    estimator = family_named("logistic_regression").build(seed=0)
    estimator.fit(pd.DataFrame(rows), np.array([code for _, code in spoken]))
    family = "logistic_regression"
    return EmotionPredictor(LABELS, settings, (Member(family, estimator),), Combiner.single(family))


@pytest.fixture(scope="session")
def served(tmp_path_factory, predictor):
    """Register the predictor in a store of its own, and lay out recordings."""
    folder = tmp_path_factory.mktemp("served")
    store = f"sqlite:///{folder}/mlflow.db"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store)
    experiment = mlflow.create_experiment("speech-emotion", str(folder / "mlflow"))
    example = encode_sound(voice(0, "neutral"), VOICE_RATE)
    with mlflow.start_run(experiment_id=experiment):
        registration = Registration(predictor, "uar", 0.5, "split", example)
        RegistryDataset(name="speech-emotion").save(registration)
    recordings = folder / "recordings"
    for number, emotion in enumerate(LABELS):
        path = recordings / f"day {number}" / f"{emotion}.{'flac' if number else 'WAV'}"
        path.parent.mkdir(parents=True)
        soundfile.write(path, voice(8 + number, emotion), VOICE_RATE)
    (recordings / "broken.wav").write_text("no sound")
    (recordings / "notes.txt").write_text("no recording")
    yield Served(store, recordings)
    mlflow.set_tracking_uri(before)
