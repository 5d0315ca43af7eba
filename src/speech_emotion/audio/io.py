"""Decode sound files into one-channel float32 samples."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

__all__ = ["SILENCE", "AudioError", "check_file", "check_rate", "load_audio", "read_samples"]

SILENCE = 1e-4
"""Peak amplitude below which a recording is silent: 16-bit sound has steps of 3e-5."""

LFS_POINTER = b"version https://git-lfs"
URL = "://"
MISSING = "no such file; check the path and that links lead somewhere"
EMPTY = "empty file (0 bytes); replace it by an intact copy"
POINTER = "a Git-LFS pointer, not the recording; run `git lfs pull`"


class AudioError(ValueError):
    """A sound cannot be used.

    Attributes:
        source: Path of the file, or what the samples are.
        reason: What is wrong and what helps.
    """

    def __init__(self, source: object, reason: str):
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason


def check_rate(sample_rate: float) -> None:
    """Refuse a rate in Hz that is not positive and finite.

    Raises:
        ValueError: With the rate.
    """
    if not 0 < sample_rate < float("inf"):
        raise ValueError(f"The sample rate must be above 0 Hz, not {sample_rate}")


def load_audio(path: str | os.PathLike[str] | BinaryIO, sample_rate: int = 22050) -> np.ndarray:
    """Decode a sound file, whatever its suffix says it is.

    Channels are averaged. Loudness is kept: it carries emotion.

    Args:
        path: Path or URL (``s3://…``) of the file, or an open binary file.
        sample_rate: Rate to resample to, in Hz (soxr, high quality).

    Returns:
        Samples, shape ``(n_samples,)``, float32, full scale at ±1.

    Raises:
        AudioError: If the file is missing, empty, a Git-LFS pointer, unreadable, silent, or holds
            samples that are not numbers.
        ValueError: If ``sample_rate`` is not positive and finite.
    """
    check_rate(sample_rate)
    samples, native_rate = read_samples(path)
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if (peak := float(np.abs(mono).max())) < SILENCE:
        said = f"silent: the peak amplitude of its averaged channels is {peak:.1g}; replace it"
        raise AudioError(path, said)
    if native_rate == sample_rate:
        return np.ascontiguousarray(mono)
    resampled = soxr.resample(mono, native_rate, sample_rate, quality="HQ")
    if len(resampled) == 0:
        raise AudioError(path, f"too short: {len(mono)} samples at {native_rate} Hz")
    return resampled


def read_samples(path: str | os.PathLike[str] | BinaryIO) -> tuple[np.ndarray, int]:
    """Decode a sound file as it is: samples ``(n_samples, n_channels)`` float32, and the rate.

    Raises:
        AudioError: If the file is missing, empty, a Git-LFS pointer, unreadable, or holds samples
            that are not numbers.
    """
    try:
        sound: str | os.PathLike[str] | BinaryIO = path
        if isinstance(path, str) and URL in path:
            sound = _fetched(path)
        elif isinstance(path, str | os.PathLike):
            check_file(path)
        samples, rate = soundfile.read(sound, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise AudioError(path, f"unreadable ({error}); replace it by an intact copy") from error
    if len(samples) == 0:
        raise AudioError(path, "holds no samples; replace it by an intact copy")
    if not np.isfinite(samples).all():
        raise AudioError(path, "holds samples that are no numbers (NaN or infinite); convert it")
    return samples, int(rate)


def _fetched(url: str) -> BinaryIO:
    """Get a file of an object store, whole: formats are read back and forth."""
    import fsspec

    try:
        with fsspec.open(url, "rb") as file:
            content = file.read()
    except FileNotFoundError as error:
        raise AudioError(url, MISSING) from error
    if not content:
        raise AudioError(url, EMPTY)
    if content.startswith(LFS_POINTER):
        raise AudioError(url, POINTER)
    return io.BytesIO(content)


def check_file(path: str | os.PathLike[str]) -> None:
    """Refuse a file that cannot be a recording, before anything decodes it.

    Raises:
        AudioError: If the file is missing, empty or a Git-LFS pointer.
        OSError: If it may not be read.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(path, MISSING)
    if path.stat().st_size == 0:
        raise AudioError(path, EMPTY)
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise AudioError(path, POINTER)
