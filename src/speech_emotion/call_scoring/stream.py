"""One channel of a call, scored as it is heard: the same code for live lines and for files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
import soxr

from speech_emotion.audio import AudioError
from speech_emotion.call_scoring.flags import Hysteresis
from speech_emotion.call_scoring.quality import out_of_domain_reason
from speech_emotion.call_scoring.settings import CallSettings
from speech_emotion.call_scoring.voice_activity import (
    ActivityDetector,
    Frames,
    block_length,
    frame_seconds,
)
from speech_emotion.call_scoring.windows import SpeechWindows, Window
from speech_emotion.features import extract
from speech_emotion.models import EmotionPredictor

__all__ = ["UNKNOWN", "ChannelStream", "ScoredWindow", "threshold_of"]

UNKNOWN: Final = "unknown"
NOTHING: Final = np.empty(0, dtype=np.float32)
Inputs: TypeAlias = tuple[pd.Series, np.ndarray]


@dataclass(frozen=True)
class ScoredWindow:
    """A window and what the model says of it.

    Attributes:
        start_s: Where it begins, in seconds from the first sample.
        end_s: Where it ends.
        speech_share: Share of this span that is speech.
        probabilities: Calibrated, in the order of the model's labels; NaN outside the domain.
        emotion: The likeliest label; ``unknown`` outside the domain.
        confidence: Its probability; 0 outside the domain.
        score: Mean probability of the target over the last windows; 0 outside the domain.
        flagged: Whether the flag is up.
        out_of_domain: Why the window is not judged; empty if it is.
        snr_db: Level of its speech over the noise.
    """

    start_s: float
    end_s: float
    speech_share: float
    probabilities: tuple[float, ...]
    emotion: str
    confidence: float
    score: float
    flagged: bool
    out_of_domain: str
    snr_db: float


def threshold_of(predictor: EmotionPredictor, settings: CallSettings) -> float:
    """Return the threshold that is set, else the one stored with the model.

    Raises:
        ValueError: If neither is there, or the target is none of the model's labels.
    """
    flags = settings.flags
    if flags.target not in predictor.labels:
        raise ValueError(
            f"The model knows no {flags.target!r}: set calls.flags.target to one of "
            f"{', '.join(predictor.labels)}"
        )
    if flags.threshold is not None:
        return flags.threshold
    stored = predictor.threshold
    if stored is None or stored.target != flags.target:
        raise ValueError(
            f"No threshold for {flags.target!r} is stored with the model: set calls.flags.threshold "
            "(0.5 says: more likely than not), or train the model again with detection.target set"
        )
    return stored.value


class ChannelStream:
    """Score one channel block by block, in blocks of any size.

    Samples are gathered into blocks of one second, so that every sum runs over the same numbers
    however they arrive: a live line and a file give the same windows. A window is finished about 0.6 s
    after its last frame, and up to a second later.

    Args:
        predictor: The model.
        sample_rate: Rate of the samples in Hz, 8000 or more.
        settings: How calls are scored.
        batch: Windows that are judged at once; 1 gives each as soon as it is finished.

    Attributes:
        speech: For each frame of 20 ms that the last call settled, whether it is speech.

    Example:
        >>> stream = ChannelStream(predictor, 8000)  # doctest: +SKIP
        >>> for block in line:  # doctest: +SKIP
        ...     for window in stream.push(block):
        ...         print(window.start_s, window.emotion, window.flagged)
        >>> last = stream.close()  # doctest: +SKIP
    """

    def __init__(
        self,
        predictor: EmotionPredictor,
        sample_rate: int,
        settings: CallSettings | None = None,
        *,
        batch: int = 1,
    ):
        settings = settings or CallSettings()
        self._predictor, self._settings, self._batch = predictor, settings, batch
        self._rate, self._model_rate = sample_rate, predictor.features.sample_rate
        self._target = predictor.labels.index(settings.flags.target)
        self._hysteresis = Hysteresis(threshold_of(predictor, settings), settings.flags)
        self._detector = ActivityDetector(sample_rate)
        self._windows = SpeechWindows(
            settings.windows, self._model_rate, frame_s=frame_seconds(sample_rate)
        )
        self._resampler = soxr.ResampleStream(
            sample_rate, self._model_rate, 1, dtype="float32", quality="HQ"
        )
        self._pending: list[np.ndarray] = []
        self._n_pending = 0
        self._resampled = np.empty(0, dtype=np.float32)
        self._dropped = 0  # resampled samples before the first that is kept
        self._settled = 0  # frames that are settled
        self._finished: list[tuple[Window, str, Inputs | None]] = []
        self.speech = np.empty(0, dtype=bool)

    def push(self, samples: np.ndarray) -> list[ScoredWindow]:
        """Take further samples, shape ``(n_samples,)``; return the windows that became finished."""
        self._pending.append(np.array(samples, dtype=np.float32))
        self._n_pending += len(samples)
        size = block_length(self._rate)
        settled = []
        if self._n_pending >= size:
            pending = np.concatenate(self._pending)
            whole = len(pending) // size * size
            for start in range(0, whole, size):
                settled.append(self._hear(pending[start : start + size]))
            self._pending, self._n_pending = [pending[whole:]], len(pending) - whole
        self.speech = np.concatenate([np.empty(0, dtype=bool), *settled])
        if len(self._finished) < self._batch:
            return []
        return self._judge()

    def close(self) -> list[ScoredWindow]:
        """End the channel; return the last windows."""
        rest = np.concatenate([np.empty(0, dtype=np.float32), *self._pending])
        self._pending, self._n_pending = [], 0
        first = self._hear(rest, last=True)
        frames = self._detector.close()
        self._cut(frames)
        self._describe(self._windows.close())
        self.speech = np.append(first, frames.speech)
        return self._judge()

    def _hear(self, block: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Resample one block and cut what is settled into windows; return where speech is."""
        resampled = self._resampler.resample_chunk(block, last=last)
        self._resampled = np.append(self._resampled, resampled)
        frames = self._detector.push(block)
        self._cut(frames)
        return frames.speech

    def _cut(self, frames: Frames) -> None:
        edges = self._settled + np.arange(len(frames.kept) + 1)
        seconds = edges * frame_seconds(self._rate)
        samples = np.round(seconds * self._model_rate).astype(int) - self._dropped
        pieces = [self._resampled[a:b] for a, b in itertools.pairwise(samples)]
        self._describe(self._windows.push(frames, self._settled, pieces))
        self._settled += len(frames.kept)
        self._resampled = self._resampled[samples[-1] :]
        self._dropped += int(samples[-1])

    def _describe(self, windows: Iterable[Window]) -> None:
        """Extract features at once: they are a hundredth of the samples."""
        features = self._predictor.features
        for window in windows:
            reason, inputs = out_of_domain_reason(window, self._settings.quality), None
            if not reason:
                try:
                    inputs = extract(window.samples, features.sample_rate, settings=features)
                except AudioError as error:
                    reason = error.reason
            self._finished.append((replace(window, samples=NOTHING), reason, inputs))

    def _judge(self) -> list[ScoredWindow]:
        finished, self._finished = self._finished, []
        judged = [inputs for _, _, inputs in finished if inputs is not None]
        probabilities = np.full((len(finished), len(self._predictor.labels)), np.nan)
        if judged:
            statistics = pd.DataFrame([row for row, _ in judged])
            sequences = np.stack([sequence for _, sequence in judged])
            known = [inputs is not None for _, _, inputs in finished]
            probabilities[known] = self._predictor.predict_proba(statistics, sequences)
        return [
            self._scored(window, reason, row)
            for (window, reason, _), row in zip(finished, probabilities, strict=True)
        ]

    def _scored(self, window: Window, reason: str, probabilities: np.ndarray) -> ScoredWindow:
        score, flagged = 0.0, False
        emotion, confidence = UNKNOWN, 0.0
        if not reason:
            score, flagged = self._hysteresis(float(probabilities[self._target]))
            best = int(probabilities.argmax())
            emotion, confidence = self._predictor.labels[best], float(probabilities[best])
        return ScoredWindow(
            start_s=window.start_s,
            end_s=window.end_s,
            speech_share=window.speech_share,
            probabilities=tuple(map(float, probabilities)),
            emotion=emotion,
            confidence=confidence,
            score=score,
            flagged=flagged,
            out_of_domain=reason,
            snr_db=window.snr_db,
        )
