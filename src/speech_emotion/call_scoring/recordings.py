"""Recordings of calls: find them, check them, read them block by block."""

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

RATES: Final = (8000, 192000)
BLOCK_S: Final = 10.0
STREAMED: Final = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""Sizes that a program writes into a WAV header when it does not know them yet."""
CHANGED: Final = "changed while it was read; score it again when it is complete"
WAV: Final = "WAV"
UNCOUNTED: Final = ("MP3", "MPEG")
"""Formats whose length is an estimate until all of it is decoded."""


def find_recordings(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """List the recordings below a folder, by the names of :data:`speech_emotion.audio.AUDIO_SUFFIXES`.

    Args:
        folder: Path of a folder, or URL in an object store (``s3://…``).

    Returns:
        In the order of their paths: ``call``, the path below the folder; ``path``; ``size`` in bytes
        and ``version``, the time of change or what the object store marks versions by.

    Raises:
        FileNotFoundError: If there is no such folder, or no recording in it.
    """
    if not is_url(folder) and not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder} is no folder: set --params recordings_dir=PATH")
    found = [
        (call, path, *state)
        for call, path, state in list_files(folder)
        if PurePosixPath(call).suffix.lower() in AUDIO_SUFFIXES
    ]
    if not found:
        suffixes = ", ".join(AUDIO_SUFFIXES)
        raise FileNotFoundError(
            f"{folder} holds no recording ({suffixes}): check --params recordings_dir=PATH"
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
        """Read float32 blocks ``(n_samples, n_channels)`` of ten seconds.

        Raises:
            AudioError: If the file breaks off, cannot be decoded, holds values that are no numbers,
                or changes while it is read.
        """
        count = 0
        try:
            for block in self._file.blocks(
                round(BLOCK_S * self.sample_rate), dtype="float32", always_2d=True
            ):
                if not np.isfinite(block).all():
                    raise AudioError(self.path, "holds samples that are no numbers; convert it")
                count += len(block)
                yield block
        except (soundfile.LibsndfileError, RuntimeError) as error:
            said = f"cannot be decoded after {count / self.sample_rate:.1f} s ({error})"
            raise AudioError(self.path, self._changed() or said) from error
        if changed := self._changed():
            raise AudioError(self.path, changed)
        promised = self._file.frames
        if self._file.format not in UNCOUNTED and count < promised:
            raise AudioError(self.path, _truncated(promised, count, self.sample_rate))
        if count == 0:
            raise AudioError(self.path, "holds no samples; replace it by an intact copy")

    def _changed(self) -> str:
        try:
            return "" if file_state(self.path) == self._state else CHANGED
        except FetchError:
            raise
        except OSError:
            return CHANGED


@contextmanager
def open_recording(path: str | os.PathLike[str]) -> Iterator[Recording]:
    """Open a recording of any length, on a disk or, by its URL, in an object store.

    Raises:
        AudioError: If it is missing, empty, unreadable, breaks off or has a rate that no telephone
            and no recorder has.
        FetchError: If the object store fails, at the end of the block at the latest.
    """
    with open_sound_file(path) as (file, content):
        state = file_state(path)
        if file.format == WAV:
            position = content.tell()
            _check_wav(path, content, state[0])
            content.seek(position)
        if not RATES[0] <= file.samplerate <= RATES[1]:
            said = f"its header says {file.samplerate} Hz; {RATES[0]} to {RATES[1]} can be"
            raise AudioError(path, f"{said}: correct the header")
        yield Recording(path, file.samplerate, file.channels, file, state)


def _truncated(promised: float, held: float, rate: float) -> str:
    return (
        f"breaks off: {promised / rate:.1f} s by its header, {held / rate:.1f} s in the file; "
        "copy it again"
    )


def _check_wav(path: str | os.PathLike[str], file: BinaryIO, size: int) -> None:
    """Compare a WAV header with the file: libsndfile reads on where they disagree."""
    file.seek(0)
    if file.read(12)[:4] != b"RIFF":
        return  # RF64 and RIFX hold their sizes elsewhere
    align = rate = 0
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        if name == b"fmt ":
            _, _, rate, per_second, align = struct.unpack("<HHIIH", file.read(14))
            if align and per_second != rate * align:
                said = f"its header says {rate} Hz and {per_second} bytes a second"
                raise AudioError(path, f"{said}, which cannot both be; correct the header")
            file.seek(length - 14, 1)
        elif name == b"data":
            held = size - file.tell()
            if length in STREAMED:
                length = held
            if held < length:
                raise AudioError(path, _truncated(length / align, held / align, rate))
            if length % align:
                said = f"its {length} bytes of sound are no whole number of samples a channel"
                raise AudioError(path, f"{said}: the channels have unequal lengths")
            return
        else:
            file.seek(length + length % 2, 1)
