"""Read excerpts and envelopes of long recordings in constant memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import soundfile

from speech_emotion.audio.decode import AudioError, open_sound_file

__all__ = ["read_envelope", "read_excerpt"]

BLOCK = 1 << 18
"""Samples per channel that are in memory at once."""

PREROLL = 0.5
"""Seconds decoded before an excerpt, because MP3 decoders need some frames to synchronize."""


def read_excerpt(
    path: str | os.PathLike[str], start_s: float, end_s: float, *, channel: int | None = None
) -> tuple[np.ndarray, int]:
    """Decode an excerpt of a recording; only the excerpt is read.

    Args:
        path: Path or URL (``s3://…``) of the file.
        start_s: Start in seconds; clipped to the recording.
        end_s: End in seconds; clipped to the recording.
        channel: Channel to read; ``None`` for all.

    Returns:
        Samples, float32, shape ``(n_samples, n_channels)``, or ``(n_samples,)`` for one channel;
        and the sample rate of the file in Hz.

    Raises:
        AudioError: If the file is missing or unreadable, has no such channel, or the excerpt is empty.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/call.wav", np.zeros((80_000, 2)), 8000)
        ...     samples, rate = read_excerpt(f"{folder}/call.wav", 2.0, 3.5, channel=0)
        >>> samples.shape, rate
        ((12000,), 8000)
    """
    with _open(path, channel) as file:
        start = min(max(round(start_s * file.samplerate), 0), file.frames)
        stop = min(round(end_s * file.samplerate), file.frames)
        before = min(start, round(PREROLL * file.samplerate))
        file.seek(start - before)
        wanted = max(stop - start + before, 0)
        samples = file.read(wanted, dtype="float32", always_2d=True)[before:]
        if len(samples) == 0:
            length = file.frames / file.samplerate
            reason = (
                f"has no sound between {start_s:.2f} s and {end_s:.2f} s, it lasts {length:.2f} s"
            )
            raise AudioError(path, f"{reason}; score it again if it was replaced")
        rate = file.samplerate
    return (samples if channel is None else samples[:, channel]), rate


def read_envelope(
    path: str | os.PathLike[str], *, channel: int = 0, points: int = 800
) -> pd.DataFrame:
    """Compute the lowest and highest sample of equal intervals, to draw a waveform.

    The file is read in blocks, so memory does not grow with its length.

    Args:
        path: Path or URL (``s3://…``) of the file.
        channel: Channel to read.
        points: Largest number of intervals.

    Returns:
        One row per interval: ``start_s``, ``end_s``, ``low`` and ``high`` (full scale at ±1).

    Raises:
        AudioError: If the file is missing, unreadable, empty or has no such channel.
    """
    with _open(path, channel) as file:
        rate = file.samplerate
        wanted = max(-(-file.frames // points), 1)
        blocks_each = -(-wanted // BLOCK)
        size = -(-wanted // blocks_each)
        step = size * blocks_each  # so that no block belongs to two intervals
        lows, highs, positions = [], [], []
        position = 0
        for block in file.blocks(blocksize=size, dtype="float32", always_2d=True):
            positions.append(position // step)
            lows.append(block[:, channel].min())
            highs.append(block[:, channel].max())
            position += len(block)
    if position == 0:
        raise AudioError(path, "contains no samples; replace it by an intact copy")
    blocks = pd.DataFrame({"interval": positions, "low": lows, "high": highs})
    table = blocks.groupby("interval").agg({"low": "min", "high": "max"})
    starts = table.index.to_numpy() * step
    table.insert(0, "start_s", starts / rate)
    table.insert(1, "end_s", np.minimum(starts + step, position) / rate)
    return table.reset_index(drop=True)


@contextmanager
def _open(path: str | os.PathLike[str], channel: int | None) -> Iterator[soundfile.SoundFile]:
    try:
        with open_sound_file(path) as (file, _):
            if channel is not None and not 0 <= channel < file.channels:
                reason = f"has no channel {channel}: it has {file.channels}, counted from 0"
                raise AudioError(path, f"{reason}; score it again if it was replaced")
            yield file
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise AudioError(path, f"unreadable ({error}); replace it by an intact copy") from error
