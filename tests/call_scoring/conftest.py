import itertools

import numpy as np
import pandas as pd
import pytest
import soxr

from speech_emotion.call_scoring import CallSettings, assign_roles, inspect_blocks, score_blocks
from speech_emotion.corpora import Speaker, speak
from speech_emotion.features import FeatureSettings, extract
from speech_emotion.models import Combiner, EmotionPredictor, Member, Threshold, family_named

RATE = 16000
FAMILY = "logistic_regression"
EMOTIONS = ("angry", "neutral", "sad")


def synthesize(speaker, emotion, number, rate=RATE):
    names = f"sentence {number}", f"take {number}"  # seed of the voice
    return speak(Speaker(speaker, "female"), emotion, *names, rate)


@pytest.fixture(scope="session")
def predictor():
    """A logistic regression trained on synthetic speakers."""
    settings = FeatureSettings(feature_set="moments_370")
    rows, labels = [], []
    for name in ("berta", "clara"):
        for emotion in EMOTIONS:
            utterances = [synthesize(name, emotion, number, 8000) for number in range(4)]
            pause = np.zeros(3200)
            for chosen in itertools.permutations(utterances, 3):
                line = np.concatenate([piece for one in chosen for piece in (one, pause)])
                line += 1e-3 * np.random.default_rng(0).standard_normal(len(line))
                samples = soxr.resample(line, 8000, 22050).astype("f4")[: 5 * 22050]
                rows.append(extract(samples, 22050, settings=settings)[0])
                labels.append(emotion)
    table = pd.DataFrame(rows)
    codes = pd.Index(EMOTIONS).get_indexer(pd.Index(labels))
    estimator = family_named(FAMILY).build(seed=0).set_params(model__C=0.01).fit(table, codes)
    threshold = Threshold(
        target="angry", value=0.4, false_alarms=0.05, recall=0.9, n_utterances=24, n_speakers=2
    )
    return EmotionPredictor(
        labels=EMOTIONS,
        features=settings,
        members=(Member(FAMILY, estimator),),
        combiner=Combiner.single(FAMILY),
        threshold=threshold,
        synthetic=True,
    )


@pytest.fixture(scope="session")
def score_call():
    """Inspect and score a call from blocks of samples."""

    def score(blocks, rate, predictor, settings=None, metadata=None, call="x"):
        settings, blocks = settings or CallSettings(), list(blocks)
        inspection = inspect_blocks(
            lambda: blocks, rate, blocks[0].shape[1], settings, predictor, source=call
        )
        roles = assign_roles(inspection, settings, metadata)
        return score_blocks(blocks, rate, inspection, roles, predictor, settings, call=call)

    return score


@pytest.fixture(scope="session")
def dialogue():
    """Make one channel of utterances with pauses and faint noise, and the spans of the utterances."""

    def make(emotions, *, speaker="clara", rate=RATE, pause_s=0.6, noise=1e-3, lead_s=1.0):
        pieces, spans, time = [np.zeros(round(lead_s * rate))], [], lead_s
        for number, emotion in enumerate(emotions):
            samples = synthesize(speaker, emotion, number % 4, rate)
            spans.append((time, time + len(samples) / rate, emotion))
            pieces += [samples, np.zeros(round(pause_s * rate))]
            time += len(samples) / rate + pause_s
        line = np.concatenate(pieces)
        line = line + noise * np.random.default_rng(0).standard_normal(len(line))
        return line.astype(np.float32), spans

    return make
