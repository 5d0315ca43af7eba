import base64
import io

import numpy as np
import pytest
import soundfile

from speech_emotion.audio import AudioError, encode_sound, load_audio, open_sound

FORMATS = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "mp3": "MP3", "aiff": "AIFF"}


def in_base64(samples, name):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 22050, format=FORMATS[name])
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("name", FORMATS)
def test_sound_files_are_read_from_data_urls(tone, name):
    text = f"data:audio/{name};base64,{in_base64(tone(), name)}"
    samples = load_audio(open_sound(text, paths=False), 22050)
    assert len(samples) == pytest.approx(22050, rel=0.06)  # MP3 pads
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", ["wav", "aiff", "flac", "ogg"])
def test_plain_base64_is_recognized_by_its_first_bytes(tone, name):
    text = in_base64(tone(), name)
    broken = "\n".join(text[start : start + 76] for start in range(0, len(text), 76))
    for entry in (text, broken, f"  {text}\n"):
        assert len(load_audio(open_sound(entry, paths=False), 22050)) == 22050


def test_encoding_is_reversible(tone):
    samples = load_audio(open_sound(encode_sound(tone(), 22050), paths=False), 22050)
    np.testing.assert_allclose(samples, tone(), atol=1 / 32768)


@pytest.mark.parametrize("entry", ["a.wav", "/srv/calls/a.wav", "UklG.wav", "fLaC", "RIFF/a b.wav"])
def test_anything_else_is_a_path(entry):
    assert str(open_sound(entry)) == entry


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (None, "neither a path nor a sound"),
        (float("nan"), "neither a path nor a sound"),
        (3, "neither a path nor a sound"),
        ("  ", "neither a path nor a sound"),
        ("data:audio/wav,RIFF", "not base64; write data:"),
        ("data:audio/wav;base64,UklG*", "not base64"),
        ("UklGRiQA*", "not base64"),
        ("A" * 5000, "not a path, and not the base64"),
    ],
)
def test_invalid_entries_raise_an_error_with_the_reason(entry, reason):
    with pytest.raises(AudioError, match=reason) as caught:
        open_sound(entry)
    assert len(str(caught.value)) < 300


def test_errors_of_encoded_sounds_do_not_contain_their_bytes():
    text = "data:audio/wav;base64," + base64.b64encode(b"RIFF, but no sound").decode()
    with pytest.raises(AudioError, match=r"^sound in base64: unreadable"):
        load_audio(open_sound(text))


def test_paths_can_be_disallowed():
    with pytest.raises(AudioError, match="paths are not read here; send the sound as data:"):
        open_sound("a.wav", paths=False)


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        folder = tmp_path / "calls"
        (folder / "monday").mkdir(parents=True)
        (folder / "monday" / "a.wav").write_bytes(b"x")
        (tmp_path / "secret.wav").write_bytes(b"x")
        (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
        (folder / "loop.wav").symlink_to(folder / "loop.wav")
        return folder

    @pytest.mark.parametrize("entry", ["monday/a.wav", "monday/../monday/a.wav", "./monday/a.wav"])
    def test_relative_paths_start_in_the_folder(self, folder, entry):
        assert open_sound(entry, below=folder) == folder / "monday" / "a.wav"
        whole = str(folder / entry)
        assert open_sound(whole, below=folder) == folder / "monday" / "a.wav"

    @pytest.mark.parametrize(
        "entry",
        ["../secret.wav", "/etc/passwd", "monday/../../secret.wav", "link.wav", "~/a.wav/../.."],
    )
    def test_paths_outside_the_folder_are_refused(self, folder, entry):
        if entry.startswith("~"):
            assert open_sound(entry, below=folder) == folder  # "~" is not expanded
            return
        with pytest.raises(AudioError, match="is outside the folder"):
            open_sound(entry, below=folder)

    @pytest.mark.parametrize("entry", ["a\0.wav", "a/" * 2000, "b" * 400, "loop.wav", "."])
    def test_invalid_paths_raise_audio_errors(self, folder, entry):
        with pytest.raises(AudioError):
            load_audio(open_sound(entry, below=folder))
        with pytest.raises(AudioError):
            load_audio(open_sound(entry))


@pytest.mark.parametrize("entry", ["ü.wav", "日本.wav", "éé"])
def test_entries_that_are_not_ascii_are_paths(entry):
    assert str(open_sound(entry)) == entry
    with pytest.raises(AudioError, match="not base64"):
        open_sound(f"data:audio/wav;base64,{entry}")
