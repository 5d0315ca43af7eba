"""Inspect a recording before it is scored: how channels are connected, who speaks when, and the voices.

Voice activity and voices are used, no emotions, so agents may be inspected, too.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

import numpy as np
import scipy.ndimage

from speech_emotion.audio import SILENCE, AudioError, open_recording
from speech_emotion.call_scoring.activity import PARTY_MEASURES, party_measures, stretches
from speech_emotion.call_scoring.crosstalk import LEAKING, SAME, SEPARATE, Crosstalk
from speech_emotion.call_scoring.settings import CallSettings
from speech_emotion.call_scoring.speakers import (
    Speakers,
    VoiceModel,
    separate_speakers,
    voice_of,
)
from speech_emotion.call_scoring.voice_activity import (
    BLOCK,
    BlockBuffer,
    Frames,
    VoiceActivityDetector,
    frame_seconds,
)
from speech_emotion.models import EmotionPredictor
from speech_emotion.runtime import FetchError

__all__ = [
    "MONO",
    "ONE_VOICE",
    "Inspection",
    "Party",
    "inspect_blocks",
    "inspect_recording",
    "rejected",
]

logger = logging.getLogger(__name__)

MONO: Final = "mono"
"""Layout of a recording with one channel; the others are in :mod:`.crosstalk`."""
STEREO: Final = 2
SPOKEN: Final = 0.3
"""Share of a second from which it counts as speech."""
ONE_VOICE: Final = 0.5
"""Cosine similarity from which two voices may be of one person."""
FIRST_TURN_S: Final = 0.6
"""Shortest turn that decides who speaks first."""
SMOOTHING: Final = 15
"""Frames over which differences of level are averaged."""
ITERATIONS: Final = 20


@dataclass(frozen=True)
class Party:
    """One party of a call.

    Attributes:
        channel: Channel that it is heard on.
        spans: First and end frame of each stretch that is to be scored as this party's, shape ``(n, 2)``;
            ``None`` for the whole channel.
        measures: See :data:`PARTY_MEASURES`.
        first_s: Start of its first turn in seconds; NaN if it does not speak.
        peak: Highest absolute sample of its channel.
        voice: Embedding of its voice, shape ``(n_values,)``; empty if it was not computed.
    """

    channel: int
    spans: np.ndarray | None
    measures: dict[str, float]
    first_s: float
    peak: float
    voice: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    def mask(self, n_frames: int) -> np.ndarray | None:
        """Return whether each frame is this party's; ``None`` for the whole channel."""
        if self.spans is None:
            return None
        mask = np.zeros(n_frames, dtype=bool)
        for start, end in self.spans:
            mask[start:end] = True
        return mask


