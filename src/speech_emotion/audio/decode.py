"""Decode sound files to float32 samples."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import soundfile
import soxr

from speech_emotion.audio.segments import Segment, split_segment
from speech_emotion.runtime import FetchError, is_url, open_binary

__all__ = [
    "AUDIO_SUFFIXES",
    "SILENCE",
    "AudioError",
    "check_rate",
    "load_audio",
    "open_sound_file",
    "read_samples",
]

AUDIO_SUFFIXES: Final = (".wav", ".flac", ".mp3", ".ogg", ".opus")
"""Suffixes of the files that are read as recordings, in lower case."""

SILENCE = 1e-4
"""Peak amplitude below which a recording is silent; 16-bit sound has steps of 3e-5."""

LFS_POINTER = b"version https://git-lfs"
MISSING = "no such file; check the path and that links lead somewhere"
EMPTY = "empty file (0 bytes); replace it by an intact copy"
POINTER = "a Git-LFS pointer, not the recording; run `git lfs pull`"


class AudioError(ValueError):
    """A recording cannot be used.

    Attributes:
        source: Path of the file, or a description of the samples.
        reason: The problem and its remedy.
    """

    def __init__(self, source: object, reason: str):
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason


def check_rate(sample_rate: float) -> None:
    """Check that a sample rate is positive and finite.

    Raises:
        ValueError: If it is not.
    """
    if not 0 < sample_rate < float("inf"):
        raise ValueError(f"The sample rate must be above 0 Hz, not {sample_rate}")


def load_audio(path: str | os.PathLike[str] | BinaryIO, sample_rate: int = 22050) -> np.ndarray:
    """Decode a sound file to mono; the format is detected from its content.

    Channels are averaged. The level is kept, because it carries emotion.

    Args:
        path: Path or URL (``s3://…``) of the file, or an open binary file.
        sample_rate: Rate to resample to, in Hz (soxr, high quality).

    Returns:
        Samples, shape ``(n_samples,)``, float32, full scale at ±1.

    Raises:
        AudioError: If the file is missing, empty, a Git-LFS pointer, unreadable, silent, or contains
            NaN or infinite samples.
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
    samples, native_rate = read_samples(path)
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


def read_samples(path: str | os.PathLike[str] | BinaryIO) -> tuple[np.ndarray, int]:
    """Decode a sound file, or a segment of it, without resampling or mixing.

    Args:
        path: Path or URL, which may end in a segment (``#t=START,END``), or an open binary file.

    Returns:
        Samples, shape ``(n_samples, n_channels)``, float32, and the sample rate in Hz.

    Raises:
        AudioError: If the file is missing, empty, a Git-LFS pointer, unreadable, or contains NaN or
            infinite samples.
    """
    if isinstance(path, str | os.PathLike):
        segment = split_segment(path)
        if segment.path != os.fspath(path):
            return _read_segment(path, segment)
    try:
        sound: str | os.PathLike[str] | BinaryIO = path
        if is_url(path):
            with _open_bytes(str(path)) as file:  # decoders seek, so fetch the whole file first
                sound = io.BytesIO(file.read())
        elif isinstance(path, str | os.PathLike):
            with _open_bytes(path):
                pass
        samples, rate = soundfile.read(sound, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise AudioError(path, f"unreadable ({error}); replace it by an intact copy") from error
    if len(samples) == 0:
        raise AudioError(path, "contains no samples; replace it by an intact copy")
    if not np.isfinite(samples).all():
        raise AudioError(path, "contains NaN or infinite samples; convert it")
    return samples, int(rate)


def _read_segment(path: str | os.PathLike[str], segment: Segment) -> tuple[np.ndarray, int]:
    samples, rate = read_samples(segment.path)
    try:
        return segment.cut(samples, rate), rate
    except ValueError as error:
        raise AudioError(path, str(error)) from error


@contextmanager
def open_sound_file(
    path: str | os.PathLike[str],
) -> Iterator[tuple[soundfile.SoundFile, BinaryIO]]:
    """Open a sound file to decode it block by block in constant memory.

    Args:
        path: Path, or URL (``s3://…``) whose blocks are fetched as they are needed.

    Yields:
        The decoder, and the file of its bytes. For a URL, both share one position.

    Raises:
        AudioError: If it is missing, empty, a Git-LFS pointer or unreadable.
        FetchError: If the object store fails; raised when the block is left at the latest, because
            the decoder mistakes the failure for the end of the file.
    """
    with ExitStack() as stack:
        try:
            content = stack.enter_context(_open_bytes(path))
            source = content if is_url(path) else path
            sound = stack.enter_context(soundfile.SoundFile(source))
        except FetchError:
            raise
        except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
            raise AudioError(path, f"unreadable ({error}); replace it by an intact copy") from error
        yield sound, content


@contextmanager
def _open_bytes(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file, and check before decoding that it can be a recording."""
    if not is_url(path) and not Path(path).is_file():
        raise AudioError(path, MISSING)
    with ExitStack() as stack:
        try:
            content = stack.enter_context(open_binary(path))
        except FileNotFoundError as error:
            raise AudioError(path, MISSING) from error
        head = content.read(len(LFS_POINTER))
        if not head:
            raise AudioError(path, EMPTY)
        if head == LFS_POINTER:
            raise AudioError(path, POINTER)
        content.seek(0)
        yield content
