"""Where speech is: level in the speech band against a noise floor that follows the line.

The floor is the minimum of the smoothed level over the last seconds, which speech with its pauses
reaches again and again, after R. Martin, *Noise power spectral density estimation based on optimal
smoothing and minimum statistics*, IEEE TSAP 9, 2001. Decisions look half a second ahead and depend on
the samples alone, not on how they are cut into blocks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import scipy.fft
import scipy.ndimage

__all__ = ["BLOCK", "FRAME_S", "ActivityDetector", "Frames", "block_length", "frame_seconds"]

FRAME_S: Final = 0.02
BLOCK: Final = 50
"""Frames that are worked on at once: sums of equal blocks have equal digits."""
SPEECH_BAND: Final = (250.0, 3400.0)
SMOOTHING: Final = 5
"""Frames that a level is averaged over."""
MEMORY: Final = 400
"""Frames the noise floor is the minimum of."""
AHEAD: Final = 25
"""Frames of the floor's memory that lie in the future."""
ON_DB: Final = 6.0
OFF_DB: Final = 4.0
"""Level above the floor where speech begins and where it ends."""
FAINTEST_DB: Final = -65.0
"""Band level of full scale below which nothing is speech."""
FLOOR_BIAS_DB: Final = 1.5
"""The minimum of a noise's level lies so far below its mean."""
BEFORE: Final = 5
AFTER: Final = 15
"""Frames that are kept around speech."""
FULL_SCALE: Final = 0.99


class Frames(NamedTuple):
    """Consecutive frames, each array of shape ``(n_frames,)``.

    Attributes:
        speech: Whether the frame is speech.
        kept: Whether it is speech or right beside it.
        power: Power in the speech band.
        noise: Power of the noise floor in the same band.
        clipped: Share of samples at full scale.
    """

    speech: np.ndarray
    kept: np.ndarray
    power: np.ndarray
    noise: np.ndarray
    clipped: np.ndarray


def block_length(sample_rate: int) -> int:
    """Samples of one block of frames."""
    return BLOCK * _frame_length(sample_rate)


def frame_seconds(sample_rate: int) -> float:
    """Exact length of a frame: a whole number of samples that is nearest to 20 ms."""
    return _frame_length(sample_rate) / sample_rate


def _frame_length(sample_rate: int) -> int:
    return round(FRAME_S * sample_rate)


@lru_cache(maxsize=16)
def _band(sample_rate: int) -> tuple[np.ndarray, slice, float]:
    """Hann window, lines of the speech band, and what makes their sum a mean square."""
    length = _frame_length(sample_rate)
    window = np.hanning(length).astype(np.float32)
    lines = np.fft.rfftfreq(length, 1 / sample_rate)
    first, last = np.searchsorted(lines, SPEECH_BAND)
    return window, slice(int(first), int(last)), float(2 / (length * (window**2).sum()))


class ActivityDetector:
    """Decide for every frame of one channel, block by block.

    Args:
        sample_rate: Rate in Hz.
        on_db: Level above the noise floor where speech begins.
        off_db: Level above the noise floor where it ends.
    """

    def __init__(self, sample_rate: int, *, on_db: float = ON_DB, off_db: float = OFF_DB):
        self.sample_rate = sample_rate
        self.on_db, self.off_db = on_db, off_db
        nothing = np.empty(0)
        self._power, self._clipped = nothing, nothing  # from the first undecided frame on
        self._history = nothing  # smoothed levels that the floor still remembers
        self._smoothed = nothing  # smoothed levels of frames that wait for their floor
        self._tail = np.empty(0)  # last powers, for the next smoothing
        self._speech, self._noise = np.empty(0, dtype=bool), nothing  # wait for what comes after
        self._talking = False
        self._since = AFTER + 1  # frames since the last speech

    def push(self, samples: np.ndarray) -> Frames:
        """Take one block of :func:`block_length` samples; return the frames it settles."""
        length = _frame_length(self.sample_rate)
        frames = samples[: len(samples) // length * length].reshape(-1, length)
        if len(frames):
            window, lines, scale = _band(self.sample_rate)
            spectrum = scipy.fft.rfft(frames * window, axis=1)[:, lines]
            power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1, dtype=np.float64) * scale
            clipped = (np.abs(frames) >= FULL_SCALE).mean(axis=1)
            self._power = np.append(self._power, power)
            self._clipped = np.append(self._clipped, clipped)
            self._smooth(power)
        return self._settle(AHEAD, BEFORE)

    def close(self) -> Frames:
        """Settle the last frames."""
        return self._settle(0, 0)

    def _smooth(self, power: np.ndarray) -> None:
        padded = np.append(self._tail, power)
        if not len(self._tail):
            padded = np.append(np.full(SMOOTHING - 1, power[0]), power)
        means = np.convolve(padded, np.full(SMOOTHING, 1 / SMOOTHING), "valid")
        self._tail = padded[-(SMOOTHING - 1) :]
        self._smoothed = np.append(self._smoothed, 10 * np.log10(np.maximum(means, 1e-12)))

    def _settle(self, ahead: int, before: int) -> Frames:
        self._decide(max(len(self._smoothed) - ahead, 0), ahead)
        count = max(len(self._speech) - before, 0)
        kept = np.empty(count, dtype=bool)
        for frame, talking in enumerate(self._speech[:count].tolist()):
            self._since = 0 if talking else self._since + 1
            kept[frame] = self._since <= AFTER
        if count:
            coming = np.convolve(self._speech[::-1], np.ones(BEFORE + 1))[::-1][BEFORE:]
            kept |= coming[:count] > 0
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

    def _decide(self, count: int, ahead: int) -> None:
        """Find the floor of the next frames, and where speech begins and ends."""
        if not count:
            return
        past = MEMORY - 1 - AHEAD
        levels = np.concatenate(
            [
                np.full(past - len(self._history), np.inf),
                self._history,
                self._smoothed,
                np.full(AHEAD - ahead, np.inf),
            ]
        )
        lowest = scipy.ndimage.minimum_filter1d(levels, MEMORY)
        floor = lowest[MEMORY // 2 : MEMORY // 2 + count]
        above = self._smoothed[:count] - floor - FLOOR_BIAS_DB
        above[self._smoothed[:count] <= FAINTEST_DB] = -np.inf
        speech = np.empty(count, dtype=bool)
        for frame, level in enumerate(above.tolist()):
            self._talking = level > (self.off_db if self._talking else self.on_db)
            speech[frame] = self._talking
        self._speech = np.append(self._speech, speech)
        self._noise = np.append(self._noise, 10 ** ((floor + FLOOR_BIAS_DB) / 10))
        self._history = np.append(self._history, self._smoothed[:count])[-past:]
        self._smoothed = self._smoothed[count:]
