"""Find recordings of calls, check them, and read them block by block."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

import numpy as np
import pandas as pd
import soundfile

from speech_emotion.audio import AUDIO_SUFFIXES, AudioError, open_sound_file
from speech_emotion.runtime import FetchError, FileState, file_state, is_url, list_files

__all__ = ["Recording", "find_recordings", "open_recording"]

RATES_HZ: Final = (8000, 192000)
BLOCK_S: Final = 10.0
STREAMED: Final = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""Sizes in the WAV header of a stream, whose length is unknown when the header is written."""
CHANGED: Final = "changed while being read; score it again when it is complete"
WAV: Final = "WAV"
ESTIMATED_LENGTH: Final = ("MP3", "MPEG")
"""Formats whose length is an estimate until the whole file is decoded."""


def find_recordings(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """List the recordings below a folder, at any depth, by :data:`speech_emotion.audio.AUDIO_SUFFIXES`.

    Args:
        folder: Path of a folder, or URL in an object store (``s3://…``).

    Returns:
        Sorted by path: ``call``, the path below the folder; ``path``; ``size`` in bytes; and
        ``version``, an ETag or the time of the last change.

    Raises:
        FileNotFoundError: If the folder is missing or contains no recording.
    """
    if not is_url(folder) and not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: set --params recordings_dir=PATH")
    found = [
        (call, path, *state)
        for call, path, state in list_files(folder)
        if PurePosixPath(call).suffix.lower() in AUDIO_SUFFIXES
    ]
    if not found:
        suffixes = ", ".join(AUDIO_SUFFIXES)
        raise FileNotFoundError(
            f"{folder} contains no recording ({suffixes}): check --params recordings_dir=PATH"
        )
    table = pd.DataFrame(found, columns=["call", "path", "size", "version"])
    return table.sort_values("path", ignore_index=True)


@dataclass(frozen=True)
class Recording:
    """An open recording.

    Attributes:
        path: Its path or URL.
        sample_rate: Rate in Hz.
        channels: Number of channels.
    """

    path: str | os.PathLike[str]
    sample_rate: int
    channels: int
    _file: soundfile.SoundFile
    _state: FileState

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield float32 blocks of ten seconds, shape ``(n_samples, n_channels)``.

        Raises:
            AudioError: If the file is truncated, cannot be decoded, contains NaN or infinite samples,
                or changes while being read.
        """
        count = 0
        try:
            for block in self._file.blocks(
                round(BLOCK_S * self.sample_rate), dtype="float32", always_2d=True
            ):
                if not np.isfinite(block).all():
                    raise AudioError(self.path, "contains NaN or infinite samples; convert it")
                count += len(block)
                yield block
        except (soundfile.LibsndfileError, RuntimeError) as error:
            reason = f"cannot be decoded after {count / self.sample_rate:.1f} s ({error})"
            raise AudioError(self.path, self._changed() or reason) from error
        if changed := self._changed():
            raise AudioError(self.path, changed)
        expected = self._file.frames
        if self._file.format not in ESTIMATED_LENGTH and count < expected:
            raise AudioError(self.path, _truncated(expected, count, self.sample_rate))
        if count == 0:
            raise AudioError(self.path, "contains no samples; replace it by an intact copy")

    def _changed(self) -> str:
        try:
            return "" if file_state(self.path) == self._state else CHANGED
        except FetchError:
            raise
        except OSError:
            return CHANGED


@contextmanager
def open_recording(path: str | os.PathLike[str]) -> Iterator[Recording]:
    """Open a recording of any length, on disk or in an object store.

    Raises:
        AudioError: If it is missing, empty, unreadable, truncated or has an implausible sample rate.
        FetchError: If the object store fails; raised when the block is left at the latest.
    """
    with open_sound_file(path) as (file, content):
        state = file_state(path)
        if file.format == WAV:
            position = content.tell()
            _check_wav(path, content, state[0])
            content.seek(position)
        if not RATES_HZ[0] <= file.samplerate <= RATES_HZ[1]:
            reason = (
                f"sample rate {file.samplerate} Hz is not from {RATES_HZ[0]} to {RATES_HZ[1]} Hz"
            )
            raise AudioError(path, f"{reason}: correct the header")
        yield Recording(path, file.samplerate, file.channels, file, state)


def _truncated(expected: float, found: float, rate: float) -> str:
    return (
        f"truncated: {expected / rate:.1f} s by its header, {found / rate:.1f} s in the file; "
        "copy it again"
    )


def _check_wav(path: str | os.PathLike[str], file: BinaryIO, size: int) -> None:
    """Compare a WAV header with the file, which libsndfile does not do."""
    file.seek(0)
    if file.read(12)[:4] != b"RIFF":
        return  # RF64 and RIFX store their sizes elsewhere
    align = rate = 0
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        if name == b"fmt ":
            _, _, rate, per_second, align = struct.unpack("<HHIIH", file.read(14))
            if align and per_second != rate * align:
                reason = f"inconsistent header: {rate} Hz but {per_second} bytes per second"
                raise AudioError(path, f"{reason}; correct the header")
            file.seek(length - 14, 1)
        elif name == b"data":
            found = size - file.tell()
            if length in STREAMED:
                length = found
            if found < length:
                raise AudioError(path, _truncated(length / align, found / align, rate))
            if length % align:
                reason = f"{length} bytes of sound are not a whole number of samples per channel"
                raise AudioError(path, f"{reason}: the channels have unequal lengths")
            return
        else:
            file.seek(length + length % 2, 1)
