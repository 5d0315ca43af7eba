"""Play a recording to the online scorer, in real time or faster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from speech_emotion.audio import AudioError, open_recording
from speech_emotion.call_scoring.settings import CallSettings
from speech_emotion.call_scoring.stream import ChannelStream, ScoredWindow
from speech_emotion.models import EmotionPredictor

__all__ = ["format_window", "play"]

BLOCK_S: Final = 0.1
"""Seconds of audio that are pushed at once."""


def play(
    recording: str,
    predictor: EmotionPredictor,
    settings: CallSettings,
    *,
    channel: int = 0,
    speed: float = 1.0,
) -> Iterator[ScoredWindow]:
    """Push one channel of a recording to the online scorer, and yield each window when it is scored.

    Args:
        recording: Path or URL.
        predictor: The model.
        settings: Windows, quality checks and flags.
        channel: Number of the channel, from 0.
        speed: Speed relative to real time; 0 does not wait.

    Raises:
        AudioError: If the recording cannot be read or has no such channel.
    """
    with open_recording(recording, limits=settings.limits) as source:
        if not 0 <= channel < source.channels:
            reason = f"has {source.channels} channels, numbered from 0: no {channel}"
            raise AudioError(recording, reason)
        stream = ChannelStream(predictor, source.sample_rate, settings)
        size = round(BLOCK_S * source.sample_rate)
        start, n_samples = time.monotonic(), 0
        for block in source.blocks():
            for samples in np.split(block[:, channel], range(size, len(block), size)):
                n_samples += len(samples)
                if speed:
                    due = start + n_samples / source.sample_rate / speed
                    time.sleep(max(due - time.monotonic(), 0))
                yield from stream.push(samples)
        yield from stream.close()


def format_window(window: ScoredWindow) -> str:
    """Format a scored window as one line of text."""
    span = f"{window.start_s:8.1f} - {window.end_s:6.1f} s"
    if window.out_of_domain:
        return f"{span}  not scored: {window.out_of_domain}"
    emotion = f"{window.emotion:10} {window.confidence:4.0%}  score {window.score:.2f}"
    return f"{span}  {emotion}{'  FLAG' if window.flagged else ''}"
