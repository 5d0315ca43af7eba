"""Real-world recordings: headers as recorders write them, cut files, formats of telephone systems."""

import io
import os
import pickle
import struct
import threading

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speech_emotion.audio import (
    AUDIO_SUFFIXES,
    AudioError,
    SoundLimits,
    decode,
    load_audio,
    open_recording,
    read_samples,
    with_segment,
)

RATE = 8000
SECONDS = 4.0


def glide(seconds=SECONDS, rate=RATE):
    """A tone whose pitch tells the time: no part of it sounds like another."""
    times = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (300 * times + 60 * times**2))).astype(np.float32)


def encoded(samples, rate=RATE, **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **options)
    return bytearray(buffer.getvalue())


def with_data_size(content, size, riff=None):
    at = content.index(b"data")
    content[at + 4 : at + 8] = struct.pack("<I", size)
    content[4:8] = struct.pack("<I", size + 36 if riff is None else riff)
    return content


WAV = {"format": "WAV", "subtype": "PCM_16"}
SAMPLES = round(SECONDS * RATE)


def wav(**options):
    return encoded(glide(), **(WAV | options))


def patched(content, marker, offset, value):
    at = content.index(marker) + offset
    content[at : at + len(value)] = value
    return content


UNWRITTEN = [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


@pytest.mark.parametrize("size", UNWRITTEN)
@pytest.mark.parametrize("channels", [1, 2])
def test_sizes_that_were_never_written_do_not_matter(size, channels):
    samples = np.stack([glide()] * channels, axis=1)
    content = with_data_size(encoded(samples, **WAV), size, riff=min(size + 36, 0xFFFFFFFF))
    read, rate = read_samples(io.BytesIO(content))
    assert rate == RATE
    np.testing.assert_allclose(read, samples, atol=1e-4)


GOOD_HEADERS = {
    "size of the file": lambda: with_data_size(wav(), 2 * SAMPLES + 44, riff=2 * SAMPLES + 36),
    "one odd byte": lambda: with_data_size(wav() + b"\x01", 2 * SAMPLES + 1),
    "block align 0": lambda: patched(wav(), b"fmt ", 8 + 12, b"\0\0"),
    "wrong byte rate": lambda: patched(wav(), b"fmt ", 8 + 8, b"\1\1\0\0"),
    "byte rate 0": lambda: patched(wav(), b"fmt ", 8 + 8, b"\0\0\0\0"),
    "chunk after the sound": lambda: wav() + b"LIST" + struct.pack("<I", 5000) + bytes(5000),
    "chunk of a vendor": lambda: wav() + b"cue~" + struct.pack("<I", 9000) + os.urandom(9000),
    "padding": lambda: wav() + bytes(50_000),
    "tag": lambda: wav() + b"ID3\x03" + bytes(range(256)) * 100,
    "extensible": lambda: encoded(glide(), format="WAVEX", subtype="PCM_16"),
    "RF64": lambda: encoded(glide(), format="RF64", subtype="PCM_16"),
}


@pytest.mark.parametrize("name", GOOD_HEADERS)
def test_headers_that_any_player_accepts_are_accepted(name):
    read, _ = read_samples(io.BytesIO(GOOD_HEADERS[name]()))
    np.testing.assert_allclose(read[:, 0], glide(), atol=1e-4)


def test_half_a_frame_of_stereo_is_dropped():
    content = encoded(np.stack([glide(), -glide()], axis=1), **WAV)
    content = with_data_size(content[:-2], 4 * SAMPLES - 2)
    read, _ = read_samples(io.BytesIO(content))
    assert read.shape == (SAMPLES - 1, 2)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "GSM610", "IMA_ADPCM", "MS_ADPCM", "G721_32"])
def test_codecs_of_telephone_systems_are_read_in_wav(subtype):
    content = encoded(glide(), format="WAV", subtype=subtype)
    read, rate = read_samples(io.BytesIO(content))
    assert len(read) / rate == pytest.approx(SECONDS, abs=0.35)
    assert np.corrcoef(read[: SAMPLES - 4000, 0], glide()[: SAMPLES - 4000])[0, 1] > 0.9


