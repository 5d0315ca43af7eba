"""Speech activity: ours against WebRTC's detector, on test calls whose utterances are known.

Both decisions are widened alike. Cases are printed with hits (share of frames of utterances that are
kept, inner pauses included) and false alarms (share of all other frames), by line and noise.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from speech_emotion.calls import ActivityDetector, SynthesisSettings, synthesize_calls
from speech_emotion.calls.activity import AFTER, BEFORE, block_length

CONF = Path(__file__).parents[2] / "conf/base/parameters_corpora.yml"
CALLS = SynthesisSettings(calls=12, minutes=2.0, snr_db=(30.0, 20.0, 10.0, 5.0))


@pytest.fixture(scope="module")
def utterances(tmp_path_factory):
    """Real corpora where SPEECH_EMOTION_CORPORA names their folder, else the sample corpus."""
    from speech_emotion.corpora import CorporaSettings, SampleSettings, ingest, write_sample

    folder = os.environ.get("SPEECH_EMOTION_CORPORA")
    if not folder:
        folder = tmp_path_factory.mktemp("sample") / "corpora"
        write_sample(folder, SampleSettings(), progress=False)
    settings = CorporaSettings.model_validate(yaml.safe_load(CONF.read_text())["corpora"])
    return ingest(Path(folder), settings, n_jobs=1, progress=False)[0]


def energy(samples, rate):
    detector, size = ActivityDetector(rate), block_length(rate)
    parts = [detector.push(samples[at : at + size]) for at in range(0, len(samples), size)]
    return np.concatenate([part.kept for part in [*parts, detector.close()]])


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
def test_activity(benchmark, utterances, name):
    detect, rows = DETECTORS[name], []
    for call in synthesize_calls(utterances, CALLS):
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
    benchmark.extra_info |= table.mean().round(3).to_dict()
    assert table["hits"].gt(table["false_alarms"]).all()
