"""Voice activity detection: level in the speech band relative to an adaptive noise floor.

The noise floor is the minimum of the smoothed level over the last seconds, after R. Martin, *Noise power
spectral density estimation based on optimal smoothing and minimum statistics*, IEEE TSAP 9, 2001: pauses
in speech reach it regularly. Sound that is much quieter than the loudest one of the channel is its
background: breath, a room, an echo of the other party. Decisions look half a second ahead and depend only
on the samples, not on how they are cut into blocks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import scipy.fft
import scipy.ndimage

__all__ = [
    "BLOCK",
    "FRAME_S",
    "BlockBuffer",
    "Frames",
    "VoiceActivityDetector",
    "frame_seconds",
]

FRAME_S: Final = 0.02
BLOCK: Final = 50
"""Frames per block. All blocks have the same size, so that sums are reproducible to the last digit."""
SPEECH_BAND_HZ: Final = (250.0, 3400.0)
SMOOTHING: Final = 5
"""Frames over which levels are averaged."""
FLOOR_FRAMES: Final = 400
"""Frames over which the noise floor is the minimum."""
LOOKAHEAD: Final = 25
"""Frames of the noise floor that lie after the current one."""
ON_DB: Final = 6.0
OFF_DB: Final = 4.0
"""Levels above the noise floor at which speech starts and ends."""
MIN_LEVEL_DB: Final = -65.0
"""Level in the speech band, relative to full scale, below which nothing is speech."""
RANGE_DB: Final = 45.0
"""Levels so far below the loudest sound of the channel are its background, not speech."""
FORGET_DB: Final = 0.004
"""Decay of the loudest level per frame: 12 dB a minute."""
FLOOR_BIAS_DB: Final = 1.5
"""Difference between the mean level of noise and its minimum."""
BEFORE: Final = 5
AFTER: Final = 15
"""Frames that are kept before and after speech."""
FULL_SCALE: Final = 0.99


class Frames(NamedTuple):
    """Consecutive frames; each array has shape ``(n_frames,)``.

    Attributes:
        speech: Whether the frame is speech.
        kept: Whether the frame is speech or close to speech.
        power: Power in the speech band.
        noise: Power of the noise floor in the speech band.
        clipped: Share of samples at full scale.
    """

    speech: np.ndarray
    kept: np.ndarray
    power: np.ndarray
    noise: np.ndarray
    clipped: np.ndarray


def frame_seconds(sample_rate: int) -> float:
    """Return the exact length of a frame: the whole number of samples closest to 20 ms, in seconds."""
    return _frame_length(sample_rate) / sample_rate


def _frame_length(sample_rate: int) -> int:
    return round(FRAME_S * sample_rate)


@lru_cache(maxsize=16)
def _window_and_band(sample_rate: int) -> tuple[np.ndarray, slice, float]:
    """Return the Hann window, the bins of the speech band, and the scale from their sum to power."""
    length = _frame_length(sample_rate)
    window = np.hanning(length).astype(np.float32)
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate)
    first, last = np.searchsorted(frequencies, SPEECH_BAND_HZ)
    return window, slice(int(first), int(last)), float(2 / (length * (window**2).sum()))


class BlockBuffer:
    """Regroup samples of any number into blocks of :data:`BLOCK` frames.

    Args:
        sample_rate: Rate in Hz.

    Example:
        >>> import numpy as np
        >>> buffer = BlockBuffer(8000)
        >>> [len(block) for block in buffer.push(np.zeros(20_000))], len(buffer.flush())
        ([8000, 8000], 4000)
    """

    def __init__(self, sample_rate: int):
        self._size = BLOCK * _frame_length(sample_rate)
        self._pending: list[np.ndarray] = []
        self._n_pending = 0

    def push(self, samples: np.ndarray) -> list[np.ndarray]:
        """Add samples, shape ``(n_samples,)``; return the blocks that are complete."""
        self._pending.append(np.array(samples, dtype=np.float32))
        self._n_pending += len(samples)
        if self._n_pending < self._size:
            return []
        pending = np.concatenate(self._pending)
        whole = len(pending) // self._size * self._size
        self._pending, self._n_pending = [pending[whole:]], len(pending) - whole
        return [pending[start : start + self._size] for start in range(0, whole, self._size)]

    def flush(self) -> np.ndarray:
        """Return the samples of the last, incomplete block."""
        rest = np.concatenate([np.empty(0, dtype=np.float32), *self._pending])
        self._pending, self._n_pending = [], 0
        return rest


class VoiceActivityDetector:
    """Detect speech in one channel, block by block.

    A call of :meth:`push` returns the frames that no later sample can change; they lag behind by half a
    second.

    Args:
        sample_rate: Rate in Hz.

    Example:
        >>> import numpy as np
        >>> detector = VoiceActivityDetector(8000)
        >>> noise = np.random.default_rng(0).normal(0, 0.001, 8000).astype("float32")
        >>> frames = [detector.push(noise), detector.push(100 * noise), detector.close()]
        >>> np.concatenate([block.speech for block in frames]).mean()
        np.float64(0.5)
    """

    def __init__(self, sample_rate: int):
        self.sample_rate = sample_rate
        empty = np.empty(0)
        # Frames without a decision, and those decided but still without `kept`.
        self._power, self._clipped = empty, empty
        self._speech, self._noise = np.empty(0, dtype=bool), empty
        # Smoothed levels of undecided frames, and earlier ones that the noise floor still needs.
        self._smoothed, self._history = empty, empty
        self._last_power = empty  # for smoothing across blocks
        self._in_speech = False
        self._loudest = -np.inf
        self._since_speech = AFTER + 1  # frames

    def push(self, samples: np.ndarray) -> Frames:
        """Add one block of :data:`BLOCK` frames; return the frames that are final."""
        length = _frame_length(self.sample_rate)
        frames = samples[: len(samples) // length * length].reshape(-1, length)
        if len(frames):
            window, band, scale = _window_and_band(self.sample_rate)
            spectrum = scipy.fft.rfft(frames * window, axis=1)[:, band]
            power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1, dtype=np.float64) * scale
            clipped = (np.abs(frames) >= FULL_SCALE).mean(axis=1)
            self._power = np.append(self._power, power)
            self._clipped = np.append(self._clipped, clipped)
            self._smooth(power)
        return self._finish(LOOKAHEAD, BEFORE)

    def close(self) -> Frames:
        """End the channel; return the last frames."""
        return self._finish(0, 0)

    def _smooth(self, power: np.ndarray) -> None:
        padded = np.append(self._last_power, power)
        if not len(self._last_power):
            padded = np.append(np.full(SMOOTHING - 1, power[0]), power)
        means = np.convolve(padded, np.full(SMOOTHING, 1 / SMOOTHING), "valid")
        self._last_power = padded[-(SMOOTHING - 1) :]
        self._smoothed = np.append(self._smoothed, 10 * np.log10(np.maximum(means, 1e-12)))

    def _finish(self, lookahead: int, before: int) -> Frames:
        """Return the frames that neither ``lookahead`` nor ``before`` later frames can change."""
        self._decide(max(len(self._smoothed) - lookahead, 0), lookahead)
        count = max(len(self._speech) - before, 0)
        kept = np.empty(count, dtype=bool)
        for frame, is_speech in enumerate(self._speech[:count].tolist()):
            self._since_speech = 0 if is_speech else self._since_speech + 1
            kept[frame] = self._since_speech <= AFTER
        if count:
            upcoming = np.convolve(self._speech[::-1], np.ones(BEFORE + 1))[::-1][BEFORE:]
            kept |= upcoming[:count] > 0
        frames = Frames(
            self._speech[:count],
            kept,
            self._power[:count],
            self._noise[:count],
            self._clipped[:count],
        )
        self._speech, self._noise = self._speech[count:], self._noise[count:]
        self._power, self._clipped = self._power[count:], self._clipped[count:]
        return frames

    def _decide(self, count: int, lookahead: int) -> None:
        """Compute the noise floor of the next ``count`` frames, and decide which are speech."""
        if not count:
            return
        past = FLOOR_FRAMES - 1 - LOOKAHEAD
        levels = np.concatenate(
            [
                np.full(past - len(self._history), np.inf),
                self._history,
                self._smoothed,
                np.full(LOOKAHEAD - lookahead, np.inf),
            ]
        )
        minimum = scipy.ndimage.minimum_filter1d(levels, FLOOR_FRAMES)
        floor = minimum[FLOOR_FRAMES // 2 : FLOOR_FRAMES // 2 + count]
        above = self._smoothed[:count] - floor - FLOOR_BIAS_DB
        above[self._smoothed[:count] <= MIN_LEVEL_DB] = -np.inf
        speech = np.empty(count, dtype=bool)
        pairs = zip(self._smoothed[:count].tolist(), above.tolist(), strict=True)
        for frame, (level, over_floor) in enumerate(pairs):
            self._loudest = max(level, self._loudest - FORGET_DB)
            in_range = level > self._loudest - RANGE_DB
            self._in_speech = in_range and over_floor > (OFF_DB if self._in_speech else ON_DB)
            speech[frame] = self._in_speech
        self._speech = np.append(self._speech, speech)
        self._noise = np.append(self._noise, 10 ** ((floor + FLOOR_BIAS_DB) / 10))
        self._history = np.append(self._history, self._smoothed[:count])[-past:]
        self._smoothed = self._smoothed[count:]