@pytest.mark.parametrize(
    "format", ["WAV", "WAVEX", "RF64", "AIFF", "AU", "W64", "CAF", "FLAC", "MP3", "OGG"]
)
def test_cut_files_are_truncated_for_every_reader(tmp_path, format):
    rate = 16000
    whole = encoded(glide(8.0, rate), rate, format=format)
    path = tmp_path / f"cut.{format.lower()}"
    path.write_bytes(whole[: int(0.6 * len(whole))])
    for source in (path, str(path), io.BytesIO(path.read_bytes())):
        with pytest.raises(AudioError, match=r"truncated|cannot be decoded"):
            read_samples(source)
    with pytest.raises(AudioError, match=r"truncated|cannot be decoded"):
        load_audio(path)
    path.write_bytes(whole)
    read, found = read_samples(path)
    assert len(read) / found == pytest.approx(8.0, abs=0.1)


def test_a_cut_wav_tells_both_lengths():
    content = wav()[: 44 + SAMPLES]
    with pytest.raises(AudioError, match=r"truncated: 4\.0 s by its header, 2\.0 s in the file"):
        read_samples(io.BytesIO(content))


@pytest.mark.parametrize("keep", [0.0, 0.6])
def test_sound_that_the_header_does_not_cover_is_not_dropped_in_silence(keep):
    covered = int(2 * SAMPLES * keep) // 2 * 2
    content = with_data_size(wav(), covered, riff=2 * SAMPLES + 36)
    if keep:
        with pytest.raises(
            AudioError, match=r"covers 2\.4 s, but about 1\.6 s more follow"
        ) as caught:
            read_samples(io.BytesIO(content))
        assert "ffmpeg" in caught.value.reason
    else:
        assert len(read_samples(io.BytesIO(content))[0]) == SAMPLES


def noisy(loud_first, rate=RATE):
    """Loud noise and near silence, which MP3 encoders give many and few bits."""
    rng = np.random.default_rng(0)
    parts = [0.3 * rng.standard_normal(6 * rate), 1e-3 * rng.standard_normal(12 * rate)]
    return np.concatenate(parts if loud_first else parts[::-1]).clip(-1, 1)


def mp3(samples, rate=RATE, xing=True):
    content = bytes(
        encoded(samples, rate, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5)
    )
    if xing:
        return content
    first = content.index(b"Xing") - 13  # the frame that holds the header, then frames of sound
    return content[content.index(content[first : first + 2], first + 40) :]


@pytest.mark.parametrize("loud_first", [True, False])
@pytest.mark.parametrize("extra", [True, False])
def test_mp3_of_varying_bit_rate_without_xing_header_is_read_to_its_end(
    tmp_path, monkeypatch, loud_first, extra
):
    monkeypatch.setattr(decode, "has_codecs", lambda: extra)
    samples = noisy(loud_first)
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3(samples, xing=False))
    estimate = soundfile.info(path).duration
    assert abs(estimate - 18) > 5  # what a reader that trusts the decoder's estimate gets
    read, rate = read_samples(path)
    assert len(read) / rate == pytest.approx(18, abs=0.3)
    for source in (path, io.BytesIO(path.read_bytes())):
        with open_recording(source) as recording:
            assert recording.format == "MP3 MPEG_LAYER_III"  # libsndfile, which is the fastest
            blocks = list(recording.blocks(1.0))
        np.testing.assert_array_equal(np.concatenate(blocks), read)
    part, _ = read_samples(with_segment(str(path), 15, 16))
    np.testing.assert_allclose(part, read[15 * rate : 16 * rate], atol=2e-3)
    level = np.sqrt(np.mean(part**2))
    assert level == pytest.approx(1e-3 if loud_first else 0.3, rel=0.4)


def test_joined_mp3_files_are_not_cut_at_the_end_of_the_first():
    content = mp3(noisy(True))
    with pytest.raises(AudioError, match=r"more follow|follow after"):
        read_samples(io.BytesIO(content * 2))
    tagged = content + b"TAG" + bytes(125)
    assert len(read_samples(io.BytesIO(tagged))[0]) == 18 * RATE


def test_joined_ogg_files_are_not_cut_at_the_end_of_the_first():
    parts = [bytes(encoded(glide(), format="OGG")) for _ in range(2)]
    serial = parts[0][14:18]
    assert parts[1][14:18] != serial
    with pytest.raises(AudioError, match="several streams"):
        read_samples(io.BytesIO(b"".join(parts)))


