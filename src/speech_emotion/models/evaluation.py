"""Training examples under a protocol, and the predictions a candidate makes on them."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from speech_emotion.models.conv1d import Conv1DClassifier
from speech_emotion.models.estimators import family_named
from speech_emotion.models.settings import CandidateSettings, SelectionSettings
from speech_emotion.models.splits import HELD_OUT, TRAIN

__all__ = [
    "CROSS_VALIDATION",
    "Evaluation",
    "Examples",
    "Part",
    "evaluate",
    "fit_estimator",
    "make_examples",
    "probabilities",
]

CROSS_VALIDATION = "cross-validation"
FINAL = -1
CURVES = ["model", "protocol", "run", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
Inputs: TypeAlias = pd.DataFrame | np.ndarray


@dataclass(frozen=True)
class Part:
    """Some examples: their table, label codes ``(n,)`` and model inputs ``(n, …)``."""

    table: pd.DataFrame
    codes: np.ndarray
    inputs: Inputs


@dataclass(frozen=True)
class Examples:
    """All examples of one protocol: variant 0 is the recording, others are augmented copies.

    Attributes:
        table: Columns ``utterance_id``, ``variant``, ``label``, ``split``, ``fold``.
        inputs: Features table or sequences array; its rows are those of ``table``.
        labels: Labels in the order of the codes.
    """

    table: pd.DataFrame
    inputs: Inputs
    labels: tuple[str, ...]

    @property
    def folds(self) -> list[int]:
        """Numbers of the cross-validation folds."""
        return sorted(int(fold) for fold in self.table.loc[_is_train(self.table), "fold"].unique())

    def fold(self, fold: int) -> tuple[Part, Part]:
        """Training examples of the other folds, with copies; recordings of this fold."""
        inside = self.table["fold"] == fold
        return (
            self._part(_is_train(self.table) & ~inside),
            self._part(inside & _is_recording(self.table)),
        )

    def held_out(self) -> tuple[Part, Part]:
        """All training examples, with copies; held-out recordings."""
        held_out = self.table["split"] == HELD_OUT
        return self._part(_is_train(self.table)), self._part(held_out & _is_recording(self.table))

    def _part(self, chosen: pd.Series) -> Part:
        positions = np.flatnonzero(chosen)
        table = self.table.iloc[positions].reset_index(drop=True)
        codes = pd.Index(self.labels).get_indexer(pd.Index(table["label"]))
        if isinstance(self.inputs, pd.DataFrame):
            return Part(table, codes, self.inputs.iloc[positions])
        return Part(table, codes, np.asarray(self.inputs[positions]))

    def digest(self) -> str:
        """Digest of everything a study's result depends on: rows, folds, labels and inputs."""
        digest = hashlib.sha256(self.table.to_csv(index=False).encode())
        values = self.inputs.to_numpy() if isinstance(self.inputs, pd.DataFrame) else self.inputs
        for start in range(0, len(values), 1024):  # blocks: the array may be on disk
            digest.update(np.ascontiguousarray(values[start : start + 1024]).tobytes())
        return digest.hexdigest()


def _is_train(table: pd.DataFrame) -> pd.Series:
    return table["split"] == TRAIN


def _is_recording(table: pd.DataFrame) -> pd.Series:
    return table["variant"] == 0


def make_examples(
    index: pd.DataFrame,
    inputs: Inputs,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    *,
    protocol: str,
) -> Examples:
    """Join features with labels and one protocol's split.

    Args:
        index: Columns ``utterance_id`` and ``variant``: what each row of ``inputs`` is.
        inputs: Features table or sequences array, aligned with ``index``.
        utterances: Columns ``utterance_id`` and ``label``.
        splits: Table of :func:`speech_emotion.models.assign_splits`.
        protocol: Protocol to take.
    """
    split = splits.loc[splits["protocol"] == protocol, ["utterance_id", "split", "fold"]]
    table = index[["utterance_id", "variant"]].merge(
        utterances[["utterance_id", "label"]], on="utterance_id", how="left", validate="m:1"
    )
    table = table.merge(split, on="utterance_id", how="left", validate="m:1")
    if table[["label", "split"]].isna().to_numpy().any():
        stray = table.loc[table["label"].isna() | table["split"].isna(), "utterance_id"].iloc[0]
        raise ValueError(
            f"Features of {stray} have no label or split: the features are older than the "
            "utterances; run the feature_engineering pipeline again"
        )
    return Examples(table, inputs, tuple(sorted(utterances["label"].unique())))


