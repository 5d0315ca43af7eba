"""The online scorer: score one channel of a call block by block, from a live line or a file."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from speech_emotion.audio import AudioError
from speech_emotion.call_scoring.flags import Hysteresis
from speech_emotion.call_scoring.line import LineMean, RunningMean
from speech_emotion.call_scoring.quality import out_of_domain_reason
from speech_emotion.call_scoring.resampling import StreamResampler
from speech_emotion.call_scoring.settings import CallSettings
from speech_emotion.call_scoring.voice_activity import (
    BlockBuffer,
    Frames,
    VoiceActivityDetector,
    frame_seconds,
)
from speech_emotion.call_scoring.windows import SpeechWindows, Window
from speech_emotion.features import Embedding, LayerSums, extract, sum_layers
from speech_emotion.models import EmotionPredictor, ExtractedFeatures

__all__ = ["UNKNOWN", "ChannelStream", "ScoredWindow", "threshold_of"]

UNKNOWN: Final = "unknown"
NO_SAMPLES: Final = np.empty(0, dtype=np.float32)


@dataclass(frozen=True)
class ScoredWindow:
    """A window with its prediction.

    Attributes:
        start_s: Start in seconds from the first sample.
        end_s: End in seconds.
        speech_share: Share of this span that is speech.
        probabilities: Calibrated probabilities in the order of the model's labels; NaN if out of
            domain.
        emotion: Label with the highest probability; ``unknown`` if out of domain.
        confidence: Probability of ``emotion``; 0 if out of domain.
        score: Mean probability of the target over the last windows; 0 if out of domain.
        flagged: Whether the flag is raised.
        out_of_domain: Why the window is out of domain; empty if it is scored.
        snr_db: Signal-to-noise ratio in dB.
        bandwidth_hz: Frequency below which nearly all of the power lies.
        novelty: How far the embedding is from those of training, which have 1 on average; the shift of the
            line is not added. NaN without an encoder.
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
    bandwidth_hz: float
    novelty: float


def threshold_of(predictor: EmotionPredictor, settings: CallSettings) -> float:
    """Return the threshold from the settings or, if none is set, the one stored with the model.

    Raises:
        ValueError: If there is no threshold, or the target is not a label of the model.
    """
    flags = settings.flags
    if flags.target not in predictor.labels:
        raise ValueError(
            f"The model has no label {flags.target!r}: set calls.flags.target to one of "
            f"{', '.join(predictor.labels)}"
        )
    if flags.threshold is not None:
        return flags.threshold
    stored = predictor.threshold
    if stored is None or stored.target != flags.target:
        raise ValueError(
            f"No threshold for {flags.target!r} is stored with the model: set calls.flags.threshold "
            "(0.5 means more likely than not), or train the model again with detection.target set"
        )
    return stored.value


def _line_shift(
    predictor: EmotionPredictor, settings: CallSettings, line: LineMean | None
) -> Callable[[np.ndarray], np.ndarray | None]:
    """Return the function that gives what is added to the statistics of a window."""
    reference = predictor.reference
    if reference is None or settings.line_calls == 0:
        return lambda statistics: None
    if line is None:
        return RunningMean(reference).shift
    shift = line.shift(reference)
    return lambda statistics: shift


