"""Separate the two speakers of a call that was recorded on one channel.

Speech is encoded stretch by stretch. Overlapping pieces of about a second are represented by the voice
projection of the model and clustered into two. Every frame of speech is assigned to the nearer cluster, with
a penalty for each change of speaker (Viterbi). Where both speak at once, the louder voice prevails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from speech_emotion.call_scoring.activity import stretches
from speech_emotion.call_scoring.resampling import StreamResampler
from speech_emotion.models import EmotionPredictor, VoiceProjection

__all__ = ["NOBODY", "Speakers", "VoiceModel", "separate_speakers", "voice_of"]

NOBODY: Final = -1
PIECE_S: Final = 1.2
STEP_S: Final = 0.4
SHORTEST_S: Final = 0.3
"""Shorter stretches of speech get no piece of their own."""
LONGEST_S: Final = 20.0
"""Longer stretches are encoded in parts."""
MIN_PIECES: Final = 4
CHANGE: Final = 4.0
"""Cost of a change of speaker, in mean differences of similarity of a frame."""
STARTS: Final = 10
ITERATIONS: Final = 50


class VoiceModel(NamedTuple):
    """How the voice in a piece of speech is represented.

    Attributes:
        sample_rate: Rate in Hz of the samples that ``encode`` takes.
        encode: Function from samples ``(n_samples,)`` to states ``(n_layers, n_steps, width)``.
        projection: From mean and standard deviation of the states to a voice.
    """

    sample_rate: int
    encode: Callable[[np.ndarray], np.ndarray]
    projection: VoiceProjection


def voice_of(predictor: EmotionPredictor) -> VoiceModel | None:
    """Return how a model represents voices; ``None`` if it has no encoder or no voice projection."""
    if predictor.encoder is None or predictor.voices is None:
        return None
    encoder = predictor.encoder
    return VoiceModel(encoder.card.sample_rate, encoder.encode, predictor.voices)


@dataclass(frozen=True)
class Speakers:
    """Who speaks when.

    Attributes:
        labels: 0 or 1 for each frame of speech, :data:`NOBODY` for the others, shape ``(n_frames,)``.
        voices: Mean voice of both, shape ``(2, n_values)``.
        likeness: Cosine similarity of the voices: near 1 if they are of one person.
    """

    labels: np.ndarray
    voices: np.ndarray
    likeness: float


def separate_speakers(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    speech: np.ndarray,
    kept: np.ndarray,
    frame_s: float,
    voice: VoiceModel,
) -> Speakers | None:
    """Separate two speakers.

    Args:
        blocks: Samples of the channel, arrays of shape ``(n_samples,)`` of any lengths.
        sample_rate: Rate in Hz.
        speech: Whether each frame is speech, shape ``(n_frames,)``.
        kept: Whether it is speech or close to speech.
        frame_s: Seconds of a frame.
        voice: How voices are represented.

    Returns:
        The speakers; ``None`` if there is too little speech to tell.
    """
    spans, vectors = [np.empty((0, 2), dtype=int)], []
    for start, states in _encoded(blocks, sample_rate, kept, frame_s, voice):
        of_stretch = _pieces(start, states.shape[1], frame_s)
        spans.append(of_stretch)
        vectors.append(_represent(states, speech, of_stretch - start, start, voice))
    pieces = np.concatenate(spans)
    if len(pieces) < MIN_PIECES:
        return None
    voices = np.concatenate(vectors)
    units = _directions(voices, len(voice.projection.axes))
    nearest, centers = _two_clusters(units)
    if len(set(nearest.tolist())) < 2:
        return None
    labels = _label_frames(pieces, units @ (centers[0] - centers[1]), kept)
    means = np.stack([voices[nearest == number].mean(axis=0) for number in (0, 1)])
    return Speakers(labels, means, likeness(means[0], means[1]))


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine similarity of two voices."""
    return float(first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-9))


