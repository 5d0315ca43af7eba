"""Windows of speech: pauses closed up, each as long as the utterances that models are trained on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from speech_emotion.call_scoring.quality import tonality
from speech_emotion.call_scoring.settings import WindowSettings
from speech_emotion.call_scoring.voice_activity import FRAME_S, Frames

__all__ = ["SpeechWindows", "Window"]


@dataclass(frozen=True)
class Window:
    """Speech that is judged as one utterance.

    Attributes:
        start_s: Where its first frame begins in the call.
        end_s: Where its last frame ends.
        speech_share: Share of this span that is speech.
        samples: Its sound without longer pauses, shape ``(n_samples,)``.
        snr_db: Level of its speech over the noise.
        clipped: Share of samples at full scale.
        tonal: Share of steady tones.
    """

    start_s: float
    end_s: float
    speech_share: float
    samples: np.ndarray
    snr_db: float
    clipped: float
    tonal: float


@dataclass(frozen=True)
class _WindowPart:
    number: int
    samples: np.ndarray
    speech: bool
    power: float
    noise: float
    clipped: float


class SpeechWindows:
    """Collect frames of speech and give a window as soon as one is full.

    A window holds ``speech_s`` of speech and its closest surroundings and begins ``step_s`` of speech
    after the one before. After a pause of ``pause_s`` the speech that no window holds yet becomes one
    of its own, with what came before it, unless it is shorter than ``min_speech_s``.

    Args:
        settings: Lengths.
        sample_rate: Rate of the samples in Hz.
        frame_s: Exact length of a frame in seconds.
    """

    def __init__(self, settings: WindowSettings, sample_rate: int, *, frame_s: float = FRAME_S):
        self.sample_rate, self.frame_s = sample_rate, frame_s
        self._size = round(settings.speech_s / FRAME_S)
        self._step = round(settings.step_s / FRAME_S)
        self._shortest = round(settings.min_speech_s / FRAME_S)
        self._pause = round(settings.pause_s / FRAME_S)
        self._held: deque[_WindowPart] = deque(maxlen=self._size)
        self._fresh = 0
        self._silent = 0

    def push(self, frames: Frames, first: int, samples: list[np.ndarray]) -> Iterator[Window]:
        """Take further frames.

        Args:
            frames: What was found in them.
            first: Number of the first one in the call.
            samples: Samples of each, at the rate of the windows.
        """
        for position in range(len(frames.kept)):
            if not frames.kept[position]:
                self._silent += 1
                if self._silent == self._pause:
                    yield from self.close()
                continue
            self._silent = 0
            self._held.append(
                _WindowPart(
                    first + position,
                    samples[position],
                    bool(frames.speech[position]),
                    float(frames.power[position]),
                    float(frames.noise[position]),
                    float(frames.clipped[position]),
                )
            )
            self._fresh += 1
            if self._fresh >= self._step and len(self._held) == self._size:
                yield self._window()

    def close(self) -> Iterator[Window]:
        """End the stretch of speech: give what no window holds yet."""
        if self._fresh >= self._shortest:
            yield self._window()
        self._held.clear()
        self._fresh = 0

    def _window(self) -> Window:
        self._fresh = 0
        speech = [frame for frame in self._held if frame.speech] or list(self._held)
        power = float(np.mean([frame.power for frame in speech]))
        noise = float(np.mean([frame.noise for frame in self._held]))
        first, last = self._held[0].number, self._held[-1].number
        samples = np.concatenate([frame.samples for frame in self._held])
        return Window(
            start_s=first * self.frame_s,
            end_s=(last + 1) * self.frame_s,
            speech_share=sum(frame.speech for frame in self._held) / (last + 1 - first),
            samples=samples,
            snr_db=float(10 * np.log10(max(power - noise, 1e-12) / max(noise, 1e-12))),
            clipped=float(np.mean([frame.clipped for frame in self._held])),
            tonal=tonality(samples, self.sample_rate),
        )