def test_flac_of_unknown_length_is_read():
    content = encoded(glide(), format="FLAC")
    content[8 + 13] &= 0xF0
    content[8 + 14 : 8 + 18] = bytes(4)
    np.testing.assert_allclose(read_samples(io.BytesIO(content))[0][:, 0], glide(), atol=1e-4)


def test_a_header_cannot_claim_memory_or_time(tmp_path):
    flac = encoded(np.zeros(RATE), format="FLAC")
    flac[8 + 13] |= 0x0F
    flac[8 + 14 : 8 + 18] = b"\xff" * 4
    with pytest.raises(AudioError, match="longer than 86400 s"):
        read_samples(io.BytesIO(flac))
    slow = patched(encoded(glide(), format="WAV", subtype="PCM_U8"), b"fmt ", 8 + 4, b"\1\0\0\0")
    with pytest.raises(AudioError, match="sample rate 1 Hz is not from 6000 to 192000 Hz"):
        read_samples(io.BytesIO(slow))
    with pytest.raises(AudioError, match="max_channels"):
        read_samples(io.BytesIO(encoded(np.zeros((RATE, 9)), **WAV)))


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"max_seconds": 3.9}, "max_seconds"),
        ({"max_bytes": 4 * SAMPLES - 1}, "max_bytes"),
        ({"max_rate_hz": 7999}, "max_rate_hz"),
        ({"min_rate_hz": 8001}, "min_rate_hz"),
    ],
)
def test_limits_name_their_setting(limits, name):
    with pytest.raises(AudioError, match=name):
        read_samples(io.BytesIO(wav()), limits=SoundLimits(**limits))
    exact = SoundLimits(
        max_seconds=4, max_bytes=4 * SAMPLES, max_rate_hz=8000, min_rate_hz=8000, max_channels=1
    )
    assert len(read_samples(io.BytesIO(wav()), limits=exact)[0]) == SAMPLES


def test_limits_hold_for_lengths_that_no_header_tells(tmp_path):
    content = mp3(noisy(True), xing=False)
    with pytest.raises(AudioError, match="longer than 10 s"):
        read_samples(io.BytesIO(content), limits=SoundLimits(max_seconds=10))


def test_limits_are_checked_for_order():
    with pytest.raises(ValueError, match="min_rate_hz 9000 is above max_rate_hz 8000"):
        SoundLimits(min_rate_hz=9000, max_rate_hz=8000)


@pytest.mark.parametrize("peak", [1e5, 1e30])
def test_samples_that_are_no_sound_are_refused(peak):
    content = encoded(glide() * peak, format="WAV", subtype="FLOAT")
    with pytest.raises(AudioError, match="divide them so that full scale is 1"):
        read_samples(io.BytesIO(content))


WRITABLE = {
    ".wave": {"format": "WAV"},
    ".oga": {"format": "OGG"},
    ".opus": {"format": "OGG", "subtype": "OPUS"},
    ".aif": {"format": "AIFF"},
    ".aifc": {"format": "AIFF"},
    ".snd": {"format": "AU"},
    ".sph": {"format": "NIST"},
}


@pytest.mark.parametrize("suffix", AUDIO_SUFFIXES)
def test_every_listed_suffix_can_be_decoded(write_sound, suffix):
    raw = decode.HEADERLESS.get(suffix)
    rate = raw[1] if raw else 8000
    options = {"format": "RAW", "subtype": raw[0]} if raw else WRITABLE.get(suffix, {})
    path = write_sound(f"a{suffix}", glide(rate=rate), rate, **options)
    samples, found = read_samples(path)
    assert found == rate
    assert len(samples) / rate == pytest.approx(SECONDS, abs=0.1)
    start = 0 if suffix != ".mp3" else None
    if start is not None:
        assert np.corrcoef(samples[4000:20000, 0], glide(rate=rate)[4000:20000])[0, 1] > 0.95


def test_a_suffix_does_not_make_a_file_headerless(tmp_path):
    path = tmp_path / "a.ulaw"
    path.write_bytes(wav())
    assert len(read_samples(path)[0]) == SAMPLES
    path = tmp_path / "a.gsm"
    path.write_bytes(os.urandom(3300))
    with pytest.raises(AudioError, match="not GSM"):
        read_samples(path)


