"""Score recordings: windows, channels, summaries and passages as tables."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from speech_emotion.audio import AudioError, open_recording
from speech_emotion.call_scoring.activity import PARTY_MEASURES
from speech_emotion.call_scoring.inspection import Inspection, inspect_recording
from speech_emotion.call_scoring.line import LineMean
from speech_emotion.call_scoring.roles import Roles, assign_roles
from speech_emotion.call_scoring.settings import CallSettings
from speech_emotion.call_scoring.stream import ChannelStream, ScoredWindow
from speech_emotion.models import EmotionPredictor
from speech_emotion.runtime import FetchError

logger = logging.getLogger(__name__)

__all__ = [
    "CHANNEL_COLUMNS",
    "ScoredCall",
    "embed_blocks",
    "embed_inspected",
    "score_blocks",
    "score_inspected",
    "score_recording",
    "window_columns",
]

CHANNEL_COLUMNS: Final = [
    "call",
    "path",
    "channel",
    "party",
    "channel_role",
    "customer_known_by",
    "layout",
    "minutes",
    *PARTY_MEASURES,
    "scored",
    "unknown",
    "reason",
]


@dataclass(frozen=True)
class ScoredCall:
    """Scores of one recording.

    Attributes:
        windows: One row per window, columns of :func:`window_columns`; no rows if the recording was
            rejected, or if the customer is unknown.
        channels: One row per party, columns :data:`CHANNEL_COLUMNS`: whether it was ``scored``, and why the
            customer is ``unknown``. A rejected recording has one row with its ``reason``.
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
        "bandwidth_hz",
        "novelty",
    ]


