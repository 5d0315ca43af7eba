"""Recalibrate the probability of anger and the threshold with verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from speech_emotion.call_scoring import FlagSettings, flag_again
from speech_emotion.feedback.evaluation import false_alarms_per_hour
from speech_emotion.feedback.items import CALIBRATION, Judged
from speech_emotion.feedback.settings import FeedbackSettings
from speech_emotion.models import PlattScaling, fit_platt

__all__ = ["Operation", "Recalibration", "flagged_items", "recalibrate"]

KEYS: Final = ["call", "channel"]


@dataclass(frozen=True)
class Operation:
    """How calls are flagged.

    Attributes:
        threshold: Score from which a window counts towards the flag.
        scaling: Recalibration of the probability of anger; ``None`` for the one of the model.
    """

    threshold: float
    scaling: PlattScaling | None = None


@dataclass(frozen=True)
class Recalibration:
    """A recalibrated operation, or why there is none.

    Attributes:
        current: How calls were flagged.
        proposed: The recalibrated operation; ``None`` if the verdicts do not allow one.
        reason: Why there is none; empty if there is.
    """

    current: Operation
    proposed: Operation | None
    reason: str = ""


def flagged_items(
    items: pd.DataFrame, windows: pd.DataFrame, operation: Operation, settings: FlagSettings
) -> np.ndarray:
    """Return which judged items an operation would flag, shape ``(n,)``.

    The stored windows of each channel are scored and flagged anew. An item is flagged if one of its
    windows is.

    Args:
        items: Items of :class:`speech_emotion.feedback.Judged`.
        windows: Windows of their calls: ``call``, ``channel``, ``start_s``, ``end_s``,
            ``out_of_domain``, and the probability of the target.
        operation: Threshold and scaling.
        settings: Target, smoothing and number of consecutive windows.
    """
    rows = rescored(windows, operation, settings)
    again = flag_again(rows, operation.threshold, settings)
    flagged = again[again["flagged"]]
    by_channel = dict(tuple(flagged.groupby(KEYS)))
    found = []
    for item in items[[*KEYS, "start_s", "end_s"]].itertuples(index=False):
        own = by_channel.get((item.call, item.channel))
        inside = own is not None and (own["end_s"] > item.start_s) & (own["start_s"] < item.end_s)
        found.append(bool(np.any(inside)))
    return np.array(found, dtype=bool)


def rescored(windows: pd.DataFrame, operation: Operation, settings: FlagSettings) -> pd.DataFrame:
    """Windows in the order of time with the smoothed score of the scaled probability."""
    rows = windows.sort_values([*KEYS, "start_s"]).reset_index(drop=True)
    probability = rows[f"p_{settings.target}"].to_numpy(dtype=float)
    if operation.scaling is not None:
        probability = operation.scaling(probability)
    scores = pd.Series(probability, index=rows.index)
    inside = rows["out_of_domain"] == ""
    smoothed = (
        scores[inside]
        .groupby([rows.loc[inside, key] for key in KEYS])
        .transform(lambda values: values.rolling(settings.smoothing, min_periods=1).mean())
    )
    return rows.assign(score=smoothed.reindex(rows.index))


def recalibrate(
    judged: Judged,
    windows: pd.DataFrame,
    current: Operation,
    flags: FlagSettings,
    settings: FeedbackSettings,
) -> Recalibration:
    """Fit the probability of anger to the verdicts, and choose the threshold by false alarms.

    Only the calibration part is used. The threshold is the lowest one with at most
    ``settings.false_alarms_per_hour``.

    Args:
        judged: Items with verdicts.
        windows: Windows of their calls.
        current: How the calls were flagged.
        flags: How windows become flags.
        settings: False alarms, number of verdicts and of thresholds.
    """
    items = judged.items[judged.items["part"] == CALIBRATION]
    n_angry = int((items["angry"] > 0.5).sum())
    n_other = len(items) - n_angry
    if min(n_angry, n_other) < settings.min_verdicts:
        return Recalibration(
            current,
            None,
            f"{n_angry} angry and {n_other} other items have verdicts in the calibration part, and "
            f"{settings.min_verdicts} of each are needed: review more calls, or lower "
            "feedback.min_verdicts",
        )
    scaling = fit_platt(
        items["score"].to_numpy(), items["angry"].to_numpy(), items["weight"].to_numpy()
    )
    if scaling.slope <= 0:
        return Recalibration(
            current,
            None,
            "angry items have no higher scores than others: the scores of this model do not tell them "
            "apart on these calls, so no threshold helps",
        )
    of_judged = windows.merge(items[KEYS].drop_duplicates(), on=KEYS, how="inner")
    scored = of_judged.loc[of_judged["out_of_domain"] == "", f"p_{flags.target}"].to_numpy(float)
    candidates = scaling(np.unique(np.quantile(scored, np.linspace(0.5, 1, settings.thresholds))))
    best = 1.0  # flags nothing
    for threshold in candidates[::-1]:
        operation = Operation(float(threshold), scaling)
        flagged = flagged_items(items, of_judged, operation, flags)
        alarms = false_alarms_per_hour(items, flagged, judged.hours[CALIBRATION])
        if alarms > settings.false_alarms_per_hour:
            break
        best = float(threshold)
    return Recalibration(current, Operation(best, scaling))