def _encoded(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    kept: np.ndarray,
    frame_s: float,
    voice: VoiceModel,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first frame and the hidden states of each stretch of speech, one step per frame."""
    longest = round(LONGEST_S / frame_s)
    waiting = [
        (first, min(first + longest, end))
        for start, end in stretches(kept, 1).tolist()
        for first in range(start, end, longest)
    ]
    waiting = [span for span in waiting if (span[1] - span[0]) * frame_s >= SHORTEST_S][::-1]
    resampler = StreamResampler(sample_rate, voice.sample_rate)

    def ready(limit_s: float) -> Iterator[tuple[int, np.ndarray]]:
        while waiting and waiting[-1][1] * frame_s <= limit_s:
            start, end = waiting.pop()
            (samples,) = resampler.cut(np.array([start, end]) * frame_s)
            yield start, _one_step_per_frame(voice.encode(samples), end - start)
        if limit_s < np.inf:  # drop the pause before the next stretch
            next_s = min(waiting[-1][0] * frame_s, limit_s) if waiting else limit_s
            resampler.cut(np.array([next_s, next_s]))

    for block in blocks:
        resampler.push(block, last=False)
        yield from ready(resampler.seconds)
    resampler.push(np.empty(0, dtype=np.float32), last=True)
    yield from ready(np.inf)


def _one_step_per_frame(states: np.ndarray, n_frames: int) -> np.ndarray:
    steps = np.minimum(
        (np.arange(n_frames) * states.shape[1] / n_frames).astype(int), states.shape[1] - 1
    )
    return states[:, steps]


def _pieces(start: int, n_frames: int, frame_s: float) -> np.ndarray:
    """Return first and end frame of overlapping pieces of a stretch; the last one ends with it."""
    size, step = round(PIECE_S / frame_s), round(STEP_S / frame_s)
    starts = list(range(0, max(n_frames - size, 0) + 1, step))
    if starts[-1] + size < n_frames:
        starts.append(n_frames - size)
    first = start + np.array(starts)
    return np.stack([first, np.minimum(first + size, start + n_frames)], axis=1)


def _represent(
    states: np.ndarray,
    speech: np.ndarray,
    spans: np.ndarray,
    start: int,
    voice: VoiceModel,
) -> np.ndarray:
    """Return the voice in each piece of a stretch, shape ``(n_pieces, n_values)``."""
    n_layers, _, width = states.shape
    embeddings = np.zeros((len(spans), n_layers, 3, width), dtype=np.float32)
    for number, (first, end) in enumerate(spans):
        chosen = states[:, first:end]
        spoken = speech[start + first : start + end]
        if spoken.sum() * 10 >= len(spoken):
            chosen = chosen[:, spoken]
        embeddings[number, :, 0] = chosen.mean(axis=1)
        embeddings[number, :, 1] = chosen.std(axis=1)
    return voice.projection(embeddings.reshape(len(spans), -1))


def _directions(voices: np.ndarray, n_layers: int) -> np.ndarray:
    """Center the voices of a call, and give each layer the same weight; rows have length 1."""
    layers = (voices - voices.mean(axis=0)).reshape(len(voices), n_layers, -1)
    layers = layers / np.maximum(np.linalg.norm(layers, axis=2, keepdims=True), 1e-9)
    return (layers / np.sqrt(n_layers)).reshape(len(voices), -1)


def _two_clusters(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cluster directions by spherical k-means; return the cluster of each, and the centers."""
    generator = np.random.default_rng(0)
    best = (-np.inf, np.zeros(len(units), dtype=int), units[:2])
    for _ in range(STARTS):
        first = units[generator.integers(len(units))]
        distance = np.maximum(1 - units @ first, 1e-9) ** 2
        second = units[generator.choice(len(units), p=distance / distance.sum())]
        centers = np.stack([first, second])
        nearest = np.zeros(len(units), dtype=int)
        for _ in range(ITERATIONS):
            previous, nearest = nearest, (units @ centers.T).argmax(axis=1)
            if len(set(nearest.tolist())) < 2 or (nearest == previous).all():
                break
            centers = np.stack([units[nearest == number].mean(axis=0) for number in (0, 1)])
            centers = centers / np.linalg.norm(centers, axis=1, keepdims=True)
        fit = float((units @ centers.T).max(axis=1).sum())
        if fit > best[0]:
            best = (fit, nearest, centers)
    return best[1], best[2]


def _label_frames(pieces: np.ndarray, difference: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Assign the frames of speech to speakers, by the pieces that contain them."""
    total, weight = np.zeros(len(kept)), np.zeros(len(kept))
    for (start, end), value in zip(pieces, difference, strict=True):
        size = end - start
        triangle = 1 - np.abs(np.arange(size) + 0.5 - size / 2) / (size / 2 + 1)
        total[start:end] += triangle * value
        weight[start:end] += triangle
    used = np.flatnonzero(kept & (weight > 0))
    score = total[used] / weight[used]
    labels = np.full(len(kept), NOBODY)
    labels[used] = _fewest_changes(score / max(np.abs(score).mean(), 1e-9))
    return labels


def _fewest_changes(score: np.ndarray) -> np.ndarray:
    """Return 0 where the score is positive and 1 elsewhere, with a penalty for each change."""
    zero = one = 0.0
    from_zero: list[int] = []
    from_one: list[int] = []
    for value in score.tolist():
        from_zero.append(int(one - CHANGE > zero))
        from_one.append(int(one >= zero - CHANGE))
        zero, one = max(zero, one - CHANGE) + value, max(one, zero - CHANGE) - value
    labels = np.empty(len(score), dtype=int)
    state = int(one > zero)
    for position in range(len(score) - 1, -1, -1):
        labels[position] = state
        state = (from_zero, from_one)[state][position]
    return labels
