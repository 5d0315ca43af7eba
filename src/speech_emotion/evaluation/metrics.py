"""Classification metrics with intervals: accuracy, unweighted average recall (UAR) and macro F1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from speech_emotion.bootstrap import bootstrap_counts, bootstrap_interval
from speech_emotion.corpora import PROTOCOLS
from speech_emotion.evaluation.protocol_data import CLEAN, TELEPHONE

__all__ = [
    "ALL_LINES",
    "METRICS",
    "average_recall",
    "breakdown_table",
    "class_table",
    "classification_metrics",
    "confusion",
    "headline_first",
    "line_table",
    "paired_table",
    "uar",
]

METRICS: Final = ("accuracy", "uar", "macro_f1")
ALL_LINES: Final = "all"
"""Value of column ``line`` for all lines together."""
LOSS: Final = [
    "n_utterances",
    "n_speakers",
    "uar_clean",
    "uar",
    "uar_low",
    "uar_high",
    "loss",
    "loss_low",
    "loss_high",
]
PAIRED: Final = [
    "model",
    "reference",
    "n_utterances",
    "n_speakers",
    "difference",
    "difference_low",
    "difference_high",
    "better",
]


def confusion(labels: Sequence[Any], truth: Iterable[Any], prediction: Iterable[Any]) -> np.ndarray:
    """Count predictions, shape ``(n_labels, n_labels)``: rows are the truth, columns the predictions.

    Raises:
        ValueError: If a value is not among ``labels``.

    Example:
        >>> confusion(["angry", "sad"], ["angry", "angry", "sad"], ["angry", "sad", "sad"])
        array([[1, 1],
               [0, 1]])
    """
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, (_codes(labels, truth), _codes(labels, prediction)), 1)
    return counts


def _codes(labels: Sequence[Any], values: Iterable[Any]) -> np.ndarray:
    """Positions of ``values`` in ``labels``."""
    index = pd.Index(values)
    codes = pd.Index(labels).get_indexer(index)
    if (codes < 0).any():
        raise ValueError(f"Label {index[codes < 0][0]!r} is none of: {', '.join(map(str, labels))}")
    return codes


def average_recall(hits: np.ndarray, support: np.ndarray) -> np.ndarray | float:
    """Average the recall over labels, leaving out labels without any utterance.

    Args:
        hits: Correct predictions of each label, shape ``(…, n_labels)``.
        support: Utterances of each label, of the same shape or broadcast to it.
    """
    recall = np.divide(hits, support, out=np.zeros(hits.shape), where=support > 0)
    return recall.sum(axis=-1) / np.maximum((support > 0).sum(axis=-1), 1)


def uar(counts: np.ndarray) -> np.ndarray | float:
    """Compute the unweighted average recall of confusion counts ``(…, n_labels, n_labels)``.

    Labels without any utterance are left out.

    Example:
        >>> import numpy as np
        >>> float(uar(np.array([[90, 0], [10, 0]])))  # all 90 angry found, none of the 10 sad
        0.5
    """
    return average_recall(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))


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
    """Compute accuracy, UAR and macro F1 with 95 % intervals from a bootstrap over speakers.

    Args:
        predictions: Columns ``label``, ``prediction`` and ``speaker``.
        labels: All labels.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.

    Returns:
        ``n_utterances``, ``n_speakers`` and for each metric its value, ``_low`` and ``_high``.
        The bounds are NaN with one speaker.

    Example:
        >>> import pandas as pd
        >>> predictions = pd.DataFrame(
        ...     {
        ...         "speaker": ["anna", "anna", "ben", "ben"],
        ...         "label": ["angry", "sad", "angry", "sad"],
        ...         "prediction": ["angry", "sad", "sad", "sad"],
        ...     }
        ... )
        >>> metrics = classification_metrics(predictions, ["angry", "sad"], resamples=200)
        >>> metrics["accuracy"], metrics["accuracy_low"], metrics["accuracy_high"]
        (0.75, 0.5, 1.0)
    """
    by_speaker = _by_speaker(predictions, labels)
    n_speakers = len(by_speaker)
    draws = bootstrap_counts(n_speakers, resamples=resamples, seed=seed)
    resampled = _metrics(np.tensordot(draws, by_speaker, axes=1))
    result: dict[str, float] = {"n_utterances": len(predictions), "n_speakers": n_speakers}
    for metric, value in _metrics(by_speaker.sum(axis=0)).items():
        low, high = bootstrap_interval(resampled[metric], n_speakers)
        result |= {metric: float(value), f"{metric}_low": float(low), f"{metric}_high": float(high)}
    return result


def _by_speaker(predictions: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Count the predictions of each speaker, shape ``(n_speakers, n_labels, n_labels)``."""
    speaker, speakers = pd.factorize(predictions["speaker"], sort=True)
    counts = np.zeros((len(speakers), len(labels), len(labels)), dtype=np.int64)
    truth, prediction = (_codes(labels, predictions[name]) for name in ("label", "prediction"))
    np.add.at(counts, (speaker, truth, prediction), 1)
    return counts


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
            one protocol, condition and evaluation. Models that predict other utterances than the
            reference are left out.
        labels: All labels.
        reference: Model that the others are compared with.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.

    Returns:
        ``model``, ``reference``, ``n_utterances``, ``n_speakers``, ``difference`` of UAR (model minus
        reference), its ``_low`` and ``_high``, and ``better``: share of resamples in which the model
        is above the reference.
    """
    of_reference = predictions[predictions["model"] == reference]
    reference_counts = _by_speaker(of_reference, labels)
    draws = bootstrap_counts(len(reference_counts), resamples=resamples, seed=seed)
    resampled_reference = uar(np.tensordot(draws, reference_counts, axes=1))
    rows = []
    for model, subset in predictions.groupby("model", sort=True):
        if model == reference or set(subset["utterance_id"]) != set(of_reference["utterance_id"]):
            continue
        counts = _by_speaker(subset, labels)
        differences = uar(np.tensordot(draws, counts, axes=1)) - resampled_reference
        low, high = bootstrap_interval(differences, len(counts))
        difference = uar(counts.sum(axis=0)) - uar(reference_counts.sum(axis=0))
        rows.append(
            {
                "model": model,
                "reference": reference,
                "n_utterances": len(subset),
                "n_speakers": len(counts),
                "difference": float(difference),
                "difference_low": float(low),
                "difference_high": float(high),
                "better": float(np.mean(differences > 0)),
            }
        )
    return pd.DataFrame(rows, columns=PAIRED)


def line_table(
    predictions: pd.DataFrame, labels: Sequence[str], *, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Compare telephone sound with clean sound of the same utterances, for each telephone line.

    Args:
        predictions: Columns ``model``, ``protocol``, ``evaluation``, ``condition``, ``line``,
            ``utterance_id``, ``speaker``, ``label`` and ``prediction``.
        labels: All labels.
        resamples: Number of bootstrap resamples of speakers.
        seed: Seed of the resampling.

    Returns:
        One row a model, protocol, evaluation and ``line``, and one for ``all`` lines: ``n_utterances``,
        ``n_speakers``, ``uar_clean``; ``uar`` over the line and ``loss`` (``uar_clean`` minus ``uar``),
        each with ``_low`` and ``_high`` from the same resamples. No rows without telephone sound.
    """
    keys = ["model", "protocol", "evaluation"]
    rows = []
    for names, subset in predictions.groupby(keys, sort=True):
        clean = subset[subset["condition"] == CLEAN]
        telephone = subset[subset["condition"] == TELEPHONE]
        telephone = telephone[telephone["utterance_id"].isin(clean["utterance_id"])]
        lines = [(name, group) for name, group in telephone.groupby("line", sort=True)]
        for line, over_line in [(ALL_LINES, telephone), *lines] if lines else []:
            same = clean[clean["utterance_id"].isin(over_line["utterance_id"])]
            loss = _loss(same, over_line, labels, resamples=resamples, seed=seed)
            rows.append(dict(zip(keys, names, strict=True)) | {"line": line} | loss)
    return pd.DataFrame(rows, columns=[*keys, "line", *LOSS])


