"""Speed of call scoring, and voice activity detection compared with WebRTC's detector.

Scoring is timed in processor time on one thread, for a dialogue whose customer speaks about half of the time
and for one channel of continuous speech, relative to a single feature extraction from the same windows.
SPEECH_EMOTION_CHAMPION names the folder of a stored model; by default, a model of the same kind is trained
on the sample corpus.

Voice activity is compared on synthetic calls with known utterances; all decisions are widened alike. Results
are hits (share of kept frames within utterances, including inner pauses) and false alarms (share of kept
frames elsewhere), by condition and signal-to-noise ratio.
"""

import numpy as np
import pandas as pd
import pytest
import soxr
from threadpoolctl import threadpool_limits

import speech_emotion.call_scoring.stream
from speech_emotion.audio import AudioError, load_audio
from speech_emotion.call_scoring import (
    CallSettings,
    SynthesisSettings,
    VoiceActivityDetector,
    assign_roles,
    inspect_blocks,
    score_blocks,
    synthesize_calls,
)
from speech_emotion.call_scoring.voice_activity import AFTER, BEFORE, BlockBuffer
from speech_emotion.features import extract

CALLS = SynthesisSettings(calls=12, minutes=1.0, snr_db=(30.0, 20.0, 10.0, 5.0))
LINE = 8000
MINUTES = 2.0


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def dialogue(utterances):
    settings = SynthesisSettings(calls=1, minutes=MINUTES, conditions=("telephone",))
    call = next(iter(synthesize_calls(utterances, settings)))
    return soxr.resample(call.samples, call.sample_rate, LINE)


def monologue(utterances):
    """One channel of consecutive utterances with faint noise."""
    size, pieces = round(MINUTES * 60 * LINE), []
    for row in utterances.sample(frac=1, random_state=0).itertuples():
        if sum(map(len, pieces)) >= size:
            break
        try:
            samples = load_audio(row.path, LINE)
        except AudioError:
            continue
        pieces.append(0.05 * samples / samples.std())
    repeated = np.resize(np.concatenate(pieces), size)
    noise = 1e-4 * np.random.default_rng(0).standard_normal(size)
    return (repeated + noise).astype(np.float32)[:, np.newaxis]


TALKS = {"a dialogue": dialogue, "speech without a pause": monologue}


@pytest.mark.benchmark(group="scoring")
@pytest.mark.parametrize("name", TALKS)
def test_scoring(benchmark, utterances, predictor, take_turns, ratios, monkeypatch, name):
    samples = TALKS[name](utterances)
    settings = CallSettings(one_channel="customer", flags={"threshold": 0.4})

    def score():
        blocks = [samples[at : at + 10 * LINE] for at in range(0, len(samples), 10 * LINE)]
        inspection = inspect_blocks(
            lambda: blocks, LINE, samples.shape[1], settings, predictor, source=name
        )
        roles = assign_roles(inspection, settings)
        return score_blocks(blocks, LINE, inspection, roles, predictor, settings, call=name)

    windows = []

    def record(samples, *arguments, **options):
        windows.append(samples)
        return extract(samples, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(speech_emotion.call_scoring.stream, "extract", record)
        scored = score()

    def extraction():
        for window in windows:
            extract(window, predictor.features.sample_rate, settings=predictor.features)

    benchmark.pedantic(score, rounds=1)
    scoring_s, extraction_s = take_turns(score, extraction, rounds=3)
    seconds = len(samples) / LINE
    talk = scored.channels["talk_share"].iloc[0]
    benchmark.extra_info |= {"talk_share": round(talk, 2), "windows": len(scored.windows)}
    case = f"scoring {name} ({talk:.0%} speech)"
    if windows:  # a champion of embeddings alone extracts no features
        ratios.add(case, "extraction of its windows", scoring_s / extraction_s, at_most=3)
    least = 90 if predictor.encoder else 300
    ratios.add(f"{case}, its seconds", "a second of one core", seconds / scoring_s, at_least=least)
    ratios.add(f"{case}, core seconds", "an hour of it", 3600 * scoring_s / seconds)
    assert len(scored.windows) > 10


@pytest.fixture(scope="module")
def calls(utterances):
    return list(synthesize_calls(utterances, CALLS))


def energy(samples, rate):
    detector, buffer = VoiceActivityDetector(rate), BlockBuffer(rate)
    blocks = [*buffer.push(samples), buffer.flush()]
    frames = [*map(detector.push, blocks), detector.close()]
    return np.concatenate([block.kept for block in frames])


def webrtc(mode):
    def decide(samples, rate):
        import webrtcvad

        detector, size = webrtcvad.Vad(mode), rate // 50
        coded = (np.clip(samples, -1, 1) * 32767).astype("<i2")
        kept = np.zeros(len(samples) // size, dtype=bool)
        for frame in range(len(kept)):
            if detector.is_speech(coded[frame * size : (frame + 1) * size].tobytes(), rate):
                kept[max(frame - BEFORE, 0) : frame + AFTER + 1] = True
        return kept

    return decide


DETECTORS = {"energy": energy} | {f"webrtc {mode}": webrtc(mode) for mode in (1, 2, 3)}


@pytest.mark.benchmark(group="activity")
@pytest.mark.parametrize("name", DETECTORS)
def test_activity(benchmark, calls, take_turns, ratios, name):
    detect, rows = DETECTORS[name], []
    for call in calls:
        samples = np.ascontiguousarray(call.samples[:, 0])
        kept = detect(samples, call.sample_rate)
        spoken = np.zeros(len(kept), dtype=bool)
        for one in call.utterances:
            if one.channel == 0:
                spoken[round(one.start_s * 50) : round(one.end_s * 50)] = True
        rows.append((call.condition, call.snr_db, kept[spoken].mean(), kept[~spoken].mean()))
    names = ["condition", "snr_db", "hits", "false_alarms"]
    table = pd.DataFrame(rows, columns=names).groupby(names[:2]).mean()
    print(f"\n{name}\n{table.round(3)}")  # noqa: T201
    benchmark.pedantic(detect, args=(samples, call.sample_rate), rounds=3)
    means = table.mean()
    benchmark.extra_info |= means.round(3).to_dict()
    case, reference = take_turns(
        lambda: detect(samples, call.sample_rate),
        lambda: DETECTORS["webrtc 2"](samples, call.sample_rate),
        rounds=3,
    )
    result = f"hits {means['hits']:.3f}, false alarms {means['false_alarms']:.3f}"
    ratios.add(f"activity, {name}: {result}", "webrtc 2", case / reference)
    assert table["hits"].gt(table["false_alarms"]).all()
