import io

import numpy as np
import pytest
import soundfile

from speech_emotion.audio import AudioError, load_audio


def peak_frequency(samples, rate):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * rate / len(samples)


@pytest.mark.parametrize(
    ("name", "rate", "options"),
    [
        ("a.wav", 8000, {"subtype": "PCM_U8"}),
        ("a.wav", 16000, {"subtype": "PCM_16"}),
        ("a.wav", 24414, {"subtype": "PCM_24"}),
        ("a.WAV", 44100, {"subtype": "FLOAT"}),
        ("a.flac", 48000, {}),
        ("a.ogg", 22050, {}),
        ("a.mp3", 44100, {}),
        ("a.wav", 96000, {"format": "AIFF", "subtype": "PCM_16"}),
        ("flac.wav", 16000, {"format": "FLAC"}),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_pitch_and_level_survive_decoding(tone, write_sound, name, rate, options, channels):
    samples = tone(440, seconds=1.0, amplitude=0.5, rate=rate)
    path = write_sound(name, np.stack([samples] * channels, axis=1), rate, **options)
    decoded = load_audio(path, 22050)
    assert decoded.dtype == np.float32
    assert decoded.ndim == 1
    assert len(decoded) == pytest.approx(22050, rel=0.06)  # MP3 pads
    assert peak_frequency(decoded, 22050) == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(decoded[2000:-4000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_channels_are_averaged(tone, write_sound):
    left, right = tone(440, amplitude=0.4), tone(440, amplitude=0.2)
    path = write_sound("a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(load_audio(path, 22050), (left + right) / 2, atol=1e-6)


def test_open_files_are_read(tone, write_sound):
    path = write_sound("a.wav", tone())
    with path.open("rb") as file:
        np.testing.assert_array_equal(load_audio(io.BytesIO(file.read())), load_audio(path))


@pytest.fixture
def broken(tmp_path, tone):
    """Unusable files by their problem."""
    whole = tmp_path / "whole.wav"
    soundfile.write(whole, tone(), 22050)
    contents = {
        "empty": b"",
        "text": b"not a sound at all, just some words",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n",
        "header only": whole.read_bytes()[:20],
    }
    paths = {"missing": tmp_path / "missing.wav"}
    for name, content in contents.items():
        paths[name] = tmp_path / f"{name}.wav"
        paths[name].write_bytes(content)
    for name, samples in {
        "no samples": np.zeros(0),
        "silent": np.zeros(8000),
        "nan": np.array([0.1, np.nan, 0.2]),
        "infinite": np.array([0.1, np.inf, 0.2]),
    }.items():
        paths[name] = tmp_path / f"{name}.wav"
        soundfile.write(paths[name], samples, 22050, subtype="FLOAT")
    return paths


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "no such file"),
        ("empty", "0 bytes"),
        ("text", "unreadable"),
        ("pointer", "git lfs pull"),
        ("header only", "unreadable"),
        ("no samples", "no samples"),
        ("silent", "silent"),
        ("nan", "NaN or infinite"),
        ("infinite", "NaN or infinite"),
    ],
)
def test_unusable_files_raise_an_error_with_name_and_reason(broken, name, reason):
    with pytest.raises(AudioError, match=reason) as caught:
        load_audio(broken[name])
    assert str(broken[name]) in str(caught.value)
    assert reason in caught.value.reason


def test_rate_must_be_positive(tone, write_sound):
    with pytest.raises(ValueError, match="above 0 Hz, not -8000"):
        load_audio(write_sound("a.wav", tone()), -8000)
