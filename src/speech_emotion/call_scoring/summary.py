"""What a whole call says: shares, passages, flag and the reason in words."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from speech_emotion.call_scoring.flags import passages_of
from speech_emotion.call_scoring.settings import CallSettings

__all__ = ["CALM", "PASSAGES", "REVIEW", "summarize"]

REVIEW: Final = "review"
CALM: Final = "calm"
PASSAGES: Final = ["call", "path", "channel", "start_s", "end_s", "peak"]


def summarize(
    channels: pd.DataFrame,
    windows: pd.DataFrame,
    settings: CallSettings,
    *,
    labels: tuple[str, ...],
    threshold: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Summarise every scored channel.

    Args:
        channels: Table of :class:`~speech_emotion.call_scoring.ScoredCall`, rejected recordings left out.
        windows: Windows of the same calls.
        settings: How calls are scored.
        labels: Labels of the model.
        threshold: Threshold that windows were flagged by.

    Returns:
        The summary, one row a channel, and the flagged passages. ``share_<label>`` is the share of the
        judged windows whose likeliest label it is; ``trend`` the mean score of the last third of the
        judged windows minus that of the first third; ``score`` the highest score; ``threshold`` the
        given one; ``flag`` the target,
        ``calm``, or ``review`` where a person has to listen.
    """
    target = settings.flags.target
    summaries, passages = [], []
    by_channel = dict(list(windows.groupby(["call", "channel"], sort=False)))
    for row in channels.itertuples():
        own = by_channel.get((row.call, row.channel), windows.iloc[:0])
        judged = own[own["out_of_domain"] == ""]
        found = passages_of(judged, threshold)
        passages.append(found.assign(call=row.call, path=row.path, channel=row.channel))
        lengths = found["end_s"] - found["start_s"]
        score = float(judged["score"].max()) if len(judged) else 0.0
        flag, reason = _decide(own, found, score, row, settings, threshold)
        counts = judged["emotion"].value_counts(normalize=True)
        third = max(len(judged) // 3, 1)
        summaries.append(
            {
                "call": row.call,
                "path": row.path,
                "channel": row.channel,
                "channel_role": row.channel_role,
                "minutes": row.minutes,
                "talk_share": row.talk_share,
                "silence_share": row.silence_share,
                **{f"share_{label}": float(counts.get(label, 0.0)) for label in labels},
                f"longest_{target}_s": float(lengths.max()) if len(found) else 0.0,
                f"first_{target}_s": float(found["start_s"].min()) if len(found) else np.nan,
                "trend": _mean(judged["score"].tail(third)) - _mean(judged["score"].head(third)),
                "flag": flag,
                "score": score,
                "threshold": threshold,
                "reason": reason,
            }
        )
    table = pd.DataFrame(summaries, columns=_columns(labels, target))
    found = pd.concat(passages, ignore_index=True) if passages else pd.DataFrame(columns=PASSAGES)
    return table, found[PASSAGES]


def _columns(labels: tuple[str, ...], target: str) -> list[str]:
    return [
        *("call", "path", "channel", "channel_role", "minutes", "talk_share", "silence_share"),
        *(f"share_{label}" for label in labels),
        *(f"longest_{target}_s", f"first_{target}_s", "trend", "flag"),
        *("score", "threshold", "reason"),
    ]


def _decide(
    own: pd.DataFrame,
    passages: pd.DataFrame,
    score: float,
    channel: object,
    settings: CallSettings,
    threshold: float,
) -> tuple[str, str]:
    """Flag and reason of one channel."""
    target, quality = settings.flags.target, settings.quality
    speech_s = channel.talk_share * channel.minutes * 60  # type: ignore[attr-defined]
    if speech_s < quality.min_speech_s or not len(own):
        return REVIEW, f"no speech to judge: {speech_s:.0f} s in all"
    doubts = _doubts(own, quality.max_out_of_domain)
    if len(passages):
        at = _clock(passages["start_s"].iloc[0])
        total = (passages["end_s"] - passages["start_s"]).sum()
        said = f"{len(passages)} {target} passage{'s' if len(passages) > 1 else ''}, "
        said += f"{total:.0f} s in all, the first at {at}, score up to {score:.2f}"
        return target, "; ".join([said, *doubts])
    if doubts:
        return REVIEW, "; ".join(doubts)
    if score >= threshold:
        return REVIEW, f"unsure: {target} for a moment only, score {score:.2f}"
    return CALM, f"nothing {target}: score at most {score:.2f}, flagged from {threshold:.2f}"


def _doubts(own: pd.DataFrame, most: float) -> list[str]:
    """Why too many of a channel's windows were not judged."""
    share = (own["out_of_domain"] != "").mean()
    if share < most:
        return []
    reasons = own.loc[own["out_of_domain"] != "", "out_of_domain"].value_counts()
    named = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
    said = f"{share:.0%} of {len(own)} windows were not judged: {named}"
    return [f"{said}; speech is {own['snr_db'].median():.0f} dB over the noise"]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _mean(values: pd.Series) -> float:
    return float(values.mean()) if len(values) else 0.0