def score_recording(
    path: str | os.PathLike[str],
    predictor: EmotionPredictor,
    settings: CallSettings,
    *,
    call: str | None = None,
    line: LineMean | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> ScoredCall:
    """Inspect a recording, and score the customer, and the other parties if the settings say so.

    Args:
        path: Path or URL (``s3://…``) of the recording.
        predictor: The model.
        settings: How calls are scored.
        call: Name of the call; the file name by default.
        line: Mean embedding of the center's line, see :class:`ChannelStream`.
        metadata: Metadata of the call, see :func:`assign_roles`.

    Returns:
        Windows and channels. Recordings that cannot be used are rejected, not raised.

    Example:
        >>> scored = score_recording("call.wav", predictor, CallSettings())  # doctest: +SKIP
        >>> scored.windows[["start_s", "emotion", "flagged"]]  # doctest: +SKIP
    """
    inspection = inspect_recording(path, settings, predictor)
    roles = assign_roles(inspection, settings, metadata)
    return score_inspected(path, inspection, roles, predictor, settings, call=call, line=line)


def score_inspected(
    path: str | os.PathLike[str],
    inspection: Inspection,
    roles: Roles,
    predictor: EmotionPredictor,
    settings: CallSettings,
    *,
    call: str | None = None,
    line: LineMean | None = None,
) -> ScoredCall:
    """Score an inspected recording whose customer is known, see :func:`score_recording`."""
    name = call or os.path.basename(path)
    if reason := inspection.reason or roles.rejected:
        return reject_call(name, path, reason, predictor.labels, unread=inspection.unread)
    try:
        with open_recording(path, limits=settings.limits) as recording:
            return score_blocks(
                recording.blocks(),
                recording.sample_rate,
                inspection,
                roles,
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
    row = {"call": call, "path": str(path), "channel": -1, "party": -1, "reason": reason}
    row |= {"channel_role": "", "customer_known_by": "", "layout": "", "unknown": ""}
    table = pd.DataFrame([row | {"scored": False}]).reindex(columns=CHANNEL_COLUMNS)
    return ScoredCall(_window_table([], labels), table, unread=unread)


def score_blocks(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    inspection: Inspection,
    roles: Roles,
    predictor: EmotionPredictor,
    settings: CallSettings,
    *,
    call: str,
    path: str = "",
    line: LineMean | None = None,
) -> ScoredCall:
    """Score an inspected call from blocks of samples.

    Args:
        blocks: Arrays ``(n_samples, n_channels)`` of any lengths.
        sample_rate: Rate in Hz.
        inspection: Result of :func:`inspect_blocks`.
        roles: Result of :func:`assign_roles`.
        predictor: The model.
        settings: How calls are scored.
        call: Name of the call.
        path: Path of the recording.
        line: Mean embedding of the center's line, see :class:`ChannelStream`.
    """
    parties = roles.scored(settings)
    streams = [
        _stream(inspection, number, sample_rate, predictor, settings, line) for number in parties
    ]
    channels = [inspection.parties[number].channel for number in parties]
    windows: list[list[ScoredWindow]] = [[] for _ in parties]
    for block in blocks if parties else ():
        for position, stream in enumerate(streams):
            windows[position] += stream.push(block[:, channels[position]])
    for position, stream in enumerate(streams):
        windows[position] += stream.close()
    rows = [
        (call, channels[position], roles.roles[number], window)
        for position, number in enumerate(parties)
        for window in windows[position]
    ]
    table = _window_table(rows, predictor.labels)
    table = table.sort_values(["channel", "start_s"], kind="stable", ignore_index=True)
    return ScoredCall(table, _channel_table(inspection, roles, settings, call, path))


def embed_blocks(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    inspection: Inspection,
    roles: Roles,
    predictor: EmotionPredictor,
    settings: CallSettings,
) -> np.ndarray:
    """Compute the embeddings of the customer's windows of a call, without adaptation to a line.

    Args:
        blocks: Arrays ``(n_samples, n_channels)`` of any lengths.
        sample_rate: Rate in Hz.
        inspection: Result of :func:`inspect_blocks`.
        roles: Result of :func:`assign_roles`.
        predictor: A model with an encoder.
        settings: How calls are scored.

    Returns:
        Shape ``(n_windows, n_features)``; windows out of domain are left out. No rows if the customer is
        unknown.
    """
    parties = roles.scored(settings)
    if not parties:
        return np.empty((0, 0), dtype=np.float32)
    plain = settings.model_copy(update={"line_calls": 0})
    channel = inspection.parties[parties[0]].channel
    stream = _stream(inspection, parties[0], sample_rate, predictor, plain, None)
    windows = [stream.embed(block[:, channel]) for block in blocks]
    windows.append(stream.embed(None))
    return np.concatenate(windows)


def embed_inspected(
    path: str | os.PathLike[str],
    inspection: Inspection,
    roles: Roles,
    predictor: EmotionPredictor,
    settings: CallSettings,
) -> np.ndarray:
    """Compute the embeddings of the customer's windows of a recording, see :func:`embed_blocks`.

    Recordings that cannot be used have no windows.
    """
    if inspection.reason or roles.rejected:
        return np.empty((0, 0), dtype=np.float32)
    try:
        with open_recording(path, limits=settings.limits) as recording:
            return embed_blocks(
                recording.blocks(), recording.sample_rate, inspection, roles, predictor, settings
            )
    except (AudioError, FetchError):
        return np.empty((0, 0), dtype=np.float32)
    except Exception:  # the call is rejected when it is scored
        logger.exception("%s: encoding failed", path)
        return np.empty((0, 0), dtype=np.float32)


def _stream(
    inspection: Inspection,
    number: int,
    sample_rate: int,
    predictor: EmotionPredictor,
    settings: CallSettings,
    line: LineMean | None,
) -> ChannelStream:
    return ChannelStream(
        predictor,
        sample_rate,
        settings,
        batch=settings.batch,
        line=line,
        mask=inspection.parties[number].mask(inspection.n_frames),
    )


def _channel_table(
    inspection: Inspection, roles: Roles, settings: CallSettings, call: str, path: str
) -> pd.DataFrame:
    """Return one row per party."""
    scored = roles.scored(settings)
    rows = [
        {
            "call": call,
            "path": path,
            "channel": party.channel,
            "party": number,
            "channel_role": roles.roles[number],
            "customer_known_by": roles.known_by,
            "layout": inspection.layout,
            "minutes": inspection.seconds / 60,
            **party.measures,
            "scored": number in scored,
            "unknown": roles.unknown,
            "reason": "",
        }
        for number, party in enumerate(inspection.parties)
    ]
    return pd.DataFrame(rows, columns=CHANNEL_COLUMNS)


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
            window.bandwidth_hz,
            window.novelty,
        )
        for call, channel, role, window in windows
    ]
    table = pd.DataFrame(rows, columns=window_columns(labels))
    types = {"call": "str", "channel_role": "str", "emotion": "str", "out_of_domain": "str"}
    types |= {"channel": "int64", "flagged": "bool"}
    return table.astype({name: types.get(name, "float64") for name in table})
