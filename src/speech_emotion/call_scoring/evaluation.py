"""Evaluate flags on synthetic calls whose angry passages are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np
import pandas as pd
from tqdm import tqdm

from speech_emotion.bootstrap import (
    bootstrap_counts,
    bootstrap_interval,
    no_event_rate,
    share_interval,
)
from speech_emotion.call_scoring.inspection import Inspection, inspect_blocks
from speech_emotion.call_scoring.line import LineMean, mean_of_calls
from speech_emotion.call_scoring.roles import Roles, assign_roles
from speech_emotion.call_scoring.scoring import ScoredCall, embed_blocks, score_blocks
from speech_emotion.call_scoring.settings import CallSettings
from speech_emotion.call_scoring.stream import threshold_of
from speech_emotion.call_scoring.summary import NOT_FLAGGED, REVIEW, summarize
from speech_emotion.call_scoring.synthetic_calls import SyntheticCall
from speech_emotion.models import EmotionPredictor

__all__ = [
    "METRICS",
    "call_metrics",
    "evaluate_call",
    "evaluate_calls",
    "known_windows",
    "score_test_calls",
]

TOLERANCE_S: Final = 5.0
"""A flag this soon after a passage still detects it, because scores are means over windows."""
BLOCK_S: Final = 10.0
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
    synthesize: Callable[[], Iterable[SyntheticCall]],
    predictor: EmotionPredictor,
    settings: CallSettings,
) -> pd.DataFrame:
    """Score synthetic calls like recordings, and compare their flags with the truth.

    Args:
        synthesize: Function that returns the synthetic calls, the same in each call; only one call at a
            time is in memory. If the model has an encoder, the calls of each line are a center of their
            own, whose mean embedding is estimated first, without labels.
        predictor: A model that was not trained on their speakers.
        settings: How calls are scored.

    Returns:
        One row per call, see :func:`evaluate_call`.
    """
    threshold = threshold_of(predictor, settings)
    return pd.DataFrame(
        [
            evaluate_call(call, scored, settings, predictor.labels, threshold)
            for call, scored in _score(synthesize, predictor, settings)
        ]
    )


def known_windows(
    synthesize: Callable[[], Iterable[SyntheticCall]],
    predictor: EmotionPredictor,
    settings: CallSettings,
) -> pd.DataFrame:
    """Score synthetic calls like recordings, and say what is really in each window of the customers.

    Args:
        synthesize: See :func:`evaluate_calls`.
        predictor: A model that was not trained on their speakers.
        settings: How calls are scored.

    Returns:
        The windows, with ``caller`` and ``truth``, the label of most of its speech; empty in a pause.
    """
    tables = []
    for call, scored in _score(synthesize, predictor, settings):
        windows = scored.windows[scored.windows["channel"] == 0]
        spans = zip(windows["start_s"], windows["end_s"], strict=True)
        truth = [_truth(call, start, end) for start, end in spans]
        tables.append(windows.assign(caller=call.speakers[0], truth=truth))
    return pd.concat(tables, ignore_index=True)


def score_test_calls(
    synthesize: Callable[[], Iterable[SyntheticCall]],
    predictor: EmotionPredictor,
    settings: CallSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score synthetic calls like recordings, and summarize them.

    Args:
        synthesize: See :func:`evaluate_calls`.
        predictor: A model that was not trained on their speakers.
        settings: How calls are scored.

    Returns:
        The summary of :func:`summarize`, and the windows.
    """
    scored = [one for _, one in _score(synthesize, predictor, settings)]
    windows = pd.concat([one.windows for one in scored], ignore_index=True)
    summary, _ = summarize(
        pd.concat([one.channels for one in scored], ignore_index=True),
        windows,
        settings,
        labels=predictor.labels,
        threshold=threshold_of(predictor, settings),
    )
    return summary, windows


def _truth(call: SyntheticCall, start_s: float, end_s: float) -> str:
    """Label of most of the customer's speech between two times; empty without speech."""
    seconds: dict[str, float] = {}
    for utterance in call.utterances:
        inside = min(end_s, utterance.end_s) - max(start_s, utterance.start_s)
        if utterance.channel == 0 and inside > 0:
            seconds[utterance.label] = seconds.get(utterance.label, 0.0) + inside
    return max(seconds, key=lambda label: seconds[label], default="")


