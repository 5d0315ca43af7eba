"""Find channels that carry the same sound, or that leak into each other."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import scipy.fft

__all__ = ["LEAKING", "SAME", "SEPARATE", "Crosstalk", "Layout"]

Layout = Literal["separate", "leaking", "same"]
SEPARATE: Final = "separate"
LEAKING: Final = "leaking"
SAME: Final = "same"
MAX_LAG_S: Final = 0.1
"""Longest delay between a sound and its copy on the other channel."""
ALIKE: Final = 0.5
"""Normalized cross-correlation of a second from which both channels contain the same sound."""
MIN_SHARE: Final = 0.25
"""Share of the seconds with speech that contain the same sound, from which channels are connected."""
MIN_SECONDS: Final = 3
MAX_SPREAD_DB: Final = 6.0
"""Largest range of the difference in level (10th to 90th percentile) of channels with the same sound."""


class Crosstalk:
    """Compare two channels second by second.

    Args:
        sample_rate: Rate in Hz.

    Example:
        >>> noise = np.random.default_rng(0).normal(0, 0.1, (10, 8000)).astype("float32")
        >>> crosstalk = Crosstalk(8000)
        >>> for second in noise:
        ...     crosstalk.push(second, 0.5 * second)
        >>> crosstalk.layout(np.ones(10, dtype=bool))
        'same'
    """

    def __init__(self, sample_rate: int):
        self._max_lag = round(MAX_LAG_S * sample_rate)
        self._alike: list[float] = []
        self._difference_db: list[float] = []

    def push(self, first: np.ndarray, second: np.ndarray) -> None:
        """Add one second of both channels, each of shape ``(n_samples,)``."""
        size = scipy.fft.next_fast_len(len(first) + self._max_lag, real=True)
        first_power, second_power = (float((one**2).sum()) for one in (first, second))
        if min(first_power, second_power) <= 1e-9:
            self._alike.append(0.0)
            self._difference_db.append(0.0)
            return
        spectrum = scipy.fft.rfft(first, size) * np.conj(scipy.fft.rfft(second, size))
        correlation = scipy.fft.irfft(spectrum, size)
        near = np.concatenate([correlation[: self._max_lag + 1], correlation[-self._max_lag :]])
        self._alike.append(float(np.abs(near).max()) / np.sqrt(first_power * second_power))
        self._difference_db.append(10 * np.log10(first_power / second_power))

    def layout(self, speech: np.ndarray) -> Layout:
        """Return how the channels are connected.

        Args:
            speech: Whether each second contains speech, shape ``(n_seconds,)``.

        Returns:
            ``same`` if both carry one sound, ``leaking`` if one party is also heard on the other's
            channel, else ``separate``.
        """
        alike = (np.array(self._alike) >= ALIKE) & speech
        if alike.sum() < max(MIN_SECONDS, MIN_SHARE * speech.sum()):
            return SEPARATE
        low, high = np.percentile(np.array(self._difference_db)[alike], [10, 90])
        return SAME if high - low <= MAX_SPREAD_DB else LEAKING
