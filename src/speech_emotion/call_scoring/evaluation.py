"""How well calls are flagged: test calls of known truth, scored as any recording is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pandas as pd

from speech_emotion.call_scoring.scoring import ScoredCall, score_blocks
from speech_emotion.call_scoring.settings import CallSettings
from speech_emotion.call_scoring.stream import threshold_of
from speech_emotion.call_scoring.summary import CALM, REVIEW, summarize
from speech_emotion.call_scoring.synthetic_calls import TestCall
from speech_emotion.models import EmotionPredictor

__all__ = ["METRICS", "call_metrics", "evaluate_calls", "measure_call"]

TOLERANCE_S: Final = 5.0
"""A flag that begins so soon after a passage still belongs to it: scores are means over windows."""
BLOCK_S: Final = 10.0
COUNTS: Final = ["passages", "found", "raised", "right", "hours"]
METRICS: Final = [
    "passage_precision",
    "passage_recall",
    "call_precision",
    "call_recall",
    "false_alarms_per_hour",
    "seconds_to_detect",
    "review_share",
]
GROUPS: Final = ["condition", "snr_db"]


def evaluate_calls(
    calls: Iterable[TestCall], predictor: EmotionPredictor, settings: CallSettings
) -> pd.DataFrame:
    """Score test calls one after the other, as any recording is.

    Args:
        calls: Test calls; one at a time is in memory.
        predictor: A model that has not learnt from their speakers.
        settings: How calls are scored.

    Returns:
        One row a call, see :func:`measure_call`.
    """
    threshold = threshold_of(predictor, settings)
    rows = []
    for call in calls:
        scored = score_blocks(
            _blocks(call), call.sample_rate, 2, predictor, settings, call=call.name
        )
        rows.append(measure_call(call, scored, settings, predictor.labels, threshold))
    return pd.DataFrame(rows)


def _blocks(call: TestCall) -> Iterator[np.ndarray]:
    size = round(BLOCK_S * call.sample_rate)
    for start in range(0, len(call.samples), size):
        yield call.samples[start : start + size]


def measure_call(
    call: TestCall,
    scored: ScoredCall,
    settings: CallSettings,
    labels: tuple[str, ...],
    threshold: float,
) -> dict[str, object]:
    """Compare the flags of one call with its truth.

    A true passage is found if a flagged one overlaps it or begins within :data:`TOLERANCE_S` after it;
    a flagged passage that finds none is a false alarm. The time to detect a passage is that from its
    start to the end of the first window inside it in which the flag is up.

    Returns:
        Facts of the call; ``passages`` that there are and ``found`` ones, passages that were
        ``raised`` and the ``right`` ones among them, ``delays`` in seconds, ``flag`` of the call and
        whether it is ``angry``.
    """
    summary, raised = summarize(
        scored.channels, scored.windows, settings, labels=labels, threshold=threshold
    )
    flagged = scored.windows[scored.windows["flagged"]]
    found, delays = 0, []
    for start, end in call.passages:
        hits = (raised["start_s"] <= end + TOLERANCE_S) & (raised["end_s"] > start)
        found += bool(hits.any())
        inside = flagged[(flagged["end_s"] > start) & (flagged["start_s"] <= end + TOLERANCE_S)]
        if hits.any() and len(inside):
            delays.append(float(inside["end_s"].iloc[0]) - start)
    right = sum(
        any(row.start_s <= end + TOLERANCE_S and row.end_s > start for start, end in call.passages)
        for row in raised.itertuples()
    )
    return {
        "call": call.name,
        "condition": call.condition,
        "snr_db": call.snr_db,
        "customer": call.speakers[0],
        "hours": call.samples.shape[0] / call.sample_rate / 3600,
        "angry": bool(call.passages),
        "flag": summary["flag"].iloc[0],
        "score": summary["score"].iloc[0],
        "passages": len(call.passages),
        "found": found,
        "raised": len(raised),
        "right": right,
        "delays": delays,
    }


def call_metrics(measured: pd.DataFrame, *, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Precision, recall, false alarms and delays, with 95 % intervals from a bootstrap over calls.

    Args:
        measured: Table of :func:`evaluate_calls`.
        resamples: Resamples of calls.
        seed: Seed of the resampling.

    Returns:
        One row a condition and signal-to-noise ratio, and one for ``all`` ratios of it:
        numbers of calls, customers, passages and hours, and each of :data:`METRICS` with its ``_low``
        and ``_high``. Calls sent to review are neither flagged nor calm: they count as not found.
        ``seconds_to_detect`` is the median over passages that were found.
    """
    # Scoring itself does not need the evaluation package, and its workers start faster without it.
    from speech_emotion.evaluation import bootstrap_counts, bootstrap_interval

    everything = pd.concat([measured, measured.assign(snr_db="all")], ignore_index=True)
    rows = []
    for names, part in everything.groupby(GROUPS, sort=False):
        draws = bootstrap_counts(len(part), resamples=resamples, seed=seed)
        values = _metrics(part, np.ones((1, len(part)), dtype=int))
        drawn = _metrics(part, draws)
        row: dict[str, object] = dict(zip(GROUPS, names, strict=True))
        row |= {
            "n_calls": len(part),
            "n_customers": part["customer"].nunique(),
            "n_passages": int(part["passages"].sum()),
            "hours": part["hours"].sum(),
        }
        for name in METRICS:
            low, high = bootstrap_interval(drawn[name], len(part))
            row |= {
                name: values[name][0],
                f"{name}_low": float(low),
                f"{name}_high": float(high),
            }
        rows.append(row)
    table = pd.DataFrame(rows)
    order = table["snr_db"].map(lambda value: np.inf if value == "all" else float(value))
    return (
        table.assign(order=order)
        .sort_values(["condition", "order"], ascending=[True, False])
        .drop(columns="order")
        .reset_index(drop=True)
    )


def _metrics(calls: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each figure for each row of weights, shape ``(n_resamples, n_calls)``."""
    counts = {name: weights @ calls[name].to_numpy(dtype=float) for name in COUNTS}
    angry = calls["angry"].to_numpy()
    flagged = (~calls["flag"].isin({REVIEW, CALM})).to_numpy()
    review = (calls["flag"] == REVIEW).to_numpy()
    delays = [(position, delay) for position, own in enumerate(calls["delays"]) for delay in own]
    owner = np.array([position for position, _ in delays], dtype=int)
    seconds = np.array([delay for _, delay in delays])
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "passage_precision": counts["right"] / counts["raised"],
            "passage_recall": counts["found"] / counts["passages"],
            "call_precision": weights @ (flagged & angry) / (weights @ flagged),
            "call_recall": weights @ (flagged & angry) / (weights @ angry),
            "false_alarms_per_hour": (counts["raised"] - counts["right"]) / counts["hours"],
            "seconds_to_detect": np.array([_median(seconds, row[owner]) for row in weights]),
            "review_share": weights @ review / weights.sum(axis=1),
        }


def _median(values: np.ndarray, counts: np.ndarray) -> float:
    return float(np.median(np.repeat(values, counts))) if counts.sum() else float("nan")
