"""Permutation importance on speakers that the model has not heard.

L. Breiman, *Random forests*, Machine Learning 45, 2001, §10: features that are shuffled among the
tested utterances say nothing any more; what the UAR then falls by is what the model owes to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from speech_emotion.ablation.runner import PROTOCOL, AblationConfig, AblationData, in_parallel
from speech_emotion.evaluation import Subset, fit_estimator, probabilities

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
    """Shuffle blocks of columns among the tested utterances of each fold, and see what is lost.

    The columns of a block are shuffled together, so that what they say with each other stays.

    Args:
        config: What is trained.
        data: Features of the training speakers.
        blocks: Columns that are shuffled together, by the name of the block.
        repeats: Permutations, the same ones for every block.
        n_jobs: Folds that are worked on at the same time; the result is the same for any number.
        resamples: Resamples of speakers behind each interval.
        seed: Seed of permutations and resampling.

    Returns:
        One row a block and condition: ``block``, ``n_features``, ``model``, ``protocol``,
        ``condition``, ``n_utterances``, ``n_speakers``, ``uar`` without shuffling, ``drop`` of it,
        its ``_low`` and ``_high``; the largest drop first.
    """
    folds = config.examples(data).folds
    shared = (config, data, blocks, repeats, seed)
    calls = ((fold,) for fold in folds)
    title = "Permuting features"
    found = in_parallel(_shuffled, calls, shared=shared, n_jobs=n_jobs, title=title)
    tables = []
    for condition in found[0]:
        parts = [fold[condition] for fold in found if condition in fold]
        about = pd.concat([table for table, _ in parts], ignore_index=True)
        hits = np.concatenate([right for _, right in parts], axis=1)
        tables.append(
            _drops(about, hits, resamples, seed).assign(
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


def _shuffled(
    fold: int,
    config: AblationConfig,
    data: AblationData,
    blocks: Mapping[str, Sequence[str]],
    repeats: int,
    seed: int,
) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    """Tested utterances of a fold, and how often each is right: first as it is, then by block."""
    examples = config.examples(data)
    columns = list(blocks.values())
    result = {}
    training, tests = examples.fold(fold)
    estimator = fit_estimator(config.candidate, {}, training, config.estimator_settings)

    for number, (condition, part) in enumerate(tests.items()):
        inputs = pd.DataFrame(part.inputs)
        values = inputs.to_numpy()
        generator = np.random.default_rng([seed, fold, number])
        order = np.concatenate([generator.permutation(len(values)) for _ in range(repeats)])
        shares = [_right(estimator, part, examples.labels)]
        together = max(1, ROWS // len(order))
        for start in range(0, len(columns), together):
            chosen = columns[start : start + together]
            shuffled = np.tile(values, (len(chosen), repeats, 1))
            for copy, names in zip(shuffled, chosen, strict=True):
                positions = inputs.columns.get_indexer(pd.Index(names))
                copy[:, positions] = values[np.ix_(order, positions)]
            rows = pd.DataFrame(shuffled.reshape(-1, values.shape[1]), columns=inputs.columns)
            codes = np.tile(part.codes, len(chosen) * repeats)
            right = _right(estimator, Subset(part.table, codes, rows), examples.labels)
            shares += list(right.reshape(len(chosen), repeats, -1).mean(axis=1))
        result[condition] = (part.table[["speaker", "label"]], np.stack(shares))
    return result


def _right(estimator: BaseEstimator, part: Subset, labels: Sequence[str]) -> np.ndarray:
    return probabilities(estimator, part, labels).argmax(axis=1) == part.codes


def _drops(tested: pd.DataFrame, shares: np.ndarray, resamples: int, seed: int) -> pd.DataFrame:
    """UAR as it is, and by how much it falls with each block, with intervals over speakers.

    Args:
        tested: ``speaker`` and ``label`` of each utterance, shape ``(n, 2)``.
        shares: How often each is right, shape ``(1 + n_blocks, n)``, without shuffling first.
        resamples: Resamples of speakers.
        seed: Seed of the resampling.
    """
    speaker = pd.factorize(tested["speaker"], sort=True)[0]
    label = pd.factorize(tested["label"], sort=True)[0]
    size = (len(shares), speaker.max() + 1, label.max() + 1)
    cells = np.eye(size[1] * size[2])[speaker * size[2] + label]
    hits, support = (shares @ cells).reshape(size), cells.sum(axis=0).reshape(size[1:])
    draws = np.random.default_rng(seed).multinomial(
        size[1], np.full(size[1], 1 / size[1]), size=resamples
    )
    drawn = draws @ support
    whole = _uar(hits.sum(axis=1), support.sum(axis=0))
    intact = _uar(draws @ hits[0], drawn)
    rows = []
    for position in range(1, len(shares)):
        drops = intact - _uar(draws @ hits[position], drawn)
        low, high = np.percentile(drops, [2.5, 97.5]) if size[1] > 1 else (np.nan, np.nan)
        drop = whole[0] - whole[position]
        rows.append({"uar": whole[0], "drop": drop, "drop_low": low, "drop_high": high})
    return pd.DataFrame(rows).assign(n_utterances=len(tested), n_speakers=size[1])


def _uar(hits: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Unweighted average recall of hits ``(..., n_labels)``; labels that are not there do not count."""
    recall = np.divide(hits, support, out=np.zeros(hits.shape), where=support > 0)
    return recall.sum(axis=-1) / (support > 0).sum(axis=-1)
