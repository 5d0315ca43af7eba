"""Score recordings: windows, channels, summaries and passages as tables."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from speech_emotion.audio import SILENCE, AudioError, open_recording
from speech_emotion.call_scoring.line import LineMean
from speech_emotion.call_scoring.settings import CallSettings
from speech_emotion.call_scoring.stream import ChannelStream, ScoredWindow
from speech_emotion.call_scoring.voice_activity import ActivityStream
from speech_emotion.models import EmotionPredictor
from speech_emotion.runtime import FetchError

logger = logging.getLogger(__name__)

__all__ = [
    "AGENT",
    "CHANNEL_COLUMNS",
    "CUSTOMER",
    "MIXED",
    "ScoredCall",
    "embed_blocks",
    "embed_recording",
    "score_blocks",
    "score_recording",
    "window_columns",
]

CUSTOMER: Final = "customer"
AGENT: Final = "agent"
MIXED: Final = "mixed"
CHANNEL_COLUMNS: Final = [
    "call",
    "path",
    "channel",
    "channel_role",
    "minutes",
    "talk_share",
    "silence_share",
    "reason",
]


@dataclass(frozen=True)
class ScoredCall:
    """Scores of one recording.

    Attributes:
        windows: One row per window, columns of :func:`window_columns`; no rows if the recording was
            rejected.
        channels: One row per scored channel, columns :data:`CHANNEL_COLUMNS`; a rejected recording
            has one row with its ``reason``.
        unread: Whether it was rejected for a reason outside of the file, so that a retry can succeed:
            it could not be opened or fetched, or a decoder is not installed.
    """

    windows: pd.DataFrame
    channels: pd.DataFrame
    unread: bool = False


def window_columns(labels: Iterable[str]) -> list[str]:
    """Return the columns of the table of windows."""
    return [
        "call",
        "channel",
        "channel_role",
        "start_s",
        "end_s",
        "speech_share",
        *(f"p_{label}" for label in labels),
        "emotion",
        "confidence",
        "score",
        "flagged",
        "out_of_domain",
        "snr_db",
    ]


def score_recording(
    path: str | os.PathLike[str],
    predictor: EmotionPredictor,
    settings: CallSettings,
    *,
    call: str | None = None,
    line: LineMean | None = None,
) -> ScoredCall:
    """Score the customer's channel of a recording, and the other channels if the settings say so.

    Args:
        path: Path or URL (``s3://…``) of the recording.
        predictor: The model.
        settings: How calls are scored.
        call: Name of the call; the file name by default.
        line: Mean embedding of the center's line, see :class:`ChannelStream`.

    Returns:
        Windows and channels. Recordings that cannot be used are rejected, not raised.

    Example:
        >>> scored = score_recording("call.wav", predictor, CallSettings())  # doctest: +SKIP
        >>> scored.windows[["start_s", "emotion", "flagged"]]  # doctest: +SKIP
    """
    name = call or os.path.basename(path)
    try:
        with open_recording(path, limits=settings.limits) as recording:
            return score_blocks(
                recording.blocks(),
                recording.sample_rate,
                recording.channels,
                predictor,
                settings,
                call=name,
                path=str(path),
                line=line,
            )
    except AudioError as error:
        return reject_call(name, path, error.reason, predictor.labels, unread=error.transient)
    except FetchError as error:
        return reject_call(name, path, str(error), predictor.labels, unread=True)
    except Exception as error:  # one recording never ends the others
        logger.exception("%s: scoring failed", path)
        reason = f"scoring it failed ({type(error).__name__}: {error}); see the log"
        return reject_call(name, path, reason, predictor.labels, unread=True)


def reject_call(
    call: str,
    path: str | os.PathLike[str],
    reason: str,
    labels: tuple[str, ...],
    *,
    unread: bool = False,
) -> ScoredCall:
    """Return the result of a recording that is not scored.

    Args:
        call: Name of the call.
        path: Path of the recording.
        reason: Why it is not scored.
        labels: Labels of the model.
        unread: Whether another attempt can succeed.
    """
    rejected = {
        "call": call,
        "path": str(path),
        "channel": -1,
        "channel_role": "",
        "reason": reason,
    }
    table = pd.DataFrame([rejected]).reindex(columns=CHANNEL_COLUMNS)
    return ScoredCall(_window_table([], labels), table, unread=unread)


def score_blocks(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    n_channels: int,
    predictor: EmotionPredictor,
    settings: CallSettings,
    *,
    call: str,
    path: str = "",
    line: LineMean | None = None,
) -> ScoredCall:
    """Score a call from blocks of samples.

    Args:
        blocks: Arrays ``(n_samples, n_channels)`` of any lengths.
        sample_rate: Rate in Hz.
        n_channels: Number of channels.
        predictor: The model.
        settings: How calls are scored.
        call: Name of the call.
        path: Path of the recording.
        line: Mean embedding of the center's line, see :class:`ChannelStream`.

    Raises:
        AudioError: If the call is too short, or the customer's channel is missing or silent.
    """
    roles = _channel_roles(n_channels, settings, call)
    scorer = _CallScorer(roles, sample_rate, n_channels, predictor, settings, line)
    for block in blocks:
        scorer.push(block)
    scorer.close()
    _check_call(scorer.seconds, scorer.peaks, roles, settings, path or call)
    return ScoredCall(scorer.window_table(call, predictor.labels), scorer.channel_table(call, path))


def embed_blocks(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    n_channels: int,
    predictor: EmotionPredictor,
    settings: CallSettings,
    *,
    call: str,
) -> np.ndarray:
    """Compute the embeddings of the customer's windows of a call, without adaptation to a line.

    Args:
        blocks: Arrays ``(n_samples, n_channels)`` of any lengths.
        sample_rate: Rate in Hz.
        n_channels: Number of channels.
        predictor: A model with an encoder.
        settings: How calls are scored.
        call: Name of the call.

    Returns:
        Shape ``(n_windows, n_features)``; windows out of domain are left out.

    Raises:
        AudioError: If the customer's channel is missing.
    """
    plain = settings.model_copy(update={"line_calls": 0})
    roles = _channel_roles(n_channels, settings, call)
    channel = next(channel for channel, role in roles.items() if role != AGENT)
    stream = ChannelStream(predictor, sample_rate, plain)
    windows = [stream.embed(block[:, channel]) for block in blocks]
    windows.append(stream.embed(None))
    return np.concatenate(windows)


def embed_recording(
    path: str | os.PathLike[str], predictor: EmotionPredictor, settings: CallSettings
) -> np.ndarray:
    """Compute the embeddings of the customer's windows of a recording, see :func:`embed_blocks`.

    Recordings that cannot be used have no windows.
    """
    try:
        with open_recording(path, limits=settings.limits) as recording:
            return embed_blocks(
                recording.blocks(),
                recording.sample_rate,
                recording.channels,
                predictor,
                settings,
                call=os.path.basename(path),
            )
    except (AudioError, FetchError):
        return np.empty((0, 0), dtype=np.float32)
    except Exception:  # the call is rejected when it is scored
        logger.exception("%s: encoding failed", path)
        return np.empty((0, 0), dtype=np.float32)


class _CallScorer:
    """Score the channels that have a role, and detect speech in all others.

    Args:
        roles: Channel role of each channel to score.
        sample_rate: Rate in Hz.
        n_channels: Number of channels.
        predictor: The model.
        settings: How calls are scored.
        line: Mean embedding of the center's line.

    Attributes:
        peaks: Highest absolute sample of each channel.
    """

    def __init__(
        self,
        roles: dict[int, str],
        sample_rate: int,
        n_channels: int,
        predictor: EmotionPredictor,
        settings: CallSettings,
        line: LineMean | None,
    ):
        self._roles, self._sample_rate = roles, sample_rate
        self._streams = {
            channel: ChannelStream(
                predictor, sample_rate, settings, batch=settings.batch, line=line
            )
            for channel in roles
        }
        self._others = {
            channel: ActivityStream(sample_rate)
            for channel in range(n_channels)
            if channel not in roles
        }
        self._windows: list[tuple[int, ScoredWindow]] = []
        self._speech_frames = dict.fromkeys(roles, 0)
        self._n_samples = self._n_frames = self._silent_frames = 0
        self.peaks = np.zeros(n_channels)

    @property
    def seconds(self) -> float:
        """Duration of the call so far."""
        return self._n_samples / self._sample_rate

    def push(self, block: np.ndarray) -> None:
        """Add samples, shape ``(n_samples, n_channels)``."""
        self._n_samples += len(block)
        self.peaks = np.maximum(self.peaks, np.abs(block).max(axis=0, initial=0))
        for channel, stream in self._streams.items():
            self._windows += [(channel, window) for window in stream.push(block[:, channel])]
        for channel, activity in self._others.items():
            activity.push(block[:, channel])
        self._count_speech()

    def close(self) -> None:
        """End all channels."""
        for channel, stream in self._streams.items():
            self._windows += [(channel, window) for window in stream.close()]
        for activity in self._others.values():
            activity.close()
        self._count_speech()

    def _count_speech(self) -> None:
        speech = {
            channel: stream.speech for channel, stream in (self._streams | self._others).items()
        }
        for channel in self._roles:
            self._speech_frames[channel] += int(speech[channel].sum())
        self._silent_frames += int((~np.logical_or.reduce(list(speech.values()))).sum())
        self._n_frames += len(next(iter(speech.values())))

    def window_table(self, call: str, labels: tuple[str, ...]) -> pd.DataFrame:
        """Return all windows, by channel and time."""
        rows = [(call, channel, self._roles[channel], window) for channel, window in self._windows]
        return _window_table(rows, labels).sort_values(["channel", "start_s"], ignore_index=True)

    def channel_table(self, call: str, path: str) -> pd.DataFrame:
        """Return one row per scored channel."""
        n_frames = max(self._n_frames, 1)
        rows = [
            {
                "call": call,
                "path": path,
                "channel": channel,
                "channel_role": role,
                "minutes": self.seconds / 60,
                "talk_share": self._speech_frames[channel] / n_frames,
                "silence_share": self._silent_frames / n_frames,
                "reason": "",
            }
            for channel, role in self._roles.items()
        ]
        return pd.DataFrame(rows, columns=CHANNEL_COLUMNS)


def _channel_roles(n_channels: int, settings: CallSettings, call: str) -> dict[int, str]:
    """Return the role of each channel to score."""
    if n_channels == 1:
        return {0: MIXED}
    customer = settings.customer_channel
    if customer >= n_channels:
        reason = (
            f"has {n_channels} channels, numbered from 0: there is no customer_channel {customer}"
        )
        raise AudioError(call, reason)
    roles = {customer: CUSTOMER}
    if settings.score_agent:
        roles |= {channel: AGENT for channel in range(n_channels) if channel != customer}
    return roles


def _check_call(
    seconds: float,
    peaks: np.ndarray,
    roles: dict[int, str],
    settings: CallSettings,
    source: str,
) -> None:
    if seconds < settings.min_call_s:
        reason = (
            f"too short to score: {seconds:.1f} s, at least {settings.min_call_s:g} s are needed"
        )
        raise AudioError(source, reason)
    if peaks.max() < SILENCE:
        raise AudioError(source, "silent: no channel contains sound; replace it")
    for channel, role in roles.items():
        if role == CUSTOMER and peaks[channel] < SILENCE:
            reason = f"channel {channel}, the customer's, is silent and another one is not"
            raise AudioError(source, f"{reason}: check calls.customer_channel")


def _window_table(
    windows: list[tuple[str, int, str, ScoredWindow]], labels: tuple[str, ...]
) -> pd.DataFrame:
    rows = [
        (
            call,
            channel,
            role,
            window.start_s,
            window.end_s,
            window.speech_share,
            *window.probabilities,
            window.emotion,
            window.confidence,
            window.score,
            window.flagged,
            window.out_of_domain,
            window.snr_db,
        )
        for call, channel, role, window in windows
    ]
    table = pd.DataFrame(rows, columns=window_columns(labels))
    types = {"call": "str", "channel_role": "str", "emotion": "str", "out_of_domain": "str"}
    types |= {"channel": "int64", "flagged": "bool"}
    return table.astype({name: types.get(name, "float64") for name in table})