def fit_estimator(
    candidate: CandidateSettings,
    parameters: dict[str, Any],
    training: Part,
    settings: SelectionSettings,
    *,
    watched: Part | None = None,
) -> BaseEstimator:
    """Build and train the candidate's estimator.

    Args:
        candidate: Family and fixed hyperparameters.
        parameters: Searched hyperparameters.
        training: Examples to learn from.
        settings: Seed and threads.
        watched: Examples whose loss a network writes down an epoch, without learning from them.
    """
    estimator = family_named(candidate.family).build(seed=settings.seed, n_jobs=settings.n_jobs)
    estimator.set_params(**(candidate.fixed | parameters))
    options: dict[str, Any] = {}
    if isinstance(estimator, Conv1DClassifier) and watched is not None:
        options["validation"] = (watched.inputs, watched.codes)
    with warnings.catch_warnings():
        # The number of passes is a hyperparameter here: ending on it is no failure.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(training.inputs, training.codes, **options)


def probabilities(estimator: BaseEstimator, part: Part, labels: Sequence[str]) -> np.ndarray:
    """Predict ``(n, n_labels)``; a label the estimator never saw has probability 0."""
    aligned = np.zeros((len(part.codes), len(labels)))
    aligned[:, estimator.classes_] = estimator.predict_proba(part.inputs)
    return aligned


@dataclass(frozen=True)
class Evaluation:
    """What a candidate with chosen hyperparameters does under each protocol.

    Attributes:
        predictions: ``utterance_id``, ``model``, ``protocol``, ``evaluation``, ``fold``,
            ``label``, ``prediction`` and ``p_<label>`` for each label.
        timings: ``model``, ``protocol``, ``fit_seconds`` and ``predict_ms`` an utterance.
        learning_curves: ``model``, ``protocol``, ``run``, ``epoch`` and the network's losses and
            accuracies; empty for other models.
        estimator: The estimator trained on all training examples of the selecting protocol.
    """

    predictions: pd.DataFrame
    timings: pd.DataFrame
    learning_curves: pd.DataFrame
    estimator: BaseEstimator


def evaluate(
    examples: Mapping[str, Examples],
    candidate: CandidateSettings,
    parameters: dict[str, Any],
    settings: SelectionSettings,
) -> Evaluation:
    """Predict every fold from the others, then the held-out utterances from all training ones.

    Args:
        examples: Examples of each compared protocol.
        candidate: Family and fixed hyperparameters.
        parameters: Chosen hyperparameters, the same for every protocol.
        settings: Selecting protocol, seed and threads.
    """
    predictions, timings, curves = [], [], []
    estimators: dict[str, BaseEstimator] = {}
    for protocol, known in examples.items():
        for fold in [*known.folds, FINAL]:
            final = fold == FINAL
            training, unseen = known.held_out() if final else known.fold(fold)
            started = time.perf_counter()
            estimator = fit_estimator(
                candidate, parameters, training, settings, watched=None if final else unseen
            )
            fitted = time.perf_counter()
            predicted = probabilities(estimator, unseen, known.labels)
            finished = time.perf_counter()
            names = {"model": candidate.family, "protocol": protocol}
            predictions.append(_prediction_table(names, fold, unseen, predicted, known.labels))
            curves.append(_curves(names, fold, estimator))
        # The last round is the final one: trained on all folds, timed on the held-out utterances.
        estimators[protocol] = estimator
        timings.append(
            names
            | {
                "fit_seconds": fitted - started,
                "predict_ms": 1000 * (finished - fitted) / max(len(unseen.codes), 1),
            }
        )
    return Evaluation(
        pd.concat(predictions, ignore_index=True),
        pd.DataFrame(timings),
        pd.concat(curves, ignore_index=True),
        estimators[settings.protocol],
    )


def _curves(names: dict[str, str], fold: int, estimator: BaseEstimator) -> pd.DataFrame:
    history = pd.DataFrame(getattr(estimator, "history_", []))
    history = history.assign(
        **names, run="final" if fold == FINAL else f"fold {fold}", epoch=history.index + 1
    )
    return history.reindex(columns=CURVES)


def _prediction_table(
    names: dict[str, str], fold: int, part: Part, predicted: np.ndarray, labels: Sequence[str]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "utterance_id": part.table["utterance_id"],
            **names,
            "evaluation": HELD_OUT if fold == FINAL else CROSS_VALIDATION,
            "fold": fold,
            "label": part.table["label"],
            "prediction": np.asarray(labels)[predicted.argmax(axis=1)],
        }
        | {f"p_{label}": predicted[:, code] for code, label in enumerate(labels)}
    )