def _score(
    synthesize: Callable[[], Iterable[SyntheticCall]],
    predictor: EmotionPredictor,
    settings: CallSettings,
) -> Iterator[tuple[SyntheticCall, ScoredCall]]:
    """Score one call at a time."""
    lines = _estimate_lines(synthesize, predictor, settings)
    for call in tqdm(synthesize(), desc="Scoring test calls"):
        inspection, roles = _inspected(call, predictor, settings)
        yield (
            call,
            score_blocks(
                _blocks(call),
                call.sample_rate,
                inspection,
                roles,
                predictor,
                settings,
                call=call.name,
                line=lines.get(call.line),
            ),
        )


def _estimate_lines(
    synthesize: Callable[[], Iterable[SyntheticCall]],
    predictor: EmotionPredictor,
    settings: CallSettings,
) -> dict[str, LineMean]:
    """Estimate the mean embedding of each line from its calls."""
    if predictor.reference is None or settings.line_calls == 0:
        return {}
    embeddings: dict[str, list[np.ndarray]] = {}
    for call in tqdm(synthesize(), desc="Estimating lines from test calls"):
        inspection, roles = _inspected(call, predictor, settings)
        windows = embed_blocks(
            _blocks(call), call.sample_rate, inspection, roles, predictor, settings
        )
        if len(windows):  # the mean of a call is all that counts, and takes little memory
            embeddings.setdefault(call.line, []).append(windows.mean(axis=0, keepdims=True))
    means = {line: mean_of_calls(calls) for line, calls in embeddings.items()}
    return {line: mean for line, mean in means.items() if mean is not None}


def _inspected(
    call: SyntheticCall, predictor: EmotionPredictor, settings: CallSettings
) -> tuple[Inspection, Roles]:
    inspection = inspect_blocks(
        lambda: _blocks(call), call.sample_rate, 2, settings, predictor, source=call.name
    )
    return inspection, assign_roles(inspection, settings)


def _blocks(call: SyntheticCall) -> Iterator[np.ndarray]:
    size = round(BLOCK_S * call.sample_rate)
    for start in range(0, len(call.samples), size):
        yield call.samples[start : start + size]


def evaluate_call(
    call: SyntheticCall,
    scored: ScoredCall,
    settings: CallSettings,
    labels: tuple[str, ...],
    threshold: float,
) -> dict[str, object]:
    """Compare the flags of one call with the truth.

    An angry passage is detected if a flagged passage overlaps it or starts within
    :data:`TOLERANCE_S` after it. A flagged passage that detects none is a false alarm. The delay of a
    detection is the time from the start of the passage to the end of its first flagged window.

    Returns:
        ``call``, ``condition``, ``line`` (empty under ``clean``), ``snr_db``, ``customer``, ``hours``,
        ``angry`` (truth), ``flag`` and ``score`` of the call; numbers of angry passages
        (``n_passages``), detected ones (``n_detected``), flagged passages (``n_flagged``) and those that
        detect an angry one (``n_correct``); ``delays`` in seconds.
    """
    summary, flagged_passages = summarize(
        scored.channels, scored.windows, settings, labels=labels, threshold=threshold
    )
    flagged_windows = scored.windows[scored.windows["flagged"]]
    n_detected, delays = 0, []
    for passage in call.passages:
        detected = _overlaps(flagged_passages, *passage).any()
        n_detected += bool(detected)
        windows = flagged_windows[_overlaps(flagged_windows, *passage)]
        if detected and len(windows):
            delays.append(float(windows["end_s"].iloc[0]) - passage[0])
    correct = np.zeros(len(flagged_passages), dtype=bool)
    for passage in call.passages:
        correct |= _overlaps(flagged_passages, *passage).to_numpy()
    return {
        "call": call.name,
        "condition": call.condition,
        "line": call.line,
        "snr_db": call.snr_db,
        "customer": call.speakers[0],
        "hours": call.samples.shape[0] / call.sample_rate / 3600,
        "angry": bool(call.passages),
        "flag": summary["flag"].iloc[0],
        "score": summary["score"].iloc[0],
        "n_passages": len(call.passages),
        "n_detected": n_detected,
        "n_flagged": len(flagged_passages),
        "n_correct": int(correct.sum()),
        "delays": delays,
    }