def encode_with_av(path, samples, rate, codec, *, video=False, tracks=1, format=None):
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=format) as container:
        streams = []
        for _ in range(tracks):
            stream = container.add_stream(codec, rate=rate)
            stream.layout = "mono"
            stream.bit_rate = 6300 if codec == "g723_1" else 64_000
            streams.append(stream)
        if video:
            picture = container.add_stream("mpeg4", rate=5)
            picture.width = picture.height = 32
            for number in range(round(len(samples) / rate * 5)):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), "rgb24")
                container.mux(picture.encode(frame))
            container.mux(picture.encode())
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(
                (samples[np.newaxis] * 32767).astype(np.int16), "s16", "mono"
            )
            frame.rate = rate
            converter = av.AudioResampler(
                format=stream.codec_context.format, frame_size=stream.codec_context.frame_size
            )
            for part in [*converter.resample(frame), *converter.resample(None)]:
                container.mux(stream.encode(part))
            container.mux(stream.encode())


CODECS = {
    "call.m4a": (8000, "aac", {}),
    "call.aac": (16000, "aac", {"format": "adts"}),
    "call.3gp": (16000, "aac", {}),
    "call.webm": (48000, "libopus", {}),
    "call.mka": (8000, "pcm_mulaw", {}),
    "call.wma": (16000, "wmav2", {"format": "asf"}),
    "call.ac3": (48000, "ac3", {}),
    "call.g722": (16000, "g722", {}),
    "meeting.mp4": (16000, "aac", {"video": True}),
    "meeting.avi": (16000, "mp2", {"video": True}),
    "mp3.wav": (16000, "mp3", {}),
    "g726.wav": (8000, "g726", {}),
    "g723.wav": (8000, "g723_1", {}),
}


def pitch_at(samples, rate, second):
    part = samples[round((second - 0.1) * rate) : round((second + 0.1) * rate)]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 16))
    return spectrum.argmax() * rate / (1 << 16)


@pytest.mark.parametrize("name", CODECS)
def test_codecs_of_phones_and_meetings_are_read_with_the_extra(tmp_path, name):
    rate, codec, options = CODECS[name]
    path = tmp_path / name
    encode_with_av(path, glide(rate=rate), rate, codec, **options)
    samples, found = read_samples(path)
    assert found == rate
    assert samples.shape[1] == 1
    assert len(samples) / rate == pytest.approx(SECONDS, abs=0.3)
    for second in (1.0, 3.0):  # right at both ends: nothing is lost before or repeated after
        assert pitch_at(samples[:, 0], rate, second) == pytest.approx(300 + 120 * second, abs=20)
    part, _ = read_samples(with_segment(str(path), 2, 2.5))
    np.testing.assert_allclose(part, samples[2 * rate : round(2.5 * rate)], atol=1e-6)
    if name.endswith(".g722"):
        return  # its content does not show what it is
    with open_recording(io.BytesIO(path.read_bytes())) as recording:
        blocks = list(recording.blocks(0.7))
    np.testing.assert_allclose(np.concatenate(blocks), samples, atol=1e-6)


@pytest.mark.parametrize("name", ["call.m4a", "call.webm"])
def test_cut_containers_are_rejected(tmp_path, name):
    rate, codec, options = CODECS[name]
    path = tmp_path / name
    encode_with_av(path, glide(8.0, rate), rate, codec, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    with pytest.raises(AudioError, match=r"truncated|unreadable|cannot be decoded"):
        read_samples(path)


def test_several_tracks_are_rejected_with_the_remedy(tmp_path):
    path = tmp_path / "two.mka"
    encode_with_av(path, glide(), RATE, "pcm_mulaw", tracks=2)
    with pytest.raises(AudioError, match="2 sound tracks; extract the one to read"):
        read_samples(path)


@pytest.mark.parametrize("name", ["call.m4a", "call.webm", "call.mp3", "g723.wav"])
def test_without_the_extra_the_remedy_is_to_install_it(tmp_path, monkeypatch, name):
    rate, codec, options = CODECS[name.replace("mp3", "m4a")]
    path = tmp_path / f"whole.{name.replace('mp3', 'm4a').rsplit('.', 1)[1]}"
    encode_with_av(path, glide(rate=rate), rate, codec, **options)
    path = path.rename(tmp_path / name)
    monkeypatch.setattr(decode, "has_codecs", lambda: False)
    with pytest.raises(AudioError, match=r"speech-emotion\[codecs\]|install the extra") as caught:
        read_samples(path)
    assert caught.value.transient
    assert "exist" not in caught.value.reason
    if name.endswith(("m4a", "mp3")):
        assert "contains MP4 or M4A" in caught.value.reason


def test_playlists_open_no_other_files(tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav())
    for name, text in {
        "a.m4a": f"ffconcat version 1.0\nfile '{secret}'\n",
        "b.aac": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "c.wav": f"#EXTM3U\n\0\0\0\xff\xfe{secret}\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioError, match=r"unreadable|contains"):
            read_samples(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Dear Sirs, please find attached", "contains text instead of sound"),
        (b"%PDF-1.7 and more" + bytes(100), "contains a PDF document instead of sound"),
        (b"PK\x03\x04" + bytes(100), "ZIP archive or an Excel workbook instead of sound"),
        (bytes(5000), "unreadable"),
    ],
)
def test_other_content_is_named(tmp_path, content, words):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=words):
        read_samples(path)


