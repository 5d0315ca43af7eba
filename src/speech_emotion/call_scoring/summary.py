"""Summarize a call: emotion shares, flagged passages, one flag per channel and its reason in words."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from speech_emotion.call_scoring.clock import format_clock
from speech_emotion.call_scoring.flags import PASSAGE_COLUMNS, find_passages, sustained_score
from speech_emotion.call_scoring.settings import CallSettings, QualitySettings

__all__ = ["CALM", "PASSAGES", "REVIEW", "summarize"]

REVIEW: Final = "review"
CALM: Final = "calm"
PASSAGES: Final = ["call", "path", "channel", *PASSAGE_COLUMNS]
CHANNEL: Final = [
    "call",
    "path",
    "channel",
    "channel_role",
    "minutes",
    "talk_share",
    "silence_share",
]


def summarize(
    channels: pd.DataFrame,
    windows: pd.DataFrame,
    settings: CallSettings,
    *,
    labels: tuple[str, ...],
    threshold: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Summarize every scored channel.

    Args:
        channels: Table of :class:`~speech_emotion.call_scoring.ScoredCall` without rejected recordings.
        windows: Windows of the same calls.
        settings: How calls are scored.
        labels: Labels of the model.
        threshold: Threshold that the windows were flagged with.

    Returns:
        The summary, one row per channel, and the flagged passages, columns :data:`PASSAGES`. In the
        summary, ``share_<label>`` is the share of scored windows with that emotion; ``trend`` the mean
        score of the last third of the scored windows minus that of the first third; ``score`` the
        highest score; ``flag`` the target, ``calm``, or ``review`` if a person should listen.
    """
    target = settings.flags.target
    summaries, passages = [], []
    by_channel = dict(list(windows.groupby(["call", "channel"], sort=False)))
    for channel in channels.to_dict("records"):
        key = (channel["call"], channel["channel"])
        of_channel = by_channel.get(key, windows.iloc[:0])
        scored = of_channel[of_channel["out_of_domain"] == ""]
        found = find_passages(scored, threshold, settings.flags)
        passages.append(found.assign(**{name: channel[name] for name in PASSAGES[:3]}))
        row: dict[str, Any] = {name: channel[name] for name in CHANNEL}
        row |= _statistics(scored, found, labels, target)
        speech_s = channel["talk_share"] * channel["minutes"] * 60
        half = -(-settings.flags.consecutive // 2)  # rounded up
        unsure = sustained_score(scored["score"], half) >= threshold
        flag, reason = _decide(
            of_channel, found, row["score"], speech_s, settings, threshold, unsure=unsure
        )
        summaries.append(row | {"flag": flag, "threshold": threshold, "reason": reason})
    table = pd.DataFrame(summaries, columns=_columns(labels, target))
    found = pd.concat(passages, ignore_index=True) if passages else pd.DataFrame(columns=PASSAGES)
    return table, found[PASSAGES]


def _columns(labels: tuple[str, ...], target: str) -> list[str]:
    return [
        *CHANNEL,
        *(f"share_{label}" for label in labels),
        *(f"longest_{target}_s", f"first_{target}_s", "trend", "flag"),
        *("score", "threshold", "reason"),
    ]


def _statistics(
    scored: pd.DataFrame, passages: pd.DataFrame, labels: tuple[str, ...], target: str
) -> dict[str, float]:
    """Compute shares, lengths, trend and highest score from the scored windows of a channel."""
    shares = scored["emotion"].value_counts(normalize=True)
    third = max(len(scored) // 3, 1)
    return {
        **{f"share_{label}": float(shares.get(label, 0.0)) for label in labels},
        f"longest_{target}_s": float(passages["speech_s"].max()) if len(passages) else 0.0,
        f"first_{target}_s": float(passages["start_s"].min()) if len(passages) else np.nan,
        "trend": _mean(scored["score"].tail(third)) - _mean(scored["score"].head(third)),
        "score": float(scored["score"].max()) if len(scored) else 0.0,
    }


def _decide(
    windows: pd.DataFrame,
    passages: pd.DataFrame,
    score: float,
    speech_s: float,
    settings: CallSettings,
    threshold: float,
    *,
    unsure: bool,
) -> tuple[str, str]:
    """Return flag and reason of one channel.

    A channel is ``unsure`` if half of the windows that raise a flag are in a row above the threshold.
    """
    target, quality = settings.flags.target, settings.quality
    if speech_s < quality.min_speech_s or not len(windows):
        return REVIEW, f"too little speech to score: {speech_s:.0f} s in total"
    problems = _quality_problems(windows, quality)
    if len(passages):
        start = format_clock(passages["start_s"].iloc[0])
        span = format_clock(passages["end_s"].iloc[-1] - passages["start_s"].iloc[0])
        speech_s = passages["speech_s"].sum()
        speech = f"{speech_s:.0f} s" if speech_s < 60 else f"{format_clock(speech_s)} min"
        reason = f"{len(passages)} {target} passage{'s' if len(passages) > 1 else ''}: "
        reason += f"{speech} of {target} speech within {span}, "
        reason += f"from {start}, score up to {score:.2f}"
        return target, "; ".join([reason, *problems])
    if problems:
        return REVIEW, "; ".join(problems)
    if unsure:
        return REVIEW, f"unsure: {target} only briefly, score {score:.2f}"
    if score >= threshold:
        reason = f"too few windows in a row reach {threshold:.2f}, score up to {score:.2f}"
        return CALM, f"not {target}: {reason}"
    return CALM, f"not {target}: score at most {score:.2f}, flagged from {threshold:.2f}"


def _quality_problems(windows: pd.DataFrame, quality: QualitySettings) -> list[str]:
    """Describe why many windows of a channel are out of domain; empty if they are few."""
    outside = windows["out_of_domain"] != ""
    if outside.mean() < quality.max_out_of_domain:
        return []
    counts = windows.loc[outside, "out_of_domain"].value_counts()
    reasons = ", ".join(f"{reason} ({count})" for reason, count in counts.items())
    return [
        f"{outside.mean():.0%} of {len(windows)} windows were not scored: {reasons}; "
        f"speech is {windows['snr_db'].median():.0f} dB above the noise"
    ]


def _mean(values: pd.Series) -> float:
    return float(values.mean()) if len(values) else 0.0
