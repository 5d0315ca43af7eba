"""Synthetic calls to try the product with: two voices take turns, and some customers get angry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from speech_emotion.corpora import Speaker, speak

__all__ = ["write_dialogue", "write_sample_calls"]

SENTENCES = (3, 3)
"""Sentences of a turn, of the customer and of the agent."""
SAMPLE_SENTENCES = (1, 2)
"""The same in sample calls: the pauses of the customer are so long that each window has one sentence, like
the utterances that the model of the sample corpus was trained on. It takes longer speech for disgust."""
SAMPLE_RATE = 16_000
"""Rate of sample calls in Hz; at 8 kHz the same model takes most speech for anger."""


def write_sample_calls(folder: Path, *, calls: int = 12, seconds: int = 60) -> list[Path]:
    """Write synthetic calls; every second customer gets angry in the middle.

    They suit the model of the sample corpus, which is trained on single synthetic sentences.

    Args:
        folder: Folder of the recordings; it need not exist.
        calls: Number of calls.
        seconds: Length of each.
    """
    found = []
    for number in range(calls):
        angry = [(seconds * 0.4, seconds * 0.75)] if number % 2 else []
        path = folder / f"call_{number + 1:02d}.wav"
        found.append(
            write_dialogue(
                path, angry, seconds=seconds, rate=SAMPLE_RATE, sentences=SAMPLE_SENTENCES
            )
        )
    return found


def write_dialogue(
    path: Path,
    angry: Sequence[tuple[float, float]],
    *,
    seconds: int = 60,
    rate: int = 8000,
    sentences: tuple[int, int] = SENTENCES,
) -> Path:
    """Write a call of two synthetic voices that take turns; the customer is on the left channel.

    Args:
        path: File to write; its name seeds the voices.
        angry: Start and end of the times at which the customer is angry, in seconds.
        seconds: Length.
        rate: Sample rate in Hz.
        sentences: Sentences of a turn of the customer, and of the agent.
    """
    sound = np.zeros((seconds * rate, 2), dtype=np.float32)
    sound += np.random.default_rng(0).normal(0, 1e-3, sound.shape)
    position, turn = rate, 0
    while position < (seconds - 4) * rate:
        channel = turn % 2
        at = position / rate
        emotion = "angry" if not channel and any(a <= at < b for a, b in angry) else "neutral"
        speaker = Speaker(f"{path.name} {channel}", "male" if channel else "female")
        for sentence in range(sentences[channel]):
            spoken = speak(speaker, emotion, f"{turn} {sentence}", path.name, rate)
            spoken = spoken[: len(sound) - position]
            sound[position : position + len(spoken), channel] += spoken
            position += len(spoken)
        turn += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate)
    return path