def test_a_file_without_permission_is_not_called_broken(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(wav())

    def refuse(*arguments, **options):  # a superuser may read any file
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(AudioError) as caught:
        read_samples(path)
    assert caught.value.reason == "cannot be opened (Permission denied); allow this user to read it"
    assert caught.value.transient


def test_folders_pipes_and_impossible_names_are_named(tmp_path):
    with pytest.raises(AudioError, match="not a file"):
        read_samples(tmp_path)
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="not a file"):
        read_samples(tmp_path / "pipe.wav")
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(AudioError, match=r"cannot be opened|no such file"):
            read_samples(tmp_path / name)


def test_names_that_are_not_utf8_can_be_read_and_shown(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/G\xe4rtner.wav")
    with open(path, "wb") as file:
        file.write(wav())
    assert len(read_samples(path)[0]) == SAMPLES
    with open(path, "wb") as file:
        file.write(b"Dear Sirs")
    with pytest.raises(AudioError, match=r"G\\xe4rtner\.wav: unreadable"):
        read_samples(path)


def test_errors_show_no_objects_and_can_be_sent_to_other_processes(tmp_path):
    with pytest.raises(AudioError) as caught:
        read_samples(io.BytesIO(b"Dear Sirs"))
    assert str(caught.value).startswith("open file: unreadable")
    copy = pickle.loads(pickle.dumps(AudioError("a.wav", "why", transient=True)))  # noqa: S301
    assert (copy.source, copy.reason, copy.transient) == ("a.wav", "why", True)
    assert str(copy) == "a.wav: why"


def test_a_recording_is_read_by_several_threads_at_once(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3(noisy(True), xing=False))
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(len(read_samples(path)[0])))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(results)) == 1


SEEDS = {
    "wav": wav(),
    "gsm": encoded(glide(), format="WAV", subtype="GSM610"),
    "flac": encoded(glide(1.0), format="FLAC"),
    "ogg": encoded(glide(1.0), format="OGG"),
    "mp3": encoded(glide(1.0), format="MP3"),
    "aiff": encoded(glide(), format="AIFF"),
    "w64": encoded(glide(), format="W64"),
}
LIMITS = SoundLimits(max_seconds=60, max_bytes=1 << 25)


@given(
    name=st.sampled_from(sorted(SEEDS)),
    edits=st.lists(st.tuples(st.integers(0, 200), st.binary(min_size=1, max_size=8)), max_size=4),
    length=st.floats(0.02, 1.2),
)
def test_no_damaged_file_raises_anything_but_an_audio_error(name, edits, length):
    content = bytearray(SEEDS[name])
    for position, value in edits:
        content[position : position + len(value)] = value
    content = (content * 2)[: int(length * len(content))]
    outcome = outcome_of(io.BytesIO(content))
    if isinstance(outcome, AudioError):
        assert outcome.reason
        assert "object at 0x" not in str(outcome)
    else:
        assert 0 < len(outcome) <= 60 * 192_000
        assert np.isfinite(outcome).all()


def outcome_of(source):
    try:
        return read_samples(source, limits=LIMITS)[0]
    except AudioError as error:
        return error


@pytest.mark.parametrize("length", [46, 50, 58])
def test_a_cut_header_of_mp3_is_a_reason(tmp_path, length):
    path = tmp_path / "cut.mp3"
    frame = b"\xff\xfb\x90\x00" + bytes(32) + b"Xing" + b"\x00\x00\x00\x0f" + bytes(100)
    path.write_bytes(frame[: length - 8])
    with pytest.raises(AudioError):
        read_samples(path)
