"""Summarize a call: emotion shares, flagged passages, one flag per channel and its reason in words."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import scipy.stats

from speech_emotion.call_scoring.activity import PARTY_MEASURES
from speech_emotion.call_scoring.flags import PASSAGE_COLUMNS, find_passages, sustained_score
from speech_emotion.call_scoring.settings import CallSettings, QualitySettings
from speech_emotion.clock import format_clock

__all__ = ["NOT_FLAGGED", "OLD_FLAGS", "PASSAGES", "REVIEW", "summarize"]

REVIEW: Final = "review"
NOT_FLAGGED: Final = "not_flagged"
OLD_FLAGS: Final = {"calm": NOT_FLAGGED}
"""Flags in results of older versions."""
PASSAGES: Final = ["call", "path", "channel", *PASSAGE_COLUMNS]
CHANNEL: Final = [
    "call",
    "path",
    "channel",
    "channel_role",
    "customer_known_by",
    "layout",
    "minutes",
    *PARTY_MEASURES,
]
QUARTERS: Final = (1, 2, 3, 4)
CALMER: Final = "calmer"
ANGRIER: Final = "angrier"
UNCHANGED: Final = "unchanged"
TOO_LITTLE: Final = "too little speech"
MIN_TREND_WINDOWS: Final = 4
"""Windows in the first and in the last third from which a change is told: 7 s of speech each."""
MIN_QUARTER_WINDOWS: Final = 2
INTERVAL: Final = 0.95


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
        The summary, one row per scored party, or one per call without one; and the flagged passages,
        columns :data:`PASSAGES`. In the summary, ``share_<label>`` is the share of scored windows with that
        emotion; ``<label>_q1`` to ``<label>_q4`` the mean probability of the label in the quarters of the
        call, missing with fewer than two windows; ``trend`` the mean probability of the target in the last
        third of the scored windows minus that in the first third, with a 95 % interval from ``trend_low`` to
        ``trend_high``; ``at_end`` ``calmer`` or ``angrier`` if the interval excludes 0, else ``unchanged``
        or ``too little speech``; ``score`` the highest score, missing if no window was
        scored; ``flag`` the target, ``not_flagged``, or ``review`` if a person should listen.
    """
    target = settings.flags.target
    summaries, passages = [], []
    by_channel = dict(list(windows.groupby(["call", "channel"], sort=False)))
    scored_parties = channels["scored"].astype(bool)
    without = ~channels["call"].isin(channels.loc[scored_parties, "call"])
    nobody = without & ~channels["call"].duplicated()
    for channel in channels[scored_parties | nobody].to_dict("records"):
        key = (channel["call"], channel["channel"])
        of_channel = by_channel.get(key, windows.iloc[:0])
        scored = of_channel[of_channel["out_of_domain"] == ""]
        found = find_passages(scored, threshold, settings.flags)
        passages.append(found.assign(**{name: channel[name] for name in PASSAGES[:3]}))
        row: dict[str, Any] = {name: channel[name] for name in CHANNEL}
        row |= _statistics(scored, found, labels, target)
        row |= _by_quarter(scored, labels, channel["minutes"] * 60)
        row |= _trend(scored["score"].to_numpy())
        speech_s = channel["talk_share"] * channel["minutes"] * 60
        half = -(-settings.flags.consecutive // 2)  # rounded up
        unsure = sustained_score(scored["score"], half) >= threshold
        flag, reason = _decide(
            of_channel, found, row["score"], speech_s, settings, threshold, unsure=unsure
        )
        if channel["unknown"]:
            flag, reason = REVIEW, f"not scored: {channel['unknown']}"
        summaries.append(row | {"flag": flag, "threshold": threshold, "reason": reason})
    table = pd.DataFrame(summaries, columns=_columns(labels, target))
    found = pd.concat(passages, ignore_index=True) if passages else pd.DataFrame(columns=PASSAGES)
    return table, found[PASSAGES]


def _columns(labels: tuple[str, ...], target: str) -> list[str]:
    return [
        *CHANNEL,
        *(f"share_{label}" for label in labels),
        *(f"{label}_q{quarter}" for quarter in QUARTERS for label in labels),
        *(f"longest_{target}_s", f"first_{target}_s", "trend", "trend_low", "trend_high", "at_end"),
        *("flag", "score", "threshold", "reason"),
    ]


def _statistics(
    scored: pd.DataFrame, passages: pd.DataFrame, labels: tuple[str, ...], target: str
) -> dict[str, float]:
    """Compute shares, lengths, trend and highest score from the scored windows of a channel."""
    shares = scored["emotion"].value_counts(normalize=True)
    none = 0.0 if len(scored) else np.nan
    return {
        **{f"share_{label}": float(shares.get(label, none)) for label in labels},
        f"longest_{target}_s": float(passages["speech_s"].max()) if len(passages) else 0.0,
        f"first_{target}_s": float(passages["start_s"].min()) if len(passages) else np.nan,
        "score": float(scored["score"].max()) if len(scored) else np.nan,
    }


def _by_quarter(scored: pd.DataFrame, labels: tuple[str, ...], seconds: float) -> dict[str, float]:
    """Compute the mean probability of each label in each quarter of the call."""
    middle = (scored["start_s"] + scored["end_s"]) / 2
    quarter = np.clip((middle / max(seconds, 1e-9) * 4).astype(int) + 1, 1, 4)
    values = {}
    for number in QUARTERS:
        windows = scored[quarter == number]
        enough = len(windows) >= MIN_QUARTER_WINDOWS
        for label in labels:
            values[f"{label}_q{number}"] = float(windows[f"p_{label}"].mean()) if enough else np.nan
    return values


def _trend(scores: np.ndarray) -> dict[str, Any]:
    """Compare the last third of the windows with the first one (Welch's interval).

    Windows overlap by half, so each counts as half an observation.
    """
    third = len(scores) // 3
    if third < MIN_TREND_WINDOWS:
        return {"trend": np.nan, "trend_low": np.nan, "trend_high": np.nan, "at_end": TOO_LITTLE}
    first, last = scores[:third], scores[-third:]
    difference = float(last.mean() - first.mean())
    n = third / 2
    first_part, last_part = first.var(ddof=1) / n, last.var(ddof=1) / n
    error = float(np.sqrt(first_part + last_part))
    degrees = (first_part + last_part) ** 2 / max(first_part**2 + last_part**2, 1e-18) * (n - 1)
    half = float(scipy.stats.t.ppf((1 + INTERVAL) / 2, max(degrees, 1.0))) * error
    low, high = difference - half, difference + half
    at_end = ANGRIER if low > 0 else CALMER if high < 0 else UNCHANGED
    return {"trend": difference, "trend_low": low, "trend_high": high, "at_end": at_end}


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
        return NOT_FLAGGED, f"not {target}: {reason}"
    return NOT_FLAGGED, f"not {target}: score at most {score:.2f}, flagged from {threshold:.2f}"


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