def _loss(
    clean: pd.DataFrame,
    over_line: pd.DataFrame,
    labels: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> dict[str, float]:
    """Compare predictions of the same utterances, clean and over a line."""
    counts = {"clean": _by_speaker(clean, labels), "line": _by_speaker(over_line, labels)}
    n_speakers = len(counts["line"])
    draws = bootstrap_counts(n_speakers, resamples=resamples, seed=seed)
    value = {name: float(uar(count.sum(axis=0))) for name, count in counts.items()}
    drawn = {name: uar(np.tensordot(draws, count, axes=1)) for name, count in counts.items()}
    low, high = bootstrap_interval(drawn["line"], n_speakers)
    loss_low, loss_high = bootstrap_interval(drawn["clean"] - drawn["line"], n_speakers)
    return {
        "n_utterances": len(over_line),
        "n_speakers": n_speakers,
        "uar_clean": value["clean"],
        "uar": value["line"],
        "uar_low": float(low),
        "uar_high": float(high),
        "loss": value["clean"] - value["line"],
        "loss_low": float(loss_low),
        "loss_high": float(loss_high),
    }


def breakdown_table(
    predictions: pd.DataFrame,
    labels: Sequence[str],
    *,
    by: Sequence[str] = ("corpus", "sex", "speaker"),
    resamples: int = 1000,
) -> pd.DataFrame:
    """Compute metrics of each corpus, sex and speaker.

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
        {"by": column, "value": value} | classification_metrics(subset, labels, resamples=resamples)
        for column in by
        for value, subset in predictions.groupby(column, sort=True)
    ]
    return pd.DataFrame(rows, columns=["by", "value", *columns])


def class_table(predictions: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Compute precision, recall, F1 and support of each label (0 where nothing was predicted)."""
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


def headline_first(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Sort rows by protocol, the selecting protocol first; the order within a protocol is kept.

    Args:
        table: Table with the column ``protocol``.
        protocol: Protocol that selects the champion.

    Example:
        >>> table = pd.DataFrame({"protocol": ["random_split", "enrolled", "speaker_independent"]})
        >>> list(headline_first(table, "speaker_independent")["protocol"])
        ['speaker_independent', 'enrolled', 'random_split']
    """
    order = [protocol, *(name for name in PROTOCOLS if name != protocol)]
    rank = {name: number for number, name in enumerate(order)}
    return table.sort_values(
        "protocol", key=lambda names: names.map(rank), kind="stable", ignore_index=True
    )
