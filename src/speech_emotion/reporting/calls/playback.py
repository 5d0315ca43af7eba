"""Compressed copies of recordings, for the players of the page."""

from __future__ import annotations

import io
import json
import os
from typing import Any, Final, NamedTuple

import numpy as np
import soundfile
import soxr

from speech_emotion.audio import NO_LIMITS, AudioError, open_recording
from speech_emotion.runtime import FetchError, digest, file_state

__all__ = ["Playback", "encode_playback", "playback_files", "playback_name", "script_file"]

RATES_HZ: Final = {8000: 0.5, 11025: 0.6, 12000: 0.6, 16000: 0.8}
"""Sample rates that are kept, with the compression that gives about 32 kbit/s; others become 16 kHz."""
INTERVAL_S: Final = 0.02
VERSION: Final = "1"
"""Changes whenever the same recording gives other files."""


class Playback(NamedTuple):
    """A compressed recording, and the waveform to draw with it.

    Attributes:
        sound: The file: MP3 at a constant bit rate, so that seeking is exact.
        seconds: Duration.
        low: Lowest sample of equal intervals, shape ``(n_channels, n_intervals)``.
        high: Highest sample.
    """

    sound: bytes
    seconds: float
    low: np.ndarray
    high: np.ndarray


def encode_playback(
    path: str | os.PathLike[str], *, channel: int | None = None, points: int = 600
) -> Playback:
    """Compress a recording, and compute its waveform, in one pass.

    Args:
        path: Path or URL (``s3://…``) of the recording.
        channel: Channel to keep; ``None`` keeps two, and mixes more than two to one.
        points: Maximal number of intervals of the waveform.

    Raises:
        AudioError: If the file cannot be read, or has no such channel.
        FetchError: If the object store fails.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/call.wav", np.zeros((80_000, 2)), 8000)
        ...     playback = encode_playback(f"{folder}/call.wav", points=100)
        >>> playback.seconds, playback.low.shape, len(playback.sound) < 50_000
        (10.0, (2, 100), True)
    """
    lows, highs, n_samples, buffer = [], [], 0, io.BytesIO()
    with open_recording(path, limits=NO_LIMITS) as recording:
        rate = recording.sample_rate
        if channel is not None and not 0 <= channel < recording.channels:
            reason = f"has no channel {channel}: it has {recording.channels}, counted from 0"
            raise AudioError(path, reason)
        n_channels = 1 if channel is not None or recording.channels > 2 else recording.channels
        kept_rate = rate if rate in RATES_HZ else 16000
        resampler = soxr.ResampleStream(rate, kept_rate, n_channels, dtype="float32")
        with soundfile.SoundFile(
            buffer,
            "w",
            kept_rate,
            n_channels,
            format="MP3",
            subtype="MPEG_LAYER_III",
            compression_level=RATES_HZ[kept_rate],
            bitrate_mode="CONSTANT",
        ) as file:
            for block in recording.blocks():
                kept = block if channel is None else block[:, [channel]]
                n_intervals = max(round(len(kept) / rate / INTERVAL_S), 1)
                starts = np.arange(n_intervals) * len(kept) // n_intervals
                lows.append(np.minimum.reduceat(kept, starts))
                highs.append(np.maximum.reduceat(kept, starts))
                n_samples += len(kept)
                played = kept.mean(axis=1, keepdims=True) if kept.shape[1] > 2 else kept
                if kept_rate != rate:
                    played = resampler.resample_chunk(np.ascontiguousarray(played))
                file.write(np.clip(played, -1, 1))
            if kept_rate != rate:
                rest = np.empty((0, n_channels), dtype=np.float32)
                file.write(np.clip(resampler.resample_chunk(rest, last=True), -1, 1))
    low = _pool(np.concatenate(lows), points, np.minimum)
    high = _pool(np.concatenate(highs), points, np.maximum)
    return Playback(buffer.getvalue(), n_samples / rate, low.T, high.T)


def _pool(values: np.ndarray, points: int, function: np.ufunc) -> np.ndarray:
    """Join intervals to at most ``points``, nearly equally long."""
    n_intervals = min(points, len(values))
    return function.reduceat(values, np.arange(n_intervals) * len(values) // n_intervals)


def playback_name(path: str, channel: int | None, points: int) -> str:
    """Return the name of a recording's files; it changes when the recording changes.

    Raises:
        OSError: If there is no such recording, or the object store fails.
    """
    key = digest(VERSION, str(path), *file_state(path), str(channel), points)[:16]
    return f"sounds/{key[:2]}/{key}"


def playback_files(
    name: str, path: str, channel: int | None, points: int
) -> tuple[dict[str, bytes], str]:
    """Return the two files of a recording, the sound and its waveform, or why there are none.

    Args:
        name: From :func:`playback_name`.
        path: Path or URL of the recording.
        channel: Channel to keep; ``None`` for all.
        points: Maximal number of intervals of the waveform.
    """
    try:
        playback = encode_playback(path, channel=channel, points=points)
    except AudioError as error:
        return {}, error.reason
    except FetchError as error:
        return {}, str(error)
    waveform = {
        "seconds": round(playback.seconds, 2),
        "low": np.round(100 * playback.low).astype(int).tolist(),
        "high": np.round(100 * playback.high).astype(int).tolist(),
    }
    # The sound last: a recording counts as encoded only if both files are there.
    return {f"{name}.js": script_file(name, waveform), f"{name}.mp3": playback.sound}, ""


def script_file(name: str, content: dict[str, Any]) -> bytes:
    """Return a script that hands data to the page.

    A page that was opened from a disk may load scripts, but no JSON files.
    """
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"speechEmotion({json.dumps(name)},{text})\n".encode("utf-8", "backslashreplace")