def _overlaps(spans: pd.DataFrame, start_s: float, end_s: float) -> pd.Series:
    """Return which spans overlap a passage or start soon after it."""
    return (spans["start_s"] <= end_s + TOLERANCE_S) & (spans["end_s"] > start_s)


def call_metrics(results: pd.DataFrame, *, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Compute precision, recall, false alarms and delays, with 95 % intervals over calls.

    Args:
        results: Table of :func:`evaluate_calls`.
        resamples: Number of bootstrap resamples of calls.
        seed: Seed of the resampling.

    Returns:
        One row per condition and signal-to-noise ratio, and one per condition for ``all`` ratios:
        numbers of calls, customers, passages and hours, and each of :data:`METRICS` with ``_low`` and
        ``_high``. Calls sent to review do not count as flagged, so they lower recall.
        ``seconds_to_detect`` is the median delay of detected passages.
    """
    with_all = pd.concat([results, results.assign(snr_db="all")], ignore_index=True)
    rows = []
    for names, calls in with_all.groupby(GROUPS, sort=False):
        draws = bootstrap_counts(len(calls), resamples=resamples, seed=seed)
        row: dict[str, object] = dict(zip(GROUPS, names, strict=True))
        row |= {
            "n_calls": len(calls),
            "n_customers": calls["customer"].nunique(),
            "n_passages": int(calls["n_passages"].sum()),
            "hours": calls["hours"].sum(),
        }
        for name, (value, low, high) in _metrics(calls, draws).items():
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    table = pd.DataFrame(rows)
    order = table["snr_db"].map(lambda value: np.inf if value == "all" else float(value))
    return (
        table.assign(order=order)
        .sort_values(["condition", "order"], ascending=[True, False])
        .drop(columns="order")
        .reset_index(drop=True)
    )


def _metrics(calls: pd.DataFrame, draws: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """Compute each of :data:`METRICS` with its interval."""
    angry = calls["angry"].to_numpy()
    flagged = (~calls["flag"].isin({REVIEW, NOT_FLAGGED})).to_numpy()
    shares = {
        "passage_precision": (calls["n_correct"], calls["n_flagged"]),
        "passage_recall": (calls["n_detected"], calls["n_passages"]),
        "call_precision": (flagged & angry, flagged),
        "call_recall": (flagged & angry, angry),
        "review_share": (calls["flag"] == REVIEW, np.ones(len(calls))),
    }
    wrong = (calls["n_flagged"] - calls["n_correct"]).to_numpy(dtype=float)
    hours = calls["hours"].to_numpy(dtype=float)
    low, high = map(float, bootstrap_interval(draws @ wrong / (draws @ hours), len(calls)))
    if not wrong.any() and len(calls) > 1:
        high = no_event_rate(hours.sum())
    delays = np.array([delay for delays in calls["delays"] for delay in delays], dtype=float)
    call_of_delay = np.repeat(np.arange(len(calls)), calls["delays"].map(len))
    medians = [_median(delays, row[call_of_delay]) for row in draws]
    metrics = {name: share_interval(*counts, draws) for name, counts in shares.items()}
    metrics["false_alarms_per_hour"] = (float(wrong.sum() / hours.sum()), low, high)
    soonest, latest = map(float, bootstrap_interval(medians, len(calls)))
    middle = _median(delays, np.ones(len(delays), dtype=int))
    metrics["seconds_to_detect"] = (middle, soonest, latest)
    return {name: metrics[name] for name in METRICS}


def _median(values: np.ndarray, counts: np.ndarray) -> float:
    return float(np.median(np.repeat(values, counts))) if counts.sum() else float("nan")
