"""Figures of merit with intervals: accuracy, unweighted average recall (UAR), macro F1.

Utterances of one speaker are not independent, so intervals resample speakers, not utterances
(cluster bootstrap; Davison & Hinkley, *Bootstrap Methods and their Application*, 1997, §3.8).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

__all__ = [
    "breakdown_table",
    "class_table",
    "classification_metrics",
    "confusion",
    "paired_table",
    "uar",
]

METRICS = ("accuracy", "uar", "macro_f1")
PAIRED = [
    "model",
    "reference",
    "n_utterances",
    "n_speakers",
    "difference",
    "difference_low",
    "difference_high",
    "better",
]


def confusion(labels: Sequence[str], truth: pd.Series, prediction: pd.Series) -> np.ndarray:
    """Count predictions, shape ``(n_labels, n_labels)``: rows are truth, columns predictions."""
    order = pd.Index(labels)
    counts = np.zeros((len(order), len(order)), dtype=np.int64)
    np.add.at(
        counts, (order.get_indexer(pd.Index(truth)), order.get_indexer(pd.Index(prediction))), 1
    )
    return counts


def uar(counts: np.ndarray) -> np.ndarray | float:
    """Unweighted average recall of confusion counts ``(..., n_labels, n_labels)``.

    Labels without any true utterance do not count.
    """
    support = counts.sum(axis=-1)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    recall = np.divide(hits, support, out=np.zeros(support.shape), where=support > 0)
    return recall.sum(axis=-1) / np.maximum((support > 0).sum(axis=-1), 1)


def _metrics(counts: np.ndarray) -> dict[str, np.ndarray]:
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    involved = counts.sum(axis=-1) + counts.sum(axis=-2)
    f1 = np.divide(2 * hits, involved, out=np.zeros(involved.shape), where=involved > 0)
    present = np.maximum((involved > 0).sum(axis=-1), 1)
    return {
        "accuracy": hits.sum(axis=-1) / np.maximum(counts.sum(axis=(-2, -1)), 1),
        "uar": np.asarray(uar(counts)),
        "macro_f1": f1.sum(axis=-1) / present,
    }


def classification_metrics(
    predictions: pd.DataFrame, labels: Sequence[str], *, resamples: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Accuracy, UAR and macro F1 with 95 % intervals from a bootstrap over speakers.

    Args:
        predictions: Columns ``label``, ``prediction`` and ``speaker``.
        labels: All labels.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.

    Returns:
        ``n_utterances``, ``n_speakers`` and for each metric its value, ``_low`` and ``_high``.
        With one speaker the bounds are NaN: nothing is known of other speakers then.
    """
    by_speaker = _by_speaker(predictions, labels)
    speakers = len(by_speaker)
    draws = _draws(speakers, resamples, seed)
    resampled = _metrics(np.tensordot(draws, by_speaker, axes=1))
    figures: dict[str, float] = {"n_utterances": len(predictions), "n_speakers": speakers}
    for metric, value in _metrics(by_speaker.sum(axis=0)).items():
        low, high = np.percentile(resampled[metric], [2.5, 97.5])
        figures[metric] = float(value)
        figures[f"{metric}_low"] = float(low) if speakers > 1 else float("nan")
        figures[f"{metric}_high"] = float(high) if speakers > 1 else float("nan")
    return figures


def _by_speaker(predictions: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Count the predictions of each speaker, shape ``(n_speakers, n_labels, n_labels)``."""
    order = pd.Index(labels)
    speaker, speakers = pd.factorize(predictions["speaker"], sort=True)
    counts = np.zeros((len(speakers), len(order), len(order)), dtype=np.int64)
    truth, prediction = (
        order.get_indexer(pd.Index(predictions[name])) for name in ("label", "prediction")
    )
    np.add.at(counts, (speaker, truth, prediction), 1)
    return counts


def _draws(speakers: int, resamples: int, seed: int) -> np.ndarray:
    """How often each speaker is drawn in each resample, shape ``(resamples, speakers)``."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(speakers, np.full(speakers, 1 / speakers), size=resamples)


def paired_table(
    predictions: pd.DataFrame,
    labels: Sequence[str],
    *,
    reference: str,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every model with ``reference`` on the same resamples of the same speakers.

    Args:
        predictions: Columns ``model``, ``utterance_id``, ``speaker``, ``label``, ``prediction``, of
            one protocol, condition and evaluation.
        labels: All labels.
        reference: Model that the others are compared with.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.

    Returns:
        ``model``, ``reference``, ``n_utterances``, ``n_speakers``, ``difference`` of UAR (model minus
        reference), its ``_low`` and ``_high``, and ``better``: share of resamples in which the model
        is above the reference.
    """
    own = predictions[predictions["model"] == reference]
    against = _by_speaker(own, labels)
    draws = _draws(len(against), resamples, seed)
    rows = []
    for model, part in predictions.groupby("model", sort=True):
        if model == reference or set(part["utterance_id"]) != set(own["utterance_id"]):
            continue
        counts = _by_speaker(part, labels)
        differences = uar(np.tensordot(draws, counts, axes=1)) - uar(
            np.tensordot(draws, against, axes=1)
        )
        low, high = np.percentile(differences, [2.5, 97.5])
        rows.append(
            {
                "model": model,
                "reference": reference,
                "n_utterances": len(part),
                "n_speakers": len(counts),
                "difference": float(uar(counts.sum(axis=0)) - uar(against.sum(axis=0))),
                "difference_low": float(low),
                "difference_high": float(high),
                "better": float(np.mean(differences > 0)),
            }
        )
    return pd.DataFrame(rows, columns=PAIRED)


def breakdown_table(
    predictions: pd.DataFrame,
    labels: Sequence[str],
    *,
    by: Sequence[str] = ("corpus", "sex", "speaker"),
    resamples: int = 1000,
) -> pd.DataFrame:
    """Figures of merit of each corpus, sex and speaker.

    Args:
        predictions: Columns ``label``, ``prediction``, ``speaker`` and those named in ``by``.
        labels: All labels.
        by: Columns to break down by.
        resamples: Number of bootstrap resamples.

    Returns:
        One row a value of each column: ``by``, ``value``, ``n_utterances``, ``n_speakers``,
        ``accuracy``, ``uar``, ``uar_low``, ``uar_high``.
    """
    columns = ["n_utterances", "n_speakers", "accuracy", "uar", "uar_low", "uar_high"]
    rows = [
        {"by": column, "value": value}
        | {
            name: figure
            for name, figure in classification_metrics(part, labels, resamples=resamples).items()
            if name in columns
        }
        for column in by
        for value, part in predictions.groupby(column, sort=True)
    ]
    return pd.DataFrame(rows, columns=["by", "value", *columns])


def class_table(predictions: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Precision, recall, F1 and support of each label (0 where nothing was predicted)."""
    precision, recall, f1, support = precision_recall_fscore_support(
        predictions["label"], predictions["prediction"], labels=list(labels), zero_division=0.0
    )
    return pd.DataFrame(
        {
            "label": list(labels),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "support": support,
        }
    )