@dataclass(frozen=True)
class Inspection:
    """Channels, length and layout of a recording, found before it is scored.

    Attributes:
        seconds: Duration.
        n_frames: Number of frames of 20 ms.
        layout: ``separate``, ``leaking``, ``same`` or ``mono``.
        parties: The parties; one per channel, or one per voice if all are on one channel.
        note: Why the voices on one channel are not separated; empty if they are.
        reason: Why the recording is rejected; empty if it can be scored.
        unread: Whether it was rejected because an object store failed.
    """

    seconds: float
    n_frames: int
    layout: str
    parties: tuple[Party, ...]
    note: str = ""
    reason: str = ""
    unread: bool = False

    @property
    def mixed(self) -> bool:
        """Whether all parties are on one channel."""
        return self.layout in {MONO, SAME}

    def to_dict(self) -> dict[str, Any]:
        """Return the content as plain values and lists of them."""
        return {
            "seconds": self.seconds,
            "n_frames": self.n_frames,
            "layout": self.layout,
            "note": self.note,
            "reason": self.reason,
            "unread": self.unread,
            "whole": [party.spans is None for party in self.parties],
            "spans": [
                [] if party.spans is None else party.spans.ravel().tolist()
                for party in self.parties
            ],
            "channels": [party.channel for party in self.parties],
            "measures": [list(party.measures.values()) for party in self.parties],
            "first_s": [party.first_s for party in self.parties],
            "peaks": [party.peak for party in self.parties],
            "voices": [party.voice.tolist() for party in self.parties],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Create it from the result of :meth:`to_dict`."""
        parties = tuple(
            Party(
                int(content["channels"][number]),
                None
                if content["whole"][number]
                else np.asarray(content["spans"][number], dtype=int).reshape(-1, 2),
                dict(zip(PARTY_MEASURES, map(float, content["measures"][number]), strict=True)),
                float(content["first_s"][number]),
                float(content["peaks"][number]),
                np.asarray(content["voices"][number], dtype=np.float32),
            )
            for number in range(len(content["channels"]))
        )
        return cls(
            float(content["seconds"]),
            int(content["n_frames"]),
            str(content["layout"]),
            parties,
            str(content["note"]),
            str(content["reason"]),
            bool(content["unread"]),
        )


def inspect_recording(
    path: str | os.PathLike[str], settings: CallSettings, predictor: EmotionPredictor
) -> Inspection:
    """Inspect a recording, see :func:`inspect_blocks`; one that cannot be used has a ``reason``."""
    try:
        with open_recording(path, limits=settings.limits) as recording:
            rate, n_channels = recording.sample_rate, recording.channels

        def blocks() -> Iterator[np.ndarray]:
            with open_recording(path, limits=settings.limits) as recording:
                yield from recording.blocks()

        return inspect_blocks(blocks, rate, n_channels, settings, predictor, source=str(path))
    except AudioError as error:
        return rejected(error.reason, unread=error.transient)
    except FetchError as error:
        return rejected(str(error), unread=True)
    except Exception as error:  # one recording never ends the others
        logger.exception("%s: inspection failed", path)
        reason = f"inspecting it failed ({type(error).__name__}: {error}); see the log"
        return rejected(reason, unread=True)


def rejected(reason: str, *, unread: bool = False) -> Inspection:
    """Return the inspection of a recording that cannot be used."""
    return Inspection(np.nan, 0, "", (), "", reason, unread)


def inspect_blocks(
    blocks: Callable[[], Iterable[np.ndarray]],
    sample_rate: int,
    n_channels: int,
    settings: CallSettings,
    predictor: EmotionPredictor,
    *,
    source: str,
    voice: VoiceModel | None = None,
    max_likeness: float = ONE_VOICE,
) -> Inspection:
    """Find out how the channels of a recording are connected, and who speaks when.

    Args:
        blocks: Function that returns arrays ``(n_samples, n_channels)`` of any lengths, the same in each
            call. It is called again if both parties are on one channel.
        sample_rate: Rate in Hz.
        n_channels: Number of channels.
        settings: How calls are scored.
        predictor: Its encoder and voice projection separate speakers on one channel.
        source: Path of the recording, for errors.
        voice: How voices are represented; that of the predictor by default.
        max_likeness: Likeness of the voices from which they are not separated.

    Raises:
        AudioError: If the recording is too short or silent.
    """
    inspector = _Inspector(sample_rate, n_channels)
    for block in blocks():
        inspector.push(block)
    channels, layout = inspector.close()
    seconds = inspector.n_samples / sample_rate
    if seconds < settings.min_call_s:
        raise AudioError(
            source,
            f"too short to score: {seconds:.1f} s, at least {settings.min_call_s:g} s are needed",
        )
    if inspector.peaks.max() < SILENCE:
        raise AudioError(source, "silent: no channel contains sound; replace it")
    frame_s = frame_seconds(sample_rate)
    n_frames = len(channels[0].speech)
    if layout in {MONO, SAME}:
        channel = settings.customer_channel if settings.customer_channel < n_channels else 0
        activity, peak = channels[channel], float(inspector.peaks[channel])
        speakers, note = None, ""
        if not (settings.score_agent or (layout == MONO and settings.one_channel == "customer")):
            samples = (block[:, channel] for block in blocks())
            speakers, note = _separate(
                samples,
                sample_rate,
                activity,
                frame_s,
                voice or voice_of(predictor),
                max_likeness,
            )
        parties = _voices(activity, speakers, channel, peak, frame_s)
        return Inspection(seconds, n_frames, layout, parties, note)
    parties = _channels(channels, inspector.peaks, frame_s, leaking=layout == LEAKING)
    return Inspection(seconds, n_frames, layout, parties)


class _Activity(NamedTuple):
    """Voice activity of one channel; each array has shape ``(n_frames,)``."""

    speech: np.ndarray
    kept: np.ndarray
    power: np.ndarray


class _Inspector:
    """Detect speech in each channel, and compare two channels, second by second."""

    def __init__(self, sample_rate: int, n_channels: int):
        self._buffers = [BlockBuffer(sample_rate) for _ in range(n_channels)]
        self._detectors = [VoiceActivityDetector(sample_rate) for _ in range(n_channels)]
        self._frames: list[list[Frames]] = [[] for _ in range(n_channels)]
        self._crosstalk = Crosstalk(sample_rate) if n_channels == STEREO else None
        self.n_samples = 0
        self.peaks = np.zeros(n_channels)

    def push(self, samples: np.ndarray) -> None:
        """Add samples, shape ``(n_samples, n_channels)``."""
        self.n_samples += len(samples)
        self.peaks = np.maximum(self.peaks, np.abs(samples).max(axis=0, initial=0))
        columns = [
            buffer.push(column) for buffer, column in zip(self._buffers, samples.T, strict=True)
        ]
        for seconds in zip(*columns, strict=True):
            if self._crosstalk is not None:
                self._crosstalk.push(*seconds)
            for number, second in enumerate(seconds):
                self._frames[number].append(self._detectors[number].push(second))

    def close(self) -> tuple[list[_Activity], str]:
        """End the recording; return the activity of each channel, and the layout."""
        channels = []
        for buffer, detector, frames in zip(
            self._buffers, self._detectors, self._frames, strict=True
        ):
            frames += [detector.push(buffer.flush()), detector.close()]
            speech, kept, power, *_ = (np.concatenate(part) for part in zip(*frames, strict=True))
            channels.append(_Activity(speech, kept, power))
        if len(channels) == 1:
            return channels, MONO
        if self._crosstalk is None:
            return channels, SEPARATE
        spoken = np.logical_or(*(channel.speech for channel in channels))
        seconds = spoken[: len(spoken) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=1) >= SPOKEN
        return channels, self._crosstalk.layout(seconds)


def _channels(
    channels: list[_Activity], peaks: np.ndarray, frame_s: float, *, leaking: bool
) -> tuple[Party, ...]:
    """Return one party per channel; of leaking channels, the louder one has the word."""
    speech = np.stack([channel.speech for channel in channels])
    power = np.stack([channel.power for channel in channels])
    spans: list[np.ndarray | None] = [None] * len(channels)
    if leaking:
        louder = _louder_channel(power, np.logical_or(*speech))
        own = np.stack([louder == number for number in range(len(channels))])
        speech = speech & own
        kept = np.stack([channel.kept for channel in channels]) & own
        spans = [stretches(party, 1) for party in kept]
    measures = party_measures(speech, power, frame_s, separable=not leaking).to_dict("records")
    return tuple(
        Party(
            number,
            spans[number],
            measures[number],
            _first_s(speech[number], frame_s),
            float(peaks[number]),
        )
        for number in range(len(channels))
    )


def _louder_channel(power: np.ndarray, spoken: np.ndarray) -> np.ndarray:
    """Return the channel of two that each frame belongs to, by the difference of their levels.

    The levels of both may be adjusted differently, so the limit lies between the two modes.
    """
    difference = 10 * np.log10(np.maximum(power[0], 1e-12) / np.maximum(power[1], 1e-12))
    smooth = scipy.ndimage.uniform_filter1d(difference, SMOOTHING)
    low, high = np.percentile(smooth[spoken], [10, 90]) if spoken.any() else (0.0, 0.0)
    for _ in range(ITERATIONS):
        upper = smooth[spoken] > (low + high) / 2
        if not upper.any() or upper.all():
            break
        low, high = smooth[spoken][~upper].mean(), smooth[spoken][upper].mean()
    return np.where(smooth > (low + high) / 2, 0, 1)


def _separate(
    samples: Iterable[np.ndarray],
    sample_rate: int,
    activity: _Activity,
    frame_s: float,
    voice: VoiceModel | None,
    max_likeness: float,
) -> tuple[Speakers | None, str]:
    """Separate the speakers of one channel, or say why that is not possible."""
    if voice is None:
        return None, "separating them needs a model with a speech encoder"
    speakers = separate_speakers(
        samples, sample_rate, activity.speech, activity.kept, frame_s, voice
    )
    if speakers is None:
        return None, "too little speech to separate them"
    if speakers.likeness >= max_likeness:
        hint = "set calls.one_channel=customer if only customers are recorded"
        return None, f"their voices are too much alike, or only one party speaks ({hint})"
    return speakers, ""


def _voices(
    activity: _Activity, speakers: Speakers | None, channel: int, peak: float, frame_s: float
) -> tuple[Party, ...]:
    """Return one party per voice; one party for all speech if the voices are not separated."""
    if speakers is None:
        measures = party_measures(activity.speech[np.newaxis], activity.power[np.newaxis], frame_s)
        first_s = _first_s(activity.speech, frame_s)
        return (Party(channel, None, measures.iloc[0].to_dict(), first_s, peak),)
    own = np.stack([speakers.labels == number for number in (0, 1)])
    speech = activity.speech & own
    power = np.broadcast_to(activity.power, speech.shape)
    measures = party_measures(speech, power, frame_s, separable=False).to_dict("records")
    return tuple(
        Party(
            channel,
            stretches(own[number], 1),
            measures[number],
            _first_s(speech[number], frame_s),
            peak,
            speakers.voices[number],
        )
        for number in (0, 1)
    )


def _first_s(speech: np.ndarray, frame_s: float) -> float:
    """Return the start of the first turn that is long enough to be sure of its speaker."""
    for start, end in stretches(speech, round(0.3 / frame_s)).tolist():
        if (end - start) * frame_s >= FIRST_TURN_S:
            return float(start * frame_s)
    return float("nan")
