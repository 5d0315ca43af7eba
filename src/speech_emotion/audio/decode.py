"""Decode recordings to float32 samples: the only reader of sound files in this package.

libsndfile decodes what it can; PyAV, an extra, decodes the rest. Both are read until nothing comes: the
length in a header is never trusted, and nothing is allocated by it.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Protocol

import numpy as np
import soundfile
import soxr
from pydantic import Field, model_validator

from speech_emotion.audio.codecs import (
    CODEC_SUFFIXES,
    EXTRA,
    CodecError,
    CodecReader,
    has_codecs,
    suffix_of,
)
from speech_emotion.audio.containers import (
    HEAD_BYTES,
    Extent,
    PatchedFile,
    describe_content,
    measure_extent,
)
from speech_emotion.audio.segments import Segment, split_segment
from speech_emotion.config import Settings
from speech_emotion.runtime import FetchError, FileState, file_state, is_url, open_binary

__all__ = [
    "AUDIO_SUFFIXES",
    "NO_LIMITS",
    "SILENCE",
    "AudioError",
    "Recording",
    "SoundLimits",
    "check_rate",
    "content_digest",
    "load_audio",
    "open_recording",
    "read_samples",
]

HEADERLESS: Final = {
    ".gsm": ("GSM610", 8000),
    ".ulaw": ("ULAW", 8000),
    ".ul": ("ULAW", 8000),
    ".alaw": ("ALAW", 8000),
    ".al": ("ALAW", 8000),
    ".sln": ("PCM_16", 8000),
    ".sln16": ("PCM_16", 16000),
    ".vox": ("VOX_ADPCM", 8000),
}
"""Codec and rate of files without a header, by suffix, as telephone systems write them."""

AUDIO_SUFFIXES: Final = (
    *(
        ".wav",
        ".wave",
        ".flac",
        ".mp3",
        ".ogg",
        ".oga",
        ".opus",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".snd",
    ),
    *(".w64", ".rf64", ".caf", ".voc", ".sph", *HEADERLESS),
)
"""Suffixes of recordings that are read without an extra, in lower case."""

SILENCE = 1e-4
"""Peak amplitude below which a recording is silent; 16-bit sound has steps of 3e-5."""

LOUDEST: Final = 100.0
"""Amplitude above which samples are not sound with full scale at 1."""

BLOCK_S: Final = 10.0
TOLERANCE_S: Final = 0.1
"""Sound that may be missing at the end without the file being called truncated."""
CODEC_TOLERANCE_S: Final = 0.5
"""The same for encodings in frames, whose headers count padding."""
IN_FRAMES: Final = ("MP3", "MPEG")
BY_LIBSNDFILE: Final = ("WAV", "AIFF", "FLAC", "Ogg", "MP3", "Wave64", "CAF", "AU")
UNKNOWN: Final = 1 << 46
"""Numbers of samples from here on stand for an unknown length."""

LFS_POINTER = b"version https://git-lfs"
MISSING = "no such file; check the path and that links lead somewhere"
EMPTY = "empty file (0 bytes); replace it by an intact copy"
POINTER = "a Git-LFS pointer, not the recording; run `git lfs pull`"
NO_SAMPLES = "contains no samples; replace it by an intact copy"
REPLACED: Final = "its sound is another one than at ingestion; run the ingestion pipeline again"
CHANGED: Final = "changed while being read; read it again when it is complete"


class AudioError(ValueError):
    """A recording cannot be used.

    Attributes:
        source: Path of the file, or a description of the samples.
        reason: The problem and its remedy.
        transient: Whether the recording itself may be good, so that another attempt can succeed: it
            could not be opened, or an extra is not installed.
    """

    def __init__(self, source: object, reason: str, *, transient: bool = False):
        super().__init__(f"{_name(source)}: {reason}")
        self.source = source
        self.reason = reason
        self.transient = transient

    def __reduce__(self) -> tuple[object, ...]:
        return _audio_error, (_name(self.source), self.reason, self.transient)


def _audio_error(source: str, reason: str, transient: bool) -> AudioError:
    return AudioError(source, reason, transient=transient)


def _name(source: object) -> str:
    """Return a name for messages: of a path, or of an open file that has none."""
    if isinstance(source, str | os.PathLike):
        return os.fsencode(source).decode(errors="backslashreplace")
    if hasattr(source, "read") and type(source).__str__ is object.__str__:
        name = getattr(source, "name", None)
        return name if isinstance(name, str) else "open file"
    return str(source)


class SoundLimits(Settings):
    """What a recording may be. A header that declares more is refused before anything is decoded.

    Attributes:
        min_rate_hz: Lowest sample rate.
        max_rate_hz: Highest sample rate.
        max_channels: Most channels.
        max_seconds: Longest recording.
        max_bytes: Most bytes of decoded samples of recordings that are read as a whole.

    Example:
        >>> SoundLimits(max_seconds=60).max_rate_hz
        192000
    """

    min_rate_hz: int = Field(6000, ge=1)
    max_rate_hz: int = Field(192_000, le=10_000_000)
    max_channels: int = Field(8, ge=1, le=1024)
    max_seconds: float = Field(86_400.0, gt=0)
    max_bytes: int = Field(1 << 31, ge=1)

    @model_validator(mode="after")
    def _order(self) -> SoundLimits:
        if self.min_rate_hz > self.max_rate_hz:
            raise ValueError(
                f"min_rate_hz {self.min_rate_hz} is above max_rate_hz {self.max_rate_hz}"
            )
        return self


LIMITS: Final = SoundLimits()
NO_LIMITS: Final = SoundLimits(
    min_rate_hz=1,
    max_rate_hz=10_000_000,
    max_channels=1024,
    max_seconds=math.inf,
    max_bytes=sys.maxsize,
)
"""For recordings that were accepted before, by the limits of their settings."""


def check_rate(sample_rate: float) -> None:
    """Check that a sample rate is positive and finite.

    Raises:
        ValueError: If it is not.
    """
    if not 0 < sample_rate < float("inf"):
        raise ValueError(f"The sample rate must be above 0 Hz, not {sample_rate}")


def load_audio(
    path: str | os.PathLike[str] | BinaryIO,
    sample_rate: int = 22050,
    *,
    limits: SoundLimits = LIMITS,
    content: str | None = None,
) -> np.ndarray:
    """Decode a sound file to mono; the format is detected from its content.

    Channels are averaged. The level is kept, because it carries emotion.

    Args:
        path: Path or URL (``s3://…``) of the file, or an open binary file.
        sample_rate: Rate to resample to, in Hz (soxr, high quality).
        limits: Largest accepted recording.
        content: Result of :func:`content_digest` that the recording must have; ``None`` for any.

    Returns:
        Samples, shape ``(n_samples,)``, float32, full scale at ±1.

    Raises:
        AudioError: If the file cannot be used, see :func:`open_recording`, or is silent.
        ValueError: If ``sample_rate`` is not positive and finite.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
        >>> soundfile.write(file, tone, 16000, format="WAV")
        >>> _ = file.seek(0)
        >>> samples = load_audio(file, sample_rate=22050)
        >>> samples.shape, samples.dtype
        ((22050,), dtype('float32'))
    """
    check_rate(sample_rate)
    samples, native_rate = read_samples(path, limits=limits)
    if content is not None and content_digest(samples, native_rate) != content:
        raise AudioError(path, REPLACED, transient=True)
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if (peak := float(np.abs(mono).max())) < SILENCE:
        reason = f"silent: the peak amplitude of its averaged channels is {peak:.1g}; replace it"
        raise AudioError(path, reason)
    if native_rate == sample_rate:
        return np.ascontiguousarray(mono)
    resampled = soxr.resample(mono, native_rate, sample_rate, quality="HQ")
    if len(resampled) == 0:
        raise AudioError(path, f"too short: {len(mono)} samples at {native_rate} Hz")
    return resampled


def content_digest(samples: np.ndarray, sample_rate: int) -> str:
    """Return a digest of decoded sound, the same for copies and other containers of it.

    Args:
        samples: Result of :func:`read_samples`, shape ``(n_samples, n_channels)``.
        sample_rate: Rate in Hz.
    """
    digest = hashlib.sha256(f"{sample_rate} {samples.shape}".encode())
    digest.update(samples.tobytes())
    return digest.hexdigest()


def read_samples(
    path: str | os.PathLike[str] | BinaryIO, *, limits: SoundLimits = LIMITS
) -> tuple[np.ndarray, int]:
    """Decode a sound file, or a segment of it, without resampling or mixing.

    Args:
        path: Path or URL of the file, which may end in a segment (``#t=START,END``), or an open binary
            file.
        limits: Largest accepted recording.

    Returns:
        Samples, shape ``(n_samples, n_channels)``, float32, and the sample rate in Hz.

    Raises:
        AudioError: If the file cannot be used, see :func:`open_recording`.
    """
    if isinstance(path, str | os.PathLike):
        segment = split_segment(path)
        if segment.path != os.fspath(path):
            return _read_segment(path, segment, limits)
    try:
        with open_recording(path, limits=limits) as recording:
            blocks, size = [], 0
            for block in recording.blocks():
                blocks.append(block)
                if (size := size + block.nbytes) > limits.max_bytes:
                    raise AudioError(path, _too_much("max_bytes", f"{limits.max_bytes} bytes"))
            samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
            return samples, recording.sample_rate
    except FetchError as error:
        raise AudioError(path, str(error), transient=True) from error


def _read_segment(
    path: str | os.PathLike[str], segment: Segment, limits: SoundLimits
) -> tuple[np.ndarray, int]:
    if segment.end_s is not None:
        try:
            with open_recording(segment.path, limits=limits) as recording:
                rate = recording.sample_rate
                start, stop = round(segment.start_s * rate), round(segment.end_s * rate)
                if start < stop <= limits.max_seconds * rate:
                    samples = recording.excerpt(start, stop)
                    if len(samples) == stop - start:
                        return samples, rate
        except FetchError as error:
            raise AudioError(path, str(error), transient=True) from error
    # Without an end, or at or behind the end of the recording: its length has to be known.
    samples, rate = read_samples(segment.path, limits=limits)
    try:
        return segment.cut(samples, rate), rate
    except ValueError as error:
        raise AudioError(path, str(error)) from error


class _Reader(Protocol):
    """A decoder.

    Attributes:
        sample_rate: Rate in Hz.
        channels: Number of channels.
        frames: Samples per channel by the header; ``None`` if unknown.
        format: Name of the format.
    """

    sample_rate: int
    channels: int
    frames: int | None
    format: str

    def read(self, size: int) -> np.ndarray: ...

    def skip(self, size: int) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Recording:
    """An open recording.

    Attributes:
        path: Its path or URL, or an open file.
        sample_rate: Rate in Hz.
        channels: Number of channels.
        format: Format and codec.
    """

    path: str | os.PathLike[str] | BinaryIO
    sample_rate: int
    channels: int
    format: str
    _reader: _Reader = field(repr=False)
    _limits: SoundLimits = field(repr=False)
    _state: FileState | None = field(repr=False)
    _estimated: bool = field(default=False, repr=False)

    def blocks(self, seconds: float = BLOCK_S) -> Iterator[np.ndarray]:
        """Yield float32 blocks, shape ``(n_samples, n_channels)``, until nothing comes.

        Args:
            seconds: Length of a block; only the last one is shorter.

        Raises:
            AudioError: If the file is truncated, is longer than the limit, cannot be decoded, contains
                NaN or infinite samples or no sound with full scale at 1, or changes while being read.
        """
        count, size = 0, max(round(seconds * self.sample_rate), 1)
        most = self._limits.max_seconds * self.sample_rate
        while len(block := self._read(size, count)):
            count += len(block)
            if count > most:
                raise AudioError(self.path, _too_long(self._limits))
            yield block
        if self._changed():
            raise AudioError(self.path, CHANGED, transient=True)
        expected = self._reader.frames
        if count == 0 and not expected:
            raise AudioError(self.path, NO_SAMPLES)
        in_frames = self.format.startswith(IN_FRAMES) or isinstance(self._reader, CodecReader)
        tolerance = CODEC_TOLERANCE_S if in_frames else TOLERANCE_S
        if (
            expected is not None
            and not self._estimated
            and count < expected - tolerance * self.sample_rate
        ):
            raise AudioError(self.path, _truncated(expected, count, self.sample_rate))
        if count == 0:
            raise AudioError(self.path, NO_SAMPLES)

    def excerpt(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop``, or as many of them as there are.

        The recording has to be newly opened.

        Raises:
            AudioError: As :meth:`blocks`.
        """
        try:
            self._reader.skip(start)
        except (soundfile.SoundFileError, CodecError) as error:
            raise AudioError(self.path, f"cannot be decoded ({error})") from error
        blocks = [np.empty((0, self.channels), dtype=np.float32)]
        block_size, count = max(round(BLOCK_S * self.sample_rate), 1), 0
        while count < stop - start:
            block = self._read(min(block_size, stop - start - count), start + count)
            if len(block) == 0:
                break
            blocks.append(block)
            count += len(block)
        return np.concatenate(blocks)

    def _read(self, size: int, position: int) -> np.ndarray:
        try:
            block = self._reader.read(size)
        except (soundfile.SoundFileError, CodecError) as error:
            if self._changed():
                raise AudioError(self.path, CHANGED, transient=True) from error
            reason = f"cannot be decoded after {position / self.sample_rate:.1f} s ({error})"
            raise AudioError(self.path, f"{reason}; replace it by an intact copy") from error
        peak = max(float(block.max(initial=0)), -float(block.min(initial=0)))
        if not np.isfinite(peak):
            raise AudioError(self.path, "contains NaN or infinite samples; convert it")
        if peak > LOUDEST:
            reason = f"its samples reach {peak:.3g}; divide them so that full scale is 1"
            raise AudioError(self.path, reason)
        return block

    def _changed(self) -> bool:
        try:
            return self._state is not None and file_state(_path(self.path)) != self._state
        except FetchError:
            raise
        except OSError:
            return True


def _path(source: object) -> str | os.PathLike[str]:
    assert isinstance(source, str | os.PathLike)
    return source


@contextmanager
def open_recording(
    source: str | os.PathLike[str] | BinaryIO, *, limits: SoundLimits = LIMITS
) -> Iterator[Recording]:
    """Open a recording of any length to decode it block by block in constant memory.

    Args:
        source: Path, URL (``s3://…``) whose blocks are fetched as they are needed, or an open binary
            file that can seek.
        limits: Largest accepted recording.

    Raises:
        AudioError: If it is missing, empty, a Git-LFS pointer, truncated, of unknown format or codec, or
            outside the limits. Some of this is found when its last block was read.
        FetchError: If the object store fails; raised when the block is left at the latest, because
            decoders mistake the failure for the end of the file.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> soundfile.write(file, np.zeros((20_000, 2)), 8000, format="WAV")
        >>> with open_recording(file) as recording:
        ...     (
        ...         recording.format,
        ...         recording.channels,
        ...         [len(block) for block in recording.blocks(1.0)],
        ...     )
        ('WAV PCM_16', 2, [8000, 8000, 4000])
    """
    with ExitStack() as stack:
        content = stack.enter_context(_open_bytes(source))
        state = file_state(source) if isinstance(source, str | os.PathLike) else None
        size = state.size if state else content.seek(0, io.SEEK_END)
        content.seek(0)
        head = content.read(HEAD_BYTES)
        extent = measure_extent(content, size)
        reader = _open_reader(source, content, head, extent)
        stack.callback(reader.close)
        _check_limits(source, reader, limits, extent)
        _check_extent(source, reader, extent)
        recording = Recording(
            source,
            reader.sample_rate,
            reader.channels,
            reader.format,
            reader,
            limits,
            state,
            extent.estimated,
        )
        yield recording


@contextmanager
def _open_bytes(source: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """Open a file, and check before decoding that it can be a recording."""
    with ExitStack() as stack:
        if not isinstance(source, str | os.PathLike):
            content: BinaryIO = source
        else:
            try:
                if not is_url(source) and not stat.S_ISREG(os.stat(source).st_mode):
                    raise AudioError(source, "not a file; give the path of a recording")
                content = stack.enter_context(open_binary(source))
            except FetchError:
                raise
            except (FileNotFoundError, NotADirectoryError) as error:
                raise AudioError(source, MISSING, transient=True) from error
            except PermissionError as error:
                reason = f"cannot be opened ({error.strerror}); allow this user to read it"
                raise AudioError(source, reason, transient=True) from error
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise AudioError(source, f"cannot be opened ({reason})", transient=True) from error
        content.seek(0)
        beginning = content.read(len(LFS_POINTER))
        if not beginning:
            raise AudioError(source, EMPTY)
        if beginning == LFS_POINTER:
            raise AudioError(source, POINTER)
        yield content


class _SoundFile(soundfile.SoundFile):
    """A sound file that is read until nothing comes.

    A file that can seek is read by soundfile up to the length in its header, with a jump after each
    block, which some files do not survive.
    """

    def seekable(self) -> bool:
        """Return false, which makes reading sequential; :meth:`seek` still works."""
        return False


class _SndfileReader:
    """Decode with libsndfile; attributes as of :class:`_Reader`."""

    def __init__(self, file: object, **raw: object):
        self._file = _SoundFile(file, **raw)
        self.sample_rate, self.channels = int(self._file.samplerate), int(self._file.channels)
        self.format = f"{self._file.format} {self._file.subtype}"
        self.frames = self._file.frames if 0 <= self._file.frames < UNKNOWN else None
        # libsndfile returns no more than this, and fills the rest of a block with zeros, which takes as
        # long as decoding a short clip.
        self._left = UNKNOWN if self.frames is None else self.frames

    def read(self, size: int) -> np.ndarray:
        """Return the next samples, shape ``(n_samples, n_channels)``, at most ``size``."""
        samples = self._file.read(min(size, self._left), dtype="float32", always_2d=True)
        self._left -= len(samples)
        return samples

    def skip(self, size: int) -> None:
        """Continue ``size`` samples later; jump there if the format allows."""
        # Decoders of MP3 need some frames to synchronize.
        jump = min(max(size - self.sample_rate // 2, 0), self._left)
        if jump:
            try:
                self._file.seek(jump)
                self._left -= jump
            except soundfile.SoundFileError:
                jump = 0
                self._file.seek(0)
        size -= jump
        while size > 0 and len(dropped := self.read(min(size, 1 << 18))):
            size -= len(dropped)

    def close(self) -> None:
        """Close the decoder."""
        self._file.close()


def _open_reader(
    source: str | os.PathLike[str] | BinaryIO, content: BinaryIO, head: bytes, extent: Extent
) -> _Reader:
    """Open a file with libsndfile, or else with PyAV."""
    suffix, known = suffix_of(source), describe_content(head)
    if suffix in HEADERLESS and known in ("", "text", "MP3", "AAC (ADTS)"):
        return _open_headerless(source, suffix, head, content)
    file: object = content
    if extent.patch or extent.estimated:
        file = PatchedFile(content, extent.patch, endless=extent.estimated)
    elif isinstance(source, str | os.PathLike) and not is_url(source):
        # Faster than a file of Python's; as bytes, any name can be opened.
        file = os.fsencode(source) if os.name == "posix" else os.fspath(source)
    else:
        content.seek(0)
    try:
        return _SndfileReader(file)
    except (soundfile.SoundFileError, OSError, RuntimeError, TypeError) as error:
        problem = (str(getattr(error, "error_string", "")) or str(error)).rstrip(".")
    if known == "text" or known.startswith("a "):
        reason = f"unreadable: contains {known} instead of sound; replace it by the recording"
        raise AudioError(source, reason)
    if has_codecs():
        try:
            return CodecReader(content, suffix)
        except CodecError as error:
            problem = f"libsndfile: {problem}; FFmpeg: {error}"
            reason = f"unreadable{' as ' * bool(known)}{known} ({problem})"
            raise AudioError(source, f"{reason}; replace it by an intact copy") from error
    if extent.codec:
        known = f"{extent.codec} in WAV"
    if known in ("", *BY_LIBSNDFILE) and suffix not in CODEC_SUFFIXES:
        reason = (
            f"unreadable{' as ' * bool(known)}{known} ({problem}); replace it by an intact copy"
        )
        raise AudioError(source, f"{reason}, or if other programs play it, {EXTRA}")
    reason = f"contains {known or suffix[1:].upper()}, which libsndfile cannot read; {EXTRA}"
    raise AudioError(source, reason, transient=True)


def _open_headerless(
    source: str | os.PathLike[str] | BinaryIO, suffix: str, head: bytes, content: BinaryIO
) -> _Reader:
    subtype, rate = HEADERLESS[suffix]
    if subtype == "GSM610" and any(byte >> 4 != 0xD for byte in head[: 33 * 8 : 33]):
        raise AudioError(source, "not GSM 06.10, as its suffix says; convert it to WAV or FLAC")
    content.seek(0)
    raw = {"format": "RAW", "subtype": subtype, "samplerate": rate, "channels": 1}
    try:
        return _SndfileReader(PatchedFile(content), **raw)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise AudioError(source, f"unreadable as {suffix} ({error}); convert it to WAV") from error


def _check_limits(source: object, reader: _Reader, limits: SoundLimits, extent: Extent) -> None:
    rate, channels = reader.sample_rate, reader.channels
    if not limits.min_rate_hz <= rate <= limits.max_rate_hz:
        reason = (
            f"sample rate {rate} Hz is not from {limits.min_rate_hz} to {limits.max_rate_hz} Hz"
        )
        raise AudioError(source, f"{reason}: correct the header, or set min_rate_hz or max_rate_hz")
    if channels > limits.max_channels:
        raise AudioError(source, _too_much("max_channels", f"{limits.max_channels} channels"))
    known = reader.frames is not None and not extent.estimated
    if known and reader.frames > limits.max_seconds * rate:  # type: ignore[operator]
        raise AudioError(source, _too_long(limits))


def _check_extent(source: object, reader: _Reader, extent: Extent) -> None:
    """Refuse a file that is cut, or continues after the sound that its header covers."""
    if extent.broken:
        raise AudioError(source, f"truncated or joined from pieces: {extent.broken}; copy it again")
    rate = reader.sample_rate
    seconds = None if reader.frames is None else reader.frames / rate
    if extent.declared is not None and extent.found < extent.declared:
        missing = extent.declared - extent.found
        if seconds is None or extent.found == 0:
            cut = missing > 0.01 * extent.declared
        else:
            cut = missing / extent.found * seconds > TOLERANCE_S
        if cut and seconds is not None and extent.found:
            expected = seconds * extent.declared / extent.found
            raise AudioError(source, _truncated(expected * rate, seconds * rate, rate))
        if cut:
            reason = f"truncated: {extent.declared} bytes by its header, {extent.found} in the file"
            raise AudioError(source, f"{reason}; copy it again")
    if extent.follows and (extent.declared or seconds):
        if extent.declared and seconds is not None:
            more = extent.follows / extent.declared * seconds
            if more <= TOLERANCE_S:
                return
            reason = f"its header covers {seconds:.1f} s, but about {more:.1f} s more follow"
        else:
            reason = f"{extent.follows} bytes of sound follow after what its header covers"
        remedy = "write its header anew, for example with `ffmpeg -ignore_length 1 -i IN OUT.wav`"
        raise AudioError(source, f"{reason}; {remedy}")


def _truncated(expected: float, found: float, rate: float) -> str:
    return (
        f"truncated: {expected / rate:.1f} s by its header, {found / rate:.1f} s in the file; "
        "copy it again"
    )


def _too_much(name: str, most: str) -> str:
    return f"larger than {most}, the limit {name}: cut it, or raise the limit"


def _too_long(limits: SoundLimits) -> str:
    return (
        f"longer than {limits.max_seconds:g} s, the limit max_seconds: cut it, or raise the limit"
    )
