"""Parts of long recordings, read without holding the rest in memory."""

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
"""Samples a channel that are held at once."""

PREROLL = 0.5
"""Seconds read before a stretch: an MP3 decoder needs some frames to come to itself."""


def read_excerpt(
    path: str | os.PathLike[str], start_s: float, end_s: float, *, channel: int | None = None
) -> tuple[np.ndarray, int]:
    """Decode a stretch of a recording; only the stretch is read.

    Args:
        path: Path or URL (``s3://…``) of the file.
        start_s: Where the stretch starts, in seconds; what lies before 0 is left out.
        end_s: Where it ends, in seconds; what lies behind the recording is left out.
        channel: The channel to read; all if ``None``.

    Returns:
        Samples, float32, shape ``(n_samples, n_channels)`` or, of one channel, ``(n_samples,)``,
        and the file's own rate in Hz.

    Raises:
        AudioError: If the file is missing, unreadable, has no such channel or nothing in the
            stretch.
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
            said = (
                f"has no sound between {start_s:.2f} s and {end_s:.2f} s, it lasts {length:.2f} s"
            )
            raise AudioError(path, f"{said}; score it anew if it was replaced")
        rate = file.samplerate
    return (samples if channel is None else samples[:, channel]), rate


def read_envelope(
    path: str | os.PathLike[str], *, channel: int = 0, points: int = 800
) -> pd.DataFrame:
    """Find the lowest and highest samples of equal stretches: what a drawn waveform shows.

    The file is read in blocks, so memory does not grow with its length.

    Args:
        path: Path or URL (``s3://…``) of the file.
        channel: The channel to read.
        points: Stretches at most.

    Returns:
        One row a stretch: ``start_s``, ``end_s``, ``low`` and ``high`` (full scale at ±1).

    Raises:
        AudioError: If the file is missing, unreadable, empty or has no such channel.
    """
    with _open(path, channel) as file:
        rate = file.samplerate
        wanted = max(-(-file.frames // points), 1)
        blocks_each = -(-wanted // BLOCK)
        size = -(-wanted // blocks_each)
        step = size * blocks_each  # so that no block lies in two stretches
        lows, highs, positions = [], [], []
        position = 0
        for block in file.blocks(blocksize=size, dtype="float32", always_2d=True):
            positions.append(position // step)
            lows.append(block[:, channel].min())
            highs.append(block[:, channel].max())
            position += len(block)
    if position == 0:
        raise AudioError(path, "holds no samples; replace it by an intact copy")
    blocks = pd.DataFrame({"stretch": positions, "low": lows, "high": highs})
    table = blocks.groupby("stretch").agg({"low": "min", "high": "max"})
    starts = table.index.to_numpy() * step
    table.insert(0, "start_s", starts / rate)
    table.insert(1, "end_s", np.minimum(starts + step, position) / rate)
    return table.reset_index(drop=True)


@contextmanager
def _open(path: str | os.PathLike[str], channel: int | None) -> Iterator[soundfile.SoundFile]:
    try:
        with open_sound_file(path) as (file, _):
            if channel is not None and not 0 <= channel < file.channels:
                said = f"has no channel {channel}: it has {file.channels}, counted from 0"
                raise AudioError(path, f"{said}; score it anew if it was replaced")
            yield file
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise AudioError(path, f"unreadable ({error}); replace it by an intact copy") from error
