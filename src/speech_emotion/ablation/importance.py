"""Permutation importance of features on unseen speakers.

L. Breiman, *Random forests*, Machine Learning 45, 2001, §10: shuffling a feature among the tested
utterances removes its information; the importance is the drop of the UAR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from speech_emotion.ablation.runner import PROTOCOL, AblationConfig, AblationData, in_parallel
from speech_emotion.evaluation import (
    Subset,
    average_recall,
    bootstrap_counts,
    bootstrap_interval,
    fit_estimator,
    probabilities,
)

__all__ = ["permutation_importance"]

ROWS: Final = 20000
"""Shuffled utterances that are predicted at once."""


def permutation_importance(
    config: AblationConfig,
    data: AblationData,
    blocks: Mapping[str, Sequence[str]],
    *,
    repeats: int = 10,
    n_jobs: int = 1,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Shuffle blocks of columns among the tested utterances of each fold, and compute the drop of UAR.

    The columns of a block are shuffled together, so their relations to each other are kept.

    Args:
        config: Configuration to train.
        data: Features of the training speakers.
        blocks: Columns of each block, by its name.
        repeats: Permutations, the same ones for every block.
        n_jobs: Folds at the same time; the results are the same for any number.
        resamples: Resamples of speakers behind each interval.
        seed: Seed of permutations and resampling.

    Returns:
        One row a block and condition: ``block``, ``n_features``, ``model``, ``protocol``,
        ``condition``, ``n_utterances``, ``n_speakers``, ``uar`` without shuffling, and its ``drop`` with
        ``_low`` and ``_high``. The largest drop comes first.
    """
    calls = ((fold,) for fold in config.examples(data).folds)
    shared = (config, data, blocks, repeats, seed)
    title = "Permuting features"
    folds = in_parallel(_shuffle_fold, calls, shared=shared, n_jobs=n_jobs, title=title)
    tables = []
    for condition in folds[0]:
        results = [fold[condition] for fold in folds if condition in fold]
        tested = pd.concat([table for table, _ in results], ignore_index=True)
        correct = np.concatenate([shares for _, shares in results], axis=1)
        tables.append(
            _drops(tested, correct, resamples, seed).assign(
                block=list(blocks),
                n_features=[len(columns) for columns in blocks.values()],
                model=config.candidate.family,
                protocol=PROTOCOL,
                condition=condition,
            )
        )
    table = pd.concat(tables, ignore_index=True)
    first = ["block", "n_features", "model", "protocol", "condition"]
    return table[[*first, *table.columns.difference(first, sort=False)]].sort_values(
        ["condition", "drop"], ascending=[True, False], ignore_index=True
    )


def _shuffle_fold(
    fold: int,
    config: AblationConfig,
    data: AblationData,
    blocks: Mapping[str, Sequence[str]],
    repeats: int,
    seed: int,
) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    """Train on the other folds and predict this one with each block shuffled.

    Returns:
        For each condition ``speaker`` and ``label`` of the tested utterances, and the share of correct
        predictions of each, shape ``(1 + n_blocks, n)``: without shuffling first.
    """
    examples = config.examples(data)
    training, tests = examples.fold(fold)
    estimator = fit_estimator(config.candidate, {}, training, config.estimator_settings)
    result = {}
    for number, (condition, tested) in enumerate(tests.items()):
        generator = np.random.default_rng([seed, fold, number])
        size = len(tested.codes)
        order = np.concatenate([generator.permutation(size) for _ in range(repeats)])
        intact = _is_correct(estimator, tested, examples.labels)[np.newaxis]
        shuffled = _shuffled_shares(
            estimator, tested, list(blocks.values()), order, examples.labels
        )
        table = tested.table[["speaker", "label"]]
        result[condition] = (table, np.concatenate([intact, *shuffled]))
    return result


def _shuffled_shares(
    estimator: BaseEstimator,
    tested: Subset,
    blocks: Sequence[Sequence[str]],
    order: np.ndarray,
    labels: Sequence[str],
) -> list[np.ndarray]:
    """Share of correct predictions of each utterance with each block shuffled.

    Args:
        estimator: Fitted estimator.
        tested: Tested utterances.
        blocks: Columns of each block.
        order: Row that each block is read from, for all permutations one after the other.
        labels: All labels.

    Returns:
        Arrays of shape ``(n_blocks_at_once, n)``.
    """
    inputs = pd.DataFrame(tested.inputs)
    values = inputs.to_numpy()
    repeats = len(order) // len(values)
    at_once = max(1, ROWS // len(order))
    shares = []
    for start in range(0, len(blocks), at_once):
        chosen = blocks[start : start + at_once]
        shuffled = np.tile(values, (len(chosen), repeats, 1))
        for copy, names in zip(shuffled, chosen, strict=True):
            positions = inputs.columns.get_indexer(pd.Index(names))
            copy[:, positions] = values[np.ix_(order, positions)]
        rows = pd.DataFrame(shuffled.reshape(-1, values.shape[1]), columns=inputs.columns)
        codes = np.tile(tested.codes, len(chosen) * repeats)
        correct = _is_correct(estimator, Subset(tested.table, codes, rows), labels)
        shares.append(correct.reshape(len(chosen), repeats, -1).mean(axis=1))
    return shares


def _is_correct(estimator: BaseEstimator, subset: Subset, labels: Sequence[str]) -> np.ndarray:
    return probabilities(estimator, subset, labels).argmax(axis=1) == subset.codes


def _drops(tested: pd.DataFrame, shares: np.ndarray, resamples: int, seed: int) -> pd.DataFrame:
    """Compute the UAR and its drop with each block shuffled, with intervals over speakers.

    Args:
        tested: ``speaker`` and ``label`` of each utterance, shape ``(n, 2)``.
        shares: Share of correct predictions of each utterance, shape ``(1 + n_blocks, n)``, without
            shuffling first.
        resamples: Resamples of speakers.
        seed: Seed of the resampling.
    """
    speaker = pd.factorize(tested["speaker"], sort=True)[0]
    label = pd.factorize(tested["label"], sort=True)[0]
    n_speakers, n_labels = speaker.max() + 1, label.max() + 1
    cells = np.eye(n_speakers * n_labels)[speaker * n_labels + label]
    hits = (shares @ cells).reshape(len(shares), n_speakers, n_labels)
    support = cells.sum(axis=0).reshape(n_speakers, n_labels)
    draws = bootstrap_counts(n_speakers, resamples=resamples, seed=seed)
    drawn = draws @ support
    uar = np.asarray(average_recall(hits.sum(axis=1), support.sum(axis=0)))
    intact = average_recall(draws @ hits[0], drawn)
    rows = []
    for position in range(1, len(shares)):
        drops = intact - average_recall(draws @ hits[position], drawn)
        low, high = bootstrap_interval(drops, n_speakers)
        drop = uar[0] - uar[position]
        rows.append({"uar": uar[0], "drop": drop, "drop_low": low, "drop_high": high})
    columns = ["uar", "drop", "drop_low", "drop_high"]
    return pd.DataFrame(rows, columns=columns, dtype=float).assign(
        n_utterances=len(tested), n_speakers=n_speakers
    )
