"""Simulate learning from verdicts: rounds of review with errors, tested on callers nobody reviewed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from pydantic import Field

from speech_emotion.bootstrap import bootstrap_counts, bootstrap_interval, share_interval
from speech_emotion.call_scoring import FlagSettings, flag_again
from speech_emotion.config import Settings
from speech_emotion.feedback.recalibration import Operation, rescored
from speech_emotion.models import fit_platt

__all__ = ["RANDOM", "UNCERTAIN", "SimulationSettings", "simulate_rounds"]

UNCERTAIN: Final = "uncertain"
RANDOM: Final = "random"
STRATEGIES: Final = (UNCERTAIN, RANDOM)
METRICS: Final = ("precision", "recall", "f1")
LIKELY: Final = 0.5
"""Threshold after verdicts: a window is flagged if it is more likely angry than not."""


class SimulationSettings(Settings):
    """How reviewing is simulated.

    Attributes:
        rounds: Rounds of reviewing.
        verdicts: Verdicts in a round.
        error: Share of wrong verdicts.
        uncertain_from: Share of the threshold from which a window is uncertain, as in the queue of reviews.
        folds: Parts of the callers. Each is tested once with verdicts on the others.
        repeats: Repetitions with other samples and errors.
        bootstrap: Resamples of callers behind each interval.
        seed: Seed of samples, errors and resampling.
    """

    rounds: int = Field(6, ge=1, le=50)
    verdicts: int = Field(50, ge=2)
    error: float = Field(0.1, ge=0, lt=0.5)
    uncertain_from: float = Field(0.5, gt=0, le=1)
    folds: int = Field(3, ge=2)
    repeats: int = Field(10, ge=1)
    bootstrap: int = Field(1000, ge=1, le=100_000)
    seed: int = 0


def simulate_rounds(
    windows: pd.DataFrame, flags: FlagSettings, threshold: float, settings: SimulationSettings
) -> pd.DataFrame:
    """Simulate rounds of reviewing, and measure the flags on callers that nobody reviewed.

    In each round reviewers judge windows of the learning callers: half of them drawn from those that the
    model of the round before finds likely, as the queue of reviews does, and half from all; or all from
    all. Some verdicts are wrong. All verdicts so far recalibrate the probability of anger
    (:func:`speech_emotion.models.fit_platt`), and windows that are more likely angry than not count towards
    a flag.

    Args:
        windows: Result of :func:`speech_emotion.call_scoring.known_windows`.
        flags: How windows become flags.
        threshold: Threshold of the model before any verdict.
        settings: Number of rounds, verdicts and errors.

    Returns:
        One row per strategy and round: ``strategy``, ``round``, ``n_verdicts``; ``precision``, ``recall``
        and ``f1`` of flagged windows, each with ``_low`` and ``_high`` (95 %, bootstrap over callers);
        ``f1_gain`` since round 0 and ``precision_gain`` since round 1, with their intervals;
        ``n_callers``, ``n_windows``, ``n_angry``.

    Raises:
        ValueError: If there are fewer callers than folds.
    """
    columns = ["call", "channel", "start_s"]
    rows = windows[windows["out_of_domain"] == ""].sort_values(columns, ignore_index=True)
    code, callers = pd.factorize(rows["caller"])
    if len(callers) < settings.folds:
        raise ValueError(
            f"{len(callers)} callers are too few for feedback_simulation.folds={settings.folds}: raise "
            "splits.test_size, or lower the number of folds"
        )
    angry = (rows["truth"] == flags.target).to_numpy()
    order = np.random.default_rng(settings.seed).permutation(len(callers))
    fold_of_caller = np.empty(len(callers), dtype=int)
    fold_of_caller[order] = np.arange(len(callers)) % settings.folds
    fold = fold_of_caller[code]
    # right, wrong and missed windows of each caller, summed over repeats
    counts = np.zeros((len(STRATEGIES), settings.rounds + 1, len(callers), 3))
    for number, strategy in enumerate(STRATEGIES):
        for repeat in range(settings.repeats):
            for part in range(settings.folds):
                seed = [settings.seed, number, repeat, part]
                learning = np.flatnonzero(fold != part)
                tested = rows[fold == part]
                for turn, operation in enumerate(
                    _rounds(rows, angry, learning, strategy, flags, threshold, settings, seed)
                ):
                    again = rescored(tested, operation, flags)
                    flagged = flag_again(again, operation.threshold, flags)["flagged"].to_numpy()
                    true = angry[fold == part]
                    values = np.stack([flagged & true, flagged & ~true, ~flagged & true], axis=1)
                    np.add.at(counts[number, turn], code[fold == part], values)
    return _table(counts, rows, angry, settings)


def _rounds(
    rows: pd.DataFrame,
    angry: np.ndarray,
    learning: np.ndarray,
    strategy: str,
    flags: FlagSettings,
    threshold: float,
    settings: SimulationSettings,
    seed: list[int],
) -> Iterator[Operation]:
    """Yield how calls are flagged before the first round and after each one."""
    generator = np.random.default_rng(seed)
    probability = rows[f"p_{flags.target}"].to_numpy(dtype=float)
    operation = Operation(threshold)
    yield operation
    judged = np.empty(0, dtype=int)
    verdicts = np.empty(0, dtype=bool)
    for _ in range(settings.rounds):
        left = generator.permutation(np.setdiff1d(learning, judged, assume_unique=True))
        if strategy == UNCERTAIN:
            scaling = operation.scaling
            scores = probability if scaling is None else scaling(probability)
            likely = scores[left] >= settings.uncertain_from * operation.threshold
            half = left[likely][: settings.verdicts // 2]
            left = np.concatenate([half, left[~np.isin(left, half)]])
        new = left[: settings.verdicts]
        wrong = generator.random(len(new)) < settings.error
        judged = np.concatenate([judged, new])
        verdicts = np.concatenate([verdicts, angry[new] ^ wrong])
        if 0 < verdicts.sum() < len(verdicts):
            scaling = fit_platt(
                probability[judged],
                verdicts.astype(float),
                np.ones(len(judged)),
                target=flags.target,
            )
            if scaling.slope > 0:
                operation = Operation(LIKELY, scaling)
        yield operation


def _table(
    counts: np.ndarray, rows: pd.DataFrame, angry: np.ndarray, settings: SimulationSettings
) -> pd.DataFrame:
    n_callers = counts.shape[2]
    weights = bootstrap_counts(n_callers, resamples=settings.bootstrap, seed=settings.seed)
    table = []
    for number, strategy in enumerate(STRATEGIES):
        starts = {"f1_gain": ("f1", 0), "precision_gain": ("precision", 1)}
        for turn, of_callers in enumerate(counts[number]):
            values, resampled = _metrics(of_callers.sum(axis=0)), _metrics(weights @ of_callers)
            row: dict[str, object] = {"strategy": strategy, "round": turn}
            row["n_verdicts"] = turn * settings.verdicts
            for name in METRICS:
                low, high = bootstrap_interval(resampled[name], n_callers)
                row |= {name: values[name], f"{name}_low": low, f"{name}_high": high}
            right, wrong, missed = of_callers.T
            for name, among in (("precision", right + wrong), ("recall", right + missed)):
                _, row[f"{name}_low"], row[f"{name}_high"] = share_interval(right, among, weights)
            for name, (metric, since) in starts.items():
                first = counts[number, since]
                difference = resampled[metric] - _metrics(weights @ first)[metric]
                low, high = bootstrap_interval(difference, n_callers)
                gain = values[metric] - _metrics(first.sum(axis=0))[metric]
                row |= {name: gain, f"{name}_low": low, f"{name}_high": high}
            row |= {"n_callers": n_callers, "n_windows": len(rows), "n_angry": int(angry.sum())}
            table.append(row)
    numbers = pd.DataFrame(table)
    floats = numbers.columns.difference(
        ["strategy", "round", "n_verdicts", "n_callers", "n_windows", "n_angry"]
    )
    return numbers.astype(dict.fromkeys(floats, float))


def _metrics(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Compute metrics from right, wrong and missed windows, shape ``(…, 3)``."""
    right, wrong, missed = np.moveaxis(counts, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "precision": right / (right + wrong),
            "recall": right / (right + missed),
            "f1": 2 * right / (2 * right + wrong + missed),
        }
