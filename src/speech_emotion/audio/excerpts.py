"""Read excerpts and envelopes of long recordings in constant memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from speech_emotion.audio.decode import AudioError, Recording, open_recording
from speech_emotion.runtime import FetchError

__all__ = ["read_envelope", "read_excerpt"]


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
        >>> import soundfile
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/call.wav", np.zeros((80_000, 2)), 8000)
        ...     samples, rate = read_excerpt(f"{folder}/call.wav", 2.0, 3.5, channel=0)
        >>> samples.shape, rate
        ((12000,), 8000)
    """
    with _open(path, channel) as recording:
        rate = recording.sample_rate
        start, stop = max(round(start_s * rate), 0), round(end_s * rate)
        samples = recording.excerpt(start, stop)
    if len(samples) == 0:
        reason = f"has no sound between {start_s:.2f} s and {end_s:.2f} s"
        raise AudioError(path, f"{reason}; score it again if it was replaced")
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
    with _open(path, channel) as recording:
        rate = recording.sample_rate
        step, total, lows, highs = _extremes(
            (block[:, channel] for block in recording.blocks()), most=max(16 * points, 1024)
        )
    pieces = -(-len(lows) // points)
    first = np.arange(0, len(lows), pieces)
    starts = first * step
    return pd.DataFrame(
        {
            "start_s": starts / rate,
            "end_s": np.minimum(starts + pieces * step, total) / rate,
            "low": np.minimum.reduceat(lows, first),
            "high": np.maximum.reduceat(highs, first),
        }
    )


def _extremes(
    blocks: Iterable[np.ndarray], *, most: int
) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Return lowest and highest samples of equal pieces of a sound whose length is not known before.

    Returns:
        Samples in a piece, samples in all, lowest and highest sample of each piece; the last piece may
        be shorter. Pieces are joined in pairs while there are more than ``most``.
    """
    step, total = 1, 0
    rest = lows = highs = np.empty(0, dtype=np.float32)
    for block in blocks:
        total += len(block)
        samples = np.concatenate([rest, block])
        count = len(samples) // step
        count -= (len(lows) + count) % 2  # an even number can be joined
        whole, rest = samples[: count * step].reshape(count, step), samples[count * step :]
        lows = np.append(lows, whole.min(axis=1))
        highs = np.append(highs, whole.max(axis=1))
        while len(lows) > most and len(lows) % 2 == 0:
            lows = lows.reshape(-1, 2).min(axis=1)
            highs = highs.reshape(-1, 2).max(axis=1)
            step *= 2
    if len(rest):
        first = np.arange(0, len(rest), step)
        lows = np.append(lows, np.minimum.reduceat(rest, first))
        highs = np.append(highs, np.maximum.reduceat(rest, first))
    return step, total, lows, highs


@contextmanager
def _open(path: str | os.PathLike[str], channel: int | None) -> Iterator[Recording]:
    try:
        with open_recording(path) as recording:
            if channel is not None and not 0 <= channel < recording.channels:
                reason = f"has no channel {channel}: it has {recording.channels}, counted from 0"
                raise AudioError(path, f"{reason}; score it again if it was replaced")
            yield recording
    except FetchError as error:
        raise AudioError(path, str(error), transient=True) from error
