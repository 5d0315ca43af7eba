"""Segments of recordings: only the part that is asked for is kept."""

import numpy as np
import pytest
import soundfile

from speech_emotion.audio import AudioError, load_audio, with_segment

RATE = 8000


@pytest.fixture(scope="module", params=["wav", "flac", "mp3", "ogg"])
def recording(request, tmp_path_factory):
    """Six seconds of noise in a format, and its samples when decoded whole."""
    path = tmp_path_factory.mktemp("segments") / f"call.{request.param}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 6 * RATE)
    soundfile.write(path, noise, RATE)
    return path, load_audio(path, RATE)


@pytest.mark.parametrize(("start", "end"), [(0, 1), (1.25, 3.5), (5, 6), (2, None)])
def test_a_segment_is_that_part_of_the_recording(recording, start, end):
    path, whole = recording
    part = load_audio(with_segment(str(path), start, end), RATE)
    expected = whole[round(start * RATE) : None if end is None else round(end * RATE)]
    np.testing.assert_allclose(part, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [(5, 6.5, "not inside the recording of 6"), (7, 8, "not inside"), (3, 3, "is empty")],
)
def test_a_segment_outside_the_recording_is_an_error(recording, start, end, reason):
    with pytest.raises(AudioError, match=reason):
        load_audio(with_segment(str(recording[0]), start, end), RATE)


def test_a_segment_is_not_decoded_beyond_its_end(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.ones(RATE), RATE, subtype="FLOAT")
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    (tmp_path / "a.wav").write_bytes(content)
    assert len(load_audio(with_segment(str(tmp_path / "a.wav"), 0, 0.5), RATE)) == RATE // 2
    with pytest.raises(AudioError, match="NaN"):
        load_audio(tmp_path / "a.wav", RATE)
