import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import assume, given
from hypothesis import strategies as st

from speech_emotion.audio import AudioError, read_envelope, read_excerpt, read_samples

RATE = 8000


@pytest.fixture(scope="module")
def ramp(tmp_path_factory):
    """Two channels of 10 s whose samples encode their position."""
    rising = np.linspace(-0.9, 0.9, 10 * RATE, dtype=np.float32)
    path = tmp_path_factory.mktemp("ramp") / "ramp.wav"
    soundfile.write(path, np.stack([rising, -rising], axis=1), RATE, subtype="FLOAT")
    return path


@given(start=st.floats(-2, 9.9), length=st.floats(0.01, 20))
def test_an_excerpt_equals_the_slice_of_the_whole(ramp, start, length):
    whole, _ = read_samples(ramp)
    first, last = max(round(start * RATE), 0), max(round((start + length) * RATE), 0)
    assume(last > first)
    samples, rate = read_excerpt(ramp, start, start + length)
    assert rate == RATE
    np.testing.assert_array_equal(samples, whole[first:last])
    one, _ = read_excerpt(ramp, start, start + length, channel=1)
    np.testing.assert_array_equal(one, whole[first:last, 1])


@given(start=st.floats(-9, -0.1), length=st.floats(0.001, 0.05))
def test_an_empty_excerpt_is_an_error(ramp, start, length):
    with pytest.raises(AudioError, match="has no sound between"):
        read_excerpt(ramp, start, start + length)
    with pytest.raises(AudioError, match="has no sound between"):
        read_excerpt(ramp, 10 - start, 11 - start)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3"])
def test_compressed_files_are_cut_at_the_same_place(write_sound, tone, name):
    path = write_sound(name, tone(300, seconds=20) * np.linspace(0, 1, 20 * 22050))
    whole, rate = read_samples(path)
    samples, _ = read_excerpt(path, 11.0, 12.5, channel=0)
    expected = whole[11 * rate : round(12.5 * rate), 0]
    np.testing.assert_allclose(samples, expected, atol=2e-3)


@pytest.mark.parametrize("points", [1, 7, 100, 800])
def test_the_envelope_contains_every_extreme(ramp, points):
    envelope = read_envelope(ramp, channel=1, points=points)
    assert len(envelope) <= points
    whole = read_samples(ramp)[0][:, 1]
    assert envelope["start_s"].iloc[0] == 0
    assert envelope["end_s"].iloc[-1] == 10
    np.testing.assert_array_equal(envelope["start_s"][1:], envelope["end_s"][:-1])
    for row in envelope.itertuples():
        interval = whole[round(row.start_s * RATE) : round(row.end_s * RATE)]
        assert (row.low, row.high) == (interval.min(), interval.max())


def test_short_sounds_have_fewer_points(write_sound):
    envelope = read_envelope(write_sound("a.wav", np.array([0.1, -0.2, 0.3]), RATE), points=800)
    assert len(envelope) == 3
    np.testing.assert_allclose(envelope["high"], [0.1, -0.2, 0.3], atol=1e-4)


def test_memory_does_not_grow_with_the_recording(tmp_path):
    path = tmp_path / "long.wav"
    silence = np.zeros((60 * RATE, 2), dtype=np.int16)
    click = silence.copy()
    click[100, 1] = 16384
    with soundfile.SoundFile(path, "w", RATE, 2) as file:
        for minute in range(60):
            file.write(click if minute == 42 else silence)
    tracemalloc.start()
    envelope = read_envelope(path, channel=1, points=3)
    samples, _ = read_excerpt(path, 42 * 60, 42 * 60 + 1, channel=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6  # the decoded recording takes 230 MB
    assert envelope["high"].tolist() == [0, 0, 0.5]
    assert samples[100] == 0.5


@pytest.mark.parametrize("read", [read_envelope, lambda path, **o: read_excerpt(path, 0, 1, **o)])
def test_unusable_files_raise_an_error_with_the_reason(tmp_path, ramp, read):
    text, empty = tmp_path / "text.wav", tmp_path / "empty.wav"
    text.write_text("words")
    empty.write_bytes(b"")
    for path, reason in [
        (text, "unreadable"),
        (empty, "0 bytes"),
        (tmp_path / "no.wav", "no such"),
    ]:
        with pytest.raises(AudioError, match=reason):
            read(path)
    with pytest.raises(AudioError, match="has no channel 2: it has 2"):
        read(ramp, channel=2)
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    with pytest.raises(AudioError, match=r"no sound between|no samples"):
        read(tmp_path / "none.wav")
