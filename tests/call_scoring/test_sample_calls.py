import numpy as np
import soundfile

from speech_emotion.call_scoring import CallSettings, write_sample_calls


def test_windows_of_sample_calls_have_one_sentence(tmp_path):
    """Longer speech is unlike the sample corpus: its model would flag nothing."""
    (path,) = write_sample_calls(tmp_path, calls=1)
    samples, rate = soundfile.read(path)
    settings = CallSettings().windows
    loud = np.abs(samples[:, 0]) > 0.01
    edges = np.flatnonzero(loud)
    pauses = np.diff(edges) / rate
    long = pauses > settings.pause_s
    starts = edges[np.append(True, long)]
    ends = edges[np.append(long, True)]
    seconds = (ends - starts) / rate
    assert len(seconds) >= 10
    assert (seconds < settings.speech_s).all()
    assert rate == 16000
