"""What an item sounds and looks like: a compressed copy of the recording, waveform, spectrogram, emotions."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from speech_emotion.audio import AudioError
from speech_emotion.reporting.calls import color_of, encode_playback
from speech_emotion.runtime import FetchError, write_bytes

__all__ = ["Media", "MissingAudio", "emotion_chart", "span_of"]

SOUNDS: Final = "sounds"
WIDTH: Final = 900
"""Columns of a waveform and of a spectrogram."""
MEL_BANDS: Final = 96
DYNAMIC_RANGE_DB: Final = 70.0
POINTS: Final = 20
"""Intervals of the waveform that encoding computes; it is not used here."""


class MissingAudio(Exception):
    """There is no sound of a call. The message says why and what to do."""


class Media:
    """Sounds and pictures of items, made when they are first asked for.

    Only recordings that the database of reviews names are read.

    Args:
        folder: Folder of the copies; deleting it loses nothing but time.
        channels: ``all`` channels of a recording are copied, or the ``scored`` one alone.

    Raises:
        MissingAudio: By every method, if a recording cannot be read and was not copied before.
    """

    def __init__(self, folder: Path, channels: str):
        self._folder = folder
        self._channels = channels
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def path_of(self, scored_call: str) -> Path:
        """Return where the copy of a recording is, or will be."""
        return self._folder / SOUNDS / f"{scored_call}.mp3"

    def problem(self, scored_call: str, recording: str) -> str:
        """Return why a call cannot be heard; empty if it probably can."""
        if "://" in recording or self.path_of(scored_call).is_file():
            return ""
        return "" if os.path.isfile(recording) else _moved(recording)

    def sound(self, scored_call: str, recording: str, channel: int) -> Path:
        """Return the copy of a recording."""
        path = self.path_of(scored_call)
        with self._guard:
            lock = self._locks.setdefault(scored_call, threading.Lock())
        with lock:
            if not path.is_file():
                kept = channel if self._channels == "scored" else None
                try:
                    content = encode_playback(recording, channel=kept, points=POINTS).sound
                except FileNotFoundError:
                    raise MissingAudio(_moved(recording)) from None
                except (AudioError, FetchError, OSError) as error:
                    if not os.path.isfile(recording) and "://" not in recording:
                        raise MissingAudio(_moved(recording)) from None
                    raise MissingAudio(f"The recording cannot be read: {error}") from error
                write_bytes(path, content)
        return path

    def samples(
        self, scored_call: str, recording: str, channel: int, start_s: float, end_s: float
    ) -> tuple[np.ndarray, int]:
        """Return samples of the scored channel between two times, and the sample rate."""
        with soundfile.SoundFile(self.sound(scored_call, recording, channel)) as file:
            rate = file.samplerate
            first = min(round(start_s * rate), file.frames)
            file.seek(first)
            block = file.read(max(round(end_s * rate) - first, 1), dtype="float32", always_2d=True)
        column = channel if channel < block.shape[1] else 0
        return block[:, column], rate


def _moved(recording: str) -> str:
    return (
        f"The recording is not at {recording} any more, so it cannot be played. Put it back; or, if the "
        "recordings were moved, score the folder where they are now (nothing is computed again) and let "
        "a lead read the scored calls"
    )


def waveform_svg(samples: np.ndarray) -> bytes:
    """Draw a waveform as SVG that fills its box, light or dark as the reader's screen."""
    edges = np.linspace(0, len(samples), min(WIDTH, max(len(samples), 1)) + 1).astype(int)
    low = np.minimum.reduceat(samples, edges[:-1]) if len(samples) else np.zeros(1)
    high = np.maximum.reduceat(samples, edges[:-1]) if len(samples) else np.zeros(1)
    scale = 49 / max(float(np.abs([low, high]).max()), 0.01)
    x = np.arange(len(low)) * WIDTH / len(low)
    upper = [f"{a:.0f} {50 - b * scale:.1f}" for a, b in zip(x, high, strict=True)]
    lower = [f"{a:.0f} {50.3 - b * scale:.1f}" for a, b in zip(x, low, strict=True)]
    path = f"M{'L'.join(upper)}L{'L'.join(lower[::-1])}Z"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 100" '
        'preserveAspectRatio="none"><style>path{fill:#44546a}'
        "@media(prefers-color-scheme:dark){path{fill:#9fb3c8}}</style>"
        f'<path d="{path}"/></svg>'
    ).encode()