class ChannelStream:
    """Score one channel of a call online, in blocks of any size.

    Samples are regrouped into blocks of one second, so that a live line and a file give the same
    windows to the last digit. A window is complete 0.6 to 1.6 s after its last frame.

    Args:
        predictor: The model.
        sample_rate: Rate of the samples in Hz, 8000 or more.
        settings: How calls are scored.
        batch: Number of windows that are scored together; 1 scores each as soon as it is complete.
        line: Mean embedding of the center's line, for models with an encoder. Without it, the mean of
            this channel so far is used, unless ``settings.line_calls`` is 0.
        mask: Whether each frame of 20 ms is to be scored, shape ``(n_frames,)``, for channels that also
            carry other parties; frames after its end are not. ``None`` for all frames.

    Attributes:
        speech: Whether each frame of 20 ms that the last call finished is speech.

    Example:
        >>> stream = ChannelStream(predictor, 8000)  # doctest: +SKIP
        >>> for block in line:  # doctest: +SKIP
        ...     for window in stream.push(block):
        ...         print(window.start_s, window.emotion, window.flagged)
        >>> last_windows = stream.close()  # doctest: +SKIP
    """

    def __init__(
        self,
        predictor: EmotionPredictor,
        sample_rate: int,
        settings: CallSettings | None = None,
        *,
        batch: int = 1,
        line: LineMean | None = None,
        mask: np.ndarray | None = None,
    ):
        settings = settings or CallSettings()
        self._mask = mask
        self._predictor, self._settings, self._batch = predictor, settings, batch
        self._rate, self._encoder = sample_rate, predictor.encoder
        encoder_rate = self._encoder.card.sample_rate if self._encoder else 0
        window_rate = predictor.features.sample_rate if predictor.needs_features else encoder_rate
        self._target = predictor.labels.index(settings.flags.target)
        self._hysteresis = Hysteresis(threshold_of(predictor, settings), settings.flags)
        self._buffer = BlockBuffer(sample_rate)
        self._detector = VoiceActivityDetector(sample_rate)
        self._windows = SpeechWindows(
            settings.windows, window_rate, frame_s=frame_seconds(sample_rate)
        )
        rates = {window_rate, encoder_rate} if self._encoder else {window_rate}
        self._window_rate, self._encoder_rate = window_rate, encoder_rate
        self._resamplers = {rate: StreamResampler(sample_rate, rate) for rate in rates}
        self._shift = _line_shift(predictor, settings, line)
        self._n_frames = 0  # finished frames
        self._pieces: list[np.ndarray | LayerSums | None] = []  # of this stretch of speech
        self._unscored: list[tuple[Window, str, ExtractedFeatures | None]] = []
        self._novelty: list[float] = []  # of the same windows
        self.speech = np.empty(0, dtype=bool)

    def push(self, samples: np.ndarray) -> list[ScoredWindow]:
        """Add samples, shape ``(n_samples,)``; return the windows that they complete."""
        blocks = [self._process_block(block) for block in self._buffer.push(samples)]
        self.speech = np.concatenate([np.empty(0, dtype=bool), *blocks])
        if len(self._unscored) < self._batch:
            return []
        return self._score_pending()

    def close(self) -> list[ScoredWindow]:
        """End the channel; return the last windows."""
        self._finish()
        return self._score_pending()

    def _finish(self) -> None:
        """Process what is left of the channel."""
        first = self._process_block(self._buffer.flush(), last=True)
        frames = self._detector.close()
        self._cut(frames)
        self._extract(self._windows.close())
        self.speech = np.append(first, frames.speech)

    def _process_block(self, block: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Resample one block, detect speech and cut windows; return voice activity of the frames."""
        for resampler in self._resamplers.values():
            resampler.push(block, last=last)
        frames = self._detector.push(block)
        self._cut(frames)
        return frames.speech

    def _cut(self, frames: Frames) -> None:
        """Pass finished frames with their resampled samples to the windows."""
        frames = self._masked(frames)
        edges = self._n_frames + np.arange(len(frames.kept) + 1)
        seconds = edges * frame_seconds(self._rate)
        samples = {rate: one.cut(seconds) for rate, one in self._resamplers.items()}
        windows = self._windows.push(
            frames, self._n_frames, samples[self._window_rate], samples.get(self._encoder_rate)
        )
        self._extract(windows)
        self._n_frames += len(frames.kept)

    def _masked(self, frames: Frames) -> Frames:
        """Drop speech that the mask excludes."""
        if self._mask is None:
            return frames
        mask = self._mask[self._n_frames : self._n_frames + len(frames.kept)]
        mask = np.pad(mask, (0, len(frames.kept) - len(mask)))
        return frames._replace(speech=frames.speech & mask, kept=frames.kept & mask)

    def _extract(self, windows: Iterable[Window]) -> None:
        """Extract features, which take a hundredth of the memory of the samples."""
        for window in windows:
            shared = self._pieces[-window.n_shared :] if window.n_shared else []
            self._pieces = [*shared, *window.pieces]
            self._novelty.append(np.nan)
            reason, features = self._features(window)
            self._unscored.append(
                (replace(window, samples=NO_SAMPLES, pieces=()), reason, features)
            )

    def _features(self, window: Window) -> tuple[str, ExtractedFeatures | None]:
        reason = out_of_domain_reason(
            self._settings.quality,
            snr_db=window.snr_db,
            clipped=window.clipped,
            tonal=window.tonal,
        )
        if reason:
            return reason, None
        settings = self._predictor.features
        statistics = sequence = embedding = None
        try:
            if self._predictor.needs_features:
                statistics, sequence = extract(
                    window.samples, settings.sample_rate, settings=settings
                )
            if self._encoder is not None:
                embedding = self._embed()
        except AudioError as error:
            return error.reason, None
        return "", ExtractedFeatures(statistics, sequence, embedding)

    def _embed(self) -> Embedding:
        """Return the embedding of the current pieces; pieces of earlier windows are encoded already."""
        assert self._encoder is not None
        for position, piece in enumerate(self._pieces):
            if isinstance(piece, np.ndarray):
                try:
                    self._pieces[position] = sum_layers(piece, self._encoder)
                except AudioError:  # too short or silent
                    self._pieces[position] = None
        sums = [piece for piece in self._pieces if isinstance(piece, LayerSums)]
        if not sums:
            raise AudioError("window", "too little sound to encode")
        embedding = functools.reduce(operator.add, sums).embedding()
        if self._predictor.voices is not None:
            novelty = self._predictor.voices.novelty(embedding.statistics[np.newaxis])
            self._novelty[-1] = float(novelty[0])
        shift = self._shift(embedding.statistics)
        return embedding if shift is None else embedding.shifted(shift, len(self._encoder.layers))

    def embed(self, samples: np.ndarray | None) -> np.ndarray:
        """Add samples, or end the channel, and return embeddings of windows instead of scores.

        Args:
            samples: Shape ``(n_samples,)``; ``None`` ends the channel.

        Returns:
            Shape ``(n_windows, n_features)``; windows out of domain are left out.
        """
        if samples is None:
            self._finish()
        else:
            for block in self._buffer.push(samples):
                self._process_block(block)
        pending, self._unscored, self._novelty = self._unscored, [], []
        rows = [features.embedding for _, _, features in pending if features is not None]
        kept = [row.statistics for row in rows if row is not None]
        width = 0 if self._predictor.reference is None else len(self._predictor.reference)
        return np.stack(kept) if kept else np.empty((0, width), dtype=np.float32)

    def _score_pending(self) -> list[ScoredWindow]:
        """Predict all windows that are waiting."""
        pending, self._unscored = self._unscored, []
        novelty, self._novelty = self._novelty, []
        probabilities = np.full((len(pending), len(self._predictor.labels)), np.nan)
        in_domain = [features is not None for _, _, features in pending]
        if any(in_domain):
            features = [features for _, _, features in pending if features is not None]
            probabilities[in_domain] = self._predictor.predict_extracted(features)
        return [
            self._scored(window, reason, row, far)
            for (window, reason, _), row, far in zip(pending, probabilities, novelty, strict=True)
        ]

    def _scored(
        self, window: Window, reason: str, probabilities: np.ndarray, novelty: float
    ) -> ScoredWindow:
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
            bandwidth_hz=window.bandwidth_hz,
            novelty=novelty,
        )
