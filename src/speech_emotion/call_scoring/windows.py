"""Cut speech into windows: pauses are removed, and lengths match utterances of the training corpora."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from speech_emotion.call_scoring.quality import bandwidth, tonality
from speech_emotion.call_scoring.settings import WindowSettings
from speech_emotion.call_scoring.voice_activity import FRAME_S, Frames

__all__ = ["SpeechWindows", "Window"]


@dataclass(frozen=True)
class Window:
    """Speech that is scored like one utterance.

    Attributes:
        start_s: Start of the first frame in the call.
        end_s: End of the last frame.
        speech_share: Share of this span that is speech.
        samples: Samples without longer pauses, shape ``(n_samples,)``.
        pieces: Speech that no earlier window contains, at the encoder's rate, in pieces of about
            ``step_s``; empty without an encoder.
        n_shared: Number of the pieces before these that the window contains, too.
        snr_db: Signal-to-noise ratio in dB.
        clipped: Share of samples at full scale.
        tonal: Share of steady tones.
        bandwidth_hz: Frequency below which nearly all of the power lies.
    """

    start_s: float
    end_s: float
    speech_share: float
    samples: np.ndarray
    pieces: tuple[np.ndarray, ...]
    n_shared: int
    snr_db: float
    clipped: float
    tonal: float
    bandwidth_hz: float


@dataclass(frozen=True)
class _Frame:
    """One frame of a window; fields as in :class:`Frames`, ``number`` counts from the call's start."""

    number: int
    samples: np.ndarray
    encoder_samples: np.ndarray | None
    speech: bool
    power: float
    noise: float
    clipped: float


class SpeechWindows:
    """Collect frames of speech and return each window as soon as it is full.

    A window contains ``speech_s`` of speech and starts ``step_s`` of speech after the previous one.
    After a pause of ``pause_s``, speech that no window contains yet becomes a window together with
    the frames before it, unless it is shorter than ``min_speech_s``.

    Args:
        settings: Lengths.
        sample_rate: Rate of the samples in Hz.
        frame_s: Exact length of a frame in seconds.
    """

    def __init__(self, settings: WindowSettings, sample_rate: int, *, frame_s: float = FRAME_S):
        self.sample_rate, self.frame_s = sample_rate, frame_s
        self._size = round(settings.speech_s / FRAME_S)
        self._step = round(settings.step_s / FRAME_S)
        self._min_size = round(settings.min_speech_s / FRAME_S)
        self._pause = round(settings.pause_s / FRAME_S)
        self._frames: deque[_Frame] = deque(maxlen=self._size)
        self._n_new = 0  # frames since the last window
        self._pieces: deque[int] = deque(maxlen=self._size)  # lengths in frames, of this stretch
        self._n_silent = 0  # frames since the last speech

    def push(
        self,
        frames: Frames,
        first: int,
        samples: list[np.ndarray],
        encoder_samples: list[np.ndarray] | None = None,
    ) -> Iterator[Window]:
        """Add frames, and yield the windows that they complete.

        Args:
            frames: Voice activity and levels.
            first: Number of the first frame in the call.
            samples: Samples of each frame, at ``sample_rate``.
            encoder_samples: Samples of each frame at the encoder's rate; ``None`` without an encoder.
        """
        for position in range(len(frames.kept)):
            if not frames.kept[position]:
                self._n_silent += 1
                if self._n_silent == self._pause:
                    yield from self.close()
                continue
            self._n_silent = 0
            self._frames.append(
                _Frame(
                    first + position,
                    samples[position],
                    encoder_samples[position] if encoder_samples is not None else None,
                    bool(frames.speech[position]),
                    float(frames.power[position]),
                    float(frames.noise[position]),
                    float(frames.clipped[position]),
                )
            )
            self._n_new += 1
            if self._n_new >= self._step and len(self._frames) == self._size:
                yield self._window()

    def close(self) -> Iterator[Window]:
        """End the current stretch of speech, and yield its last window."""
        if self._n_new >= self._min_size:
            yield self._window()
        self._frames.clear()
        self._pieces.clear()
        self._n_new = 0

    def _window(self) -> Window:
        pieces, n_shared = self._cut_pieces()
        self._n_new = 0
        speech = [frame for frame in self._frames if frame.speech] or list(self._frames)
        power = float(np.mean([frame.power for frame in speech]))
        noise = float(np.mean([frame.noise for frame in self._frames]))
        first, last = self._frames[0].number, self._frames[-1].number
        samples = np.concatenate([frame.samples for frame in self._frames])
        return Window(
            start_s=first * self.frame_s,
            end_s=(last + 1) * self.frame_s,
            speech_share=sum(frame.speech for frame in self._frames) / (last + 1 - first),
            samples=samples,
            pieces=pieces,
            n_shared=n_shared,
            snr_db=float(10 * np.log10(max(power - noise, 1e-12) / max(noise, 1e-12))),
            clipped=float(np.mean([frame.clipped for frame in self._frames])),
            tonal=tonality(samples, self.sample_rate),
            bandwidth_hz=bandwidth(samples, self.sample_rate),
        )

    def _cut_pieces(self) -> tuple[tuple[np.ndarray, ...], int]:
        """Cut the new frames into pieces of about a step, so that each is encoded only once."""
        new = [frame.encoder_samples for frame in list(self._frames)[-self._n_new :]]
        if new[0] is None:
            return (), 0
        parts = np.array_split(np.arange(len(new)), max(round(len(new) / self._step), 1))
        pieces = tuple(np.concatenate([new[position] for position in part]) for part in parts)
        n_shared, room = 0, len(self._frames) - len(new)
        for length in reversed(self._pieces):
            if length > room:
                break
            room -= length
            n_shared += 1
        self._pieces.extend(len(part) for part in parts)
        return pieces, n_shared