def spectrogram_png(samples: np.ndarray, rate: int) -> bytes:
    """Draw a mel spectrogram as PNG: time to the right, frequency up to half the sample rate."""
    import librosa
    import matplotlib as mpl
    from PIL import Image

    size = 512 if rate <= 16000 else 1024
    padded = np.pad(samples, (0, max(size - len(samples), 0)))
    hop = max(len(padded) // WIDTH, size // 8)
    power = librosa.feature.melspectrogram(
        y=padded, sr=rate, n_fft=size, hop_length=hop, n_mels=MEL_BANDS
    )
    level = librosa.power_to_db(power, ref=np.max, top_db=DYNAMIC_RANGE_DB)
    shades = 1 + level / DYNAMIC_RANGE_DB
    pixels = mpl.colormaps["magma"](shades[::-1], bytes=True)[..., :3]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def span_of(start_s: float, end_s: float, seconds: float, context_s: float) -> tuple[float, float]:
    """Return the time that is shown of an item: with context, within the call.

    Example:
        >>> span_of(4.0, 9.0, 60.0, 10.0)
        (0.0, 19.0)
    """
    return max(start_s - context_s, 0.0), min(
        max(end_s + context_s, start_s + 1), max(seconds, end_s)
    )


def emotion_chart(
    timeline: dict[str, Any], labels: list[str], span: tuple[float, float], threshold: float
) -> dict[str, Any]:
    """Return the shapes of emotions and scores over time, in a box of 1000 by 100.

    Args:
        timeline: Content of :func:`speech_emotion.reporting.calls.call_details`.
        labels: Labels of the model.
        span: Start and end of the box, in seconds of the call.
        threshold: Threshold of the model.

    Returns:
        ``bars`` (x, y, width, height, color, label), ``unscored`` (x, width), ``scores`` (x, width, y),
        ``threshold`` (y), ``used`` (labels and colors that occur) and ``words``, the same in a sentence.
    """
    start, end = span
    scale = 1000 / max(end - start, 1e-6)
    bars, unscored, scores, shares = [], [], [], dict.fromkeys(labels, 0.0)
    for position, (low, high) in enumerate(zip(timeline["starts"], timeline["ends"], strict=True)):
        if high <= start or low >= end:
            continue
        left, right = (min(max(value, start), end) for value in (low, high))
        x, width = round((left - start) * scale, 1), round((right - left) * scale, 1)
        if timeline["scores"][position] is None:
            unscored.append((x, width))
            continue
        floor = 0.0
        for label, values in zip(labels, timeline["probabilities"], strict=True):
            share = min(values[position] or 0, 100 - floor)
            shares[label] += share * (right - left)
            if share:
                bars.append(
                    (x, round(100 - floor - share, 1), width, share, color_of(label), label)
                )
            floor += share
        scores.append((x, width, round(100 - timeline["scores"][position], 1)))
    total = sum(shares.values())
    ranked = sorted((label for label in labels if shares[label]), key=lambda name: -shares[name])
    words = ", ".join(f"{label} {shares[label] / total:.0%}" for label in ranked[:3])
    return {
        "bars": bars,
        "unscored": unscored,
        "scores": scores,
        "threshold": round(100 * (1 - threshold), 1),
        "used": [(label, color_of(label)) for label in labels if shares[label]],
        "words": words or "no window was scored",
    }
