"""Score recordings: windows, channels, summaries and passages as tables."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from speech_emotion.audio import SILENCE, AudioError
from speech_emotion.call_scoring.recordings import open_recording
from speech_emotion.call_scoring.settings import CallSettings
from speech_emotion.call_scoring.stream import ChannelStream, ScoredWindow
from speech_emotion.call_scoring.voice_activity import ActivityDetector, block_length
from speech_emotion.models import EmotionPredictor
from speech_emotion.runtime import FetchError

__all__ = [
    "AGENT",
    "CHANNEL_COLUMNS",
    "CUSTOMER",
    "MIXED",
    "ScoredCall",
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
    """What was found in one recording.

    Attributes:
        windows: One row a window, columns of :func:`window_columns`; without rows if the recording was
            rejected.
        channels: One row a scored channel, columns of :data:`CHANNEL_COLUMNS`; a rejected recording
            has one row with its ``reason``.
        unread: Whether it was rejected because an object store failed: scored again, it may do.
    """

    windows: pd.DataFrame
    channels: pd.DataFrame
    unread: bool = False


def window_columns(labels: Iterable[str]) -> list[str]:
    """Columns of the table of windows."""
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
) -> ScoredCall:
    """Score the customer's channel of a recording, and the others if asked.

    Args:
        path: Path or URL (``s3://…``) of the recording.
        predictor: The model.
        settings: How calls are scored.
        call: Name of the call; the file's without it.

    Returns:
        Windows and channels; a recording that cannot be used is rejected in the channels.
    """
    name = call or os.path.basename(path)
    try:
        with open_recording(path) as recording:
            return score_blocks(
                recording.blocks(),
                recording.sample_rate,
                recording.channels,
                predictor,
                settings,
                call=name,
                path=str(path),
            )
    except (AudioError, FetchError) as error:
        rejected = {
            "call": name,
            "path": str(path),
            "channel": -1,
            "channel_role": "",
            "reason": error.reason if isinstance(error, AudioError) else str(error),
        }
        table = pd.DataFrame([rejected]).reindex(columns=CHANNEL_COLUMNS)
        windows = _window_table([], predictor.labels)
        return ScoredCall(windows, table, unread=isinstance(error, FetchError))


def score_blocks(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    n_channels: int,
    predictor: EmotionPredictor,
    settings: CallSettings,
    *,
    call: str,
    path: str = "",
) -> ScoredCall:
    """Score a call that comes in blocks.

    Args:
        blocks: Arrays ``(n_samples, n_channels)`` of any lengths.
        sample_rate: Rate in Hz.
        n_channels: Number of channels.
        predictor: The model.
        settings: How calls are scored.
        call: Name of the call.
        path: Where it comes from.

    Raises:
        AudioError: If the call is too short, lacks the customer's channel, or is silent in it.
    """
    roles = _channel_roles(n_channels, settings, call)
    streams = {
        channel: ChannelStream(predictor, sample_rate, settings, batch=settings.batch)
        for channel in roles
    }
    others = {
        channel: _Activity(sample_rate) for channel in range(n_channels) if channel not in roles
    }
    windows: list[tuple[int, ScoredWindow]] = []
    talk = dict.fromkeys(roles, 0)
    count = frames = silent = 0
    peaks = np.zeros(n_channels)

    def tally() -> None:
        nonlocal frames, silent
        spoken = {channel: stream.speech for channel, stream in (streams | others).items()}
        for channel in roles:
            talk[channel] += int(spoken[channel].sum())
        silent += int((~np.logical_or.reduce(list(spoken.values()))).sum())
        frames += len(next(iter(spoken.values())))

    for block in blocks:
        count += len(block)
        peaks = np.maximum(peaks, np.abs(block).max(axis=0, initial=0))
        for channel, stream in streams.items():
            windows += [(channel, window) for window in stream.push(block[:, channel])]
        for channel, activity in others.items():
            activity.push(block[:, channel])
        tally()
    for channel, stream in streams.items():
        windows += [(channel, window) for window in stream.close()]
    for activity in others.values():
        activity.close()
    tally()
    _check_heard(count / sample_rate, peaks, roles, settings, path or call)
    table = _window_table(
        [(call, channel, roles[channel], window) for channel, window in windows],
        predictor.labels,
    ).sort_values(["channel", "start_s"], ignore_index=True)
    channels = [
        {
            "call": call,
            "path": path,
            "channel": channel,
            "channel_role": channel_role,
            "minutes": count / sample_rate / 60,
            "talk_share": talk[channel] / max(frames, 1),
            "silence_share": silent / max(frames, 1),
            "reason": "",
        }
        for channel, channel_role in roles.items()
    ]
    return ScoredCall(table, pd.DataFrame(channels, columns=CHANNEL_COLUMNS))


class _Activity:
    """Follow where speech is in a channel whose emotions are not looked at."""

    def __init__(self, sample_rate: int):
        self._detector = ActivityDetector(sample_rate)
        self._size = block_length(sample_rate)
        self._pending = np.empty(0, dtype=np.float32)
        self.speech = np.empty(0, dtype=bool)

    def push(self, samples: np.ndarray) -> None:
        self._pending = np.append(self._pending, samples)
        whole = len(self._pending) // self._size * self._size
        settled = [
            self._detector.push(self._pending[start : start + self._size]).speech
            for start in range(0, whole, self._size)
        ]
        self._pending = self._pending[whole:]
        self.speech = np.concatenate([np.empty(0, dtype=bool), *settled])

    def close(self) -> None:
        first = self._detector.push(self._pending).speech
        self.speech = np.append(first, self._detector.close().speech)


def _channel_roles(channels: int, settings: CallSettings, call: str) -> dict[int, str]:
    """Party of each channel that is scored."""
    if channels == 1:
        return {0: MIXED}
    if settings.customer_channel >= channels:
        raise AudioError(
            call,
            f"has {channels} channels, numbered from 0: there is no customer_channel "
            f"{settings.customer_channel}",
        )
    roles = {settings.customer_channel: CUSTOMER}
    if settings.score_agent:
        roles |= {
            channel: AGENT for channel in range(channels) if channel != settings.customer_channel
        }
    return roles


def _check_heard(
    seconds: float,
    peaks: np.ndarray,
    roles: dict[int, str],
    settings: CallSettings,
    source: str,
) -> None:
    if seconds < settings.min_call_s:
        said = f"{seconds:.1f} s are too short to say anything of; calls have "
        raise AudioError(source, f"{said}{settings.min_call_s:g} s or more")
    if peaks.max() < SILENCE:
        raise AudioError(source, "silent: nothing can be heard in any channel; replace it")
    for channel, channel_role in roles.items():
        if channel_role == CUSTOMER and peaks[channel] < SILENCE:
            said = f"channel {channel}, the customer's, is silent and another is not"
            raise AudioError(source, f"{said}: check calls.customer_channel")


def _window_table(
    windows: list[tuple[str, int, str, ScoredWindow]], labels: tuple[str, ...]
) -> pd.DataFrame:
    rows = [
        (
            call,
            channel,
            channel_role,
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
        for call, channel, channel_role, window in windows
    ]
    table = pd.DataFrame(rows, columns=window_columns(labels))
    kinds = {"call": "str", "channel_role": "str", "emotion": "str", "out_of_domain": "str"}
    kinds |= {"channel": "int64", "flagged": "bool"}
    return table.astype({name: kinds.get(name, "float64") for name in table})
