"""Items with verdicts: one row per passage or window that reviewers judged."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from speech_emotion.feedback.settings import FeedbackSettings

__all__ = [
    "CALIBRATION",
    "TEST",
    "Judged",
    "VerdictError",
    "callers_of",
    "collect_items",
    "part_of",
]

CALIBRATION: Final = "calibration"
TEST: Final = "test"
"""Values of column ``part``."""
ANGRY: Final = "angry"
NOT_ANGRY: Final = "not_angry"
PASSAGE: Final = "passage"
WINDOW: Final = "window"
NEEDED: Final = (
    "item_id",
    "call_id",
    "channel",
    "start_s",
    "end_s",
    "kind",
    "sampling_probability",
    "score",
    "model_version",
    "verdict",
    "superseded",
)

logger = logging.getLogger(__name__)


class VerdictError(ValueError):
    """The table of verdicts cannot be used."""


@dataclass(frozen=True)
class Judged:
    """Judged items of one model, and how much was scored.

    Attributes:
        items: One row per item: ``item_id``, ``call``, ``caller`` (see :func:`callers_of`), ``channel``,
            ``start_s``, ``end_s``, ``kind``, ``score``, ``angry`` (share of its verdicts), ``n_verdicts``,
            ``weight`` (1 over the sampling probability), ``seconds`` (of speech that it stands for before
            weighting), ``alarms`` (flagged passages that it stands for), ``part``
            (:data:`CALIBRATION` or :data:`TEST`).
        hours: Hours of scored calls, by part.
        excluded: ``reason`` and ``n`` of verdicts that are left out.
    """

    items: pd.DataFrame
    hours: dict[str, float]
    excluded: pd.DataFrame


def collect_items(
    verdicts: pd.DataFrame,
    summary: pd.DataFrame,
    *,
    model: str,
    step_s: float,
    passage_s: float,
    settings: FeedbackSettings,
) -> Judged:
    """Collect the items that verdicts on the calls of one model judge.

    Superseded verdicts, `cannot tell`, verdicts on whole calls, on calls that another model scored and on
    calls that are not stored any more are left out and counted. All items of a caller are in one part.

    Args:
        verdicts: Export of the review application.
        summary: Summary of scored calls: ``call``, ``channel``, ``minutes``, ``model``, and ``customer_id``
            if it is known.
        model: Title of the model, as in the summary.
        step_s: Seconds of speech from one window to the next, which an unflagged window stands for.
        passage_s: Seconds of the shortest passage; an unflagged window that another threshold would
            flag counts as ``step_s / passage_s`` alarms.
        settings: Share of the callers that are set aside for testing.

    Raises:
        VerdictError: If columns are missing.
    """
    if missing := [name for name in NEEDED if name not in verdicts]:
        raise VerdictError(
            f"The table of verdicts lacks {', '.join(missing)}: write it with speech-emotion review export"
        )
    scored = summary[summary["model"] == model]
    keys = set(zip(scored["call"].astype(str), scored["channel"].astype(int), strict=True))
    callers = callers_of(scored)
    call, channel = verdicts["call_id"].astype(str), verdicts["channel"].astype(int)
    stored = [key in keys for key in zip(call, channel, strict=True)]
    reasons = {
        "superseded by a later verdict": verdicts["superseded"].astype(bool),
        f"of another model than {model}": verdicts["model_version"] != model,
        "of a call that is not among the scored calls": ~pd.Series(stored, index=verdicts.index),
        "on a whole call": ~verdicts["kind"].isin([PASSAGE, WINDOW]),
        "cannot tell": ~verdicts["verdict"].isin([ANGRY, NOT_ANGRY]),
    }
    out = pd.Series(False, index=verdicts.index)
    excluded = []
    for reason, mask in reasons.items():
        excluded.append((reason, int((mask & ~out).sum())))
        out |= mask
    table = verdicts[~out].assign(
        call=call, channel=channel, angry=verdicts["verdict"] == ANGRY, n_verdicts=1
    )
    columns = ["call", "channel", "start_s", "end_s", "kind", "score", "sampling_probability"]
    items = table.groupby("item_id", sort=True).agg(
        dict.fromkeys(columns, "first") | {"angry": "mean", "n_verdicts": "sum"}
    )
    is_window = items["kind"] == WINDOW
    length = items["end_s"] - items["start_s"]
    items = items.assign(
        weight=1 / items["sampling_probability"],
        seconds=np.where(is_window, np.minimum(length, step_s), length),
        alarms=np.where(is_window, np.minimum(step_s / passage_s, 1.0), 1.0),
        caller=items["call"].map(callers),
    ).drop(columns="sampling_probability")
    items["part"] = [part_of(each, settings.test_share) for each in items["caller"]]
    minutes = scored["minutes"].groupby(
        [part_of(callers[call], settings.test_share) for call in scored["call"].astype(str)]
    )
    hours = {part: float(total) / 60 for part, total in minutes.sum().items()}
    return Judged(
        items.reset_index(),
        {part: hours.get(part, 0.0) for part in (CALIBRATION, TEST)},
        pd.DataFrame(excluded, columns=["reason", "n"]),
    )


def callers_of(summary: pd.DataFrame) -> dict[str, str]:
    """Return who calls in each call: ``customer_id``, or the call itself where it is unknown.

    Args:
        summary: Summary of scored calls.

    Example:
        >>> callers_of(pd.DataFrame({"call": ["a.wav", "b.wav"], "customer_id": ["17", ""]}))
        {'a.wav': 'customer 17', 'b.wav': 'call b.wav'}
    """
    calls = summary["call"].astype(str)
    if "customer_id" not in summary:
        return {call: f"call {call}" for call in calls}
    known = summary["customer_id"].fillna("").astype(str)
    return {
        call: f"customer {customer}" if customer else f"call {call}"
        for call, customer in zip(calls, known, strict=True)
    }


def part_of(caller: str, test_share: float) -> str:
    """Return the part of a caller, which does not depend on the other callers.

    Args:
        caller: Value of :func:`callers_of`.
        test_share: Share of the callers that are set aside for testing.

    Returns:
        :data:`CALIBRATION` or :data:`TEST`.
    """
    number = int.from_bytes(hashlib.sha256(caller.encode()).digest()[:8], "big")
    return TEST if number / 2**64 < test_share else CALIBRATION
