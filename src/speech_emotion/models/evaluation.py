"""Training examples under a protocol, and the predictions a candidate makes on them."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from speech_emotion.models.bands import BAND_FEATURE, BandExperts
from speech_emotion.models.classifiers import SexThenEmotion
from speech_emotion.models.conv1d import Conv1DClassifier
from speech_emotion.models.estimators import family_named
from speech_emotion.models.settings import CandidateSettings, SelectionSettings
from speech_emotion.models.speakers import SpeakerNormalizer, measured
from speech_emotion.models.splits import HELD_OUT, TRAIN
from speech_emotion.parallel import fan_out

__all__ = [
    "CROSS_VALIDATION",
    "ENROLLED",
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
TELEPHONE: Final = -1
CLEAN: Final = "clean"
ENROLLED: Final = "enrolled"
CONDITIONS: Final = {CLEAN: 0, "telephone": TELEPHONE}
"""Variant of each condition that is tested."""
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
    """All examples of one protocol.

    Variant 0 is the recording, higher ones are augmented copies, and variant ``-1 - k`` is variant k
    as a telephone would carry it: :data:`TELEPHONE` is that of the recording.

    Attributes:
        protocol: Name of the protocol.
        table: Columns ``utterance_id``, ``variant``, ``speaker``, ``sex``, ``label``, ``split``,
            ``fold``, ``known``, ``tested``.
        inputs: Features table or sequences array; its rows are those of ``table``.
        labels: Labels in the order of the codes.
        copies: Augmented copies of an utterance that are trained on; ``None`` for all there are.
        telephone: Whether telephone copies are trained on.
        enrolment_prior: Utterances of an average speaker that statistics start from under ``enrolled``.
    """

    protocol: str
    table: pd.DataFrame
    inputs: Inputs
    labels: tuple[str, ...]
    copies: int | None = None
    telephone: bool = False
    enrolment_prior: float = 4.0

    @property
    def folds(self) -> list[int]:
        """Numbers of the cross-validation folds."""
        return sorted(int(fold) for fold in self.table.loc[_is_train(self.table), "fold"].unique())

    @property
    def has_held_out(self) -> bool:
        """Whether the protocol holds anything out."""
        return bool((self.table["split"] == HELD_OUT).any())

    def fold(self, fold: int) -> tuple[Part, dict[str, Part]]:
        """Training examples of the other folds; what is tested of this one, by condition."""
        inside = self.table["fold"] == fold
        return self._divide(_is_train(self.table) & ~inside, inside)

    def final(self) -> tuple[Part, dict[str, Part]]:
        """All training examples; what is tested of the held-out ones, by condition."""
        return self._divide(_is_train(self.table), self.table["split"] == HELD_OUT)

    def _divide(self, training: pd.Series, unseen: pd.Series) -> tuple[Part, dict[str, Part]]:
        variant = self.table["variant"]
        tests = {
            condition: self._part(unseen & self.table["tested"] & (variant == number))
            for condition, number in CONDITIONS.items()
        }
        tests = {condition: part for condition, part in tests.items() if len(part.codes)}
        part = self._part(training & self._learnt())
        if not self.table["known"].any():
            return part, tests
        strangers = self._part(unseen & self.table["known"] & variant.isin(CONDITIONS.values()))
        return self._measure(part, strangers, tests)

    def _learnt(self) -> pd.Series:
        variant = self.table["variant"]
        last = np.inf if self.copies is None else self.copies
        return variant.between(TELEPHONE - last if self.telephone else 0, last)

    def _measure(
        self, training: Part, strangers: Part, tests: dict[str, Part]
    ) -> tuple[Part, dict[str, Part]]:
        """Measure every part from what is known of its speakers.

        A speaker's copies of one kind are taken for a speaker of their own.
        """
        normalizer = self._normalizer(training)
        normalizer.partial_fit(strangers.inputs, speakers=_voices(strangers))
        return _measured(training, normalizer), {
            condition: _measured(part, normalizer) for condition, part in tests.items()
        }

    def _normalizer(self, training: Part) -> SpeakerNormalizer:
        # A network scales its channels itself, and a few utterances say nothing of a spread.
        well_known = self.protocol in {"adapted", "cross_corpus_adapted"}
        own_scale = well_known and training.inputs.ndim == 2
        normalizer = SpeakerNormalizer(own_scale=own_scale)
        if self.protocol == ENROLLED:
            normalizer.prior = self.enrolment_prior
        known = training.table["known"]
        return normalizer.fit(training.inputs, speakers=_voices(training), known=known)

    def _part(self, chosen: pd.Series) -> Part:
        positions = np.flatnonzero(chosen)
        table = self.table.iloc[positions].reset_index(drop=True)
        codes = pd.Index(self.labels).get_indexer(pd.Index(table["label"]))
        if isinstance(self.inputs, pd.DataFrame):
            return Part(table, codes, self.inputs.iloc[positions])
        return Part(table, codes, np.asarray(self.inputs[positions]))

    def digest(self) -> str:
        """Digest of everything a study's result depends on: rows, folds, labels and inputs."""
        facts = f"{self.protocol} {self.copies} {self.telephone} {self.enrolment_prior}"
        digest = hashlib.sha256(facts.encode() + self.table.to_csv(index=False).encode())
        values = self.inputs.to_numpy() if isinstance(self.inputs, pd.DataFrame) else self.inputs
        for start in range(0, len(values), 1024):  # blocks: the array may be on disk
            digest.update(np.ascontiguousarray(values[start : start + 1024]).tobytes())
        return digest.hexdigest()


def _is_train(table: pd.DataFrame) -> pd.Series:
    return table["split"] == TRAIN


def _voices(part: Part) -> np.ndarray:
    return (part.table["speaker"] + "/" + part.table["variant"].astype(str)).to_numpy()


def _measured(part: Part, normalizer: SpeakerNormalizer) -> Part:
    values = normalizer.transform(part.inputs, speakers=_voices(part))
    return Part(part.table, part.codes, measured(part.inputs, values))


def make_examples(
    index: pd.DataFrame,
    inputs: Inputs,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    *,
    protocol: str,
    copies: int | None = None,
    telephone: bool = False,
    enrolment_prior: float = 4.0,
) -> Examples:
    """Join features with labels and one protocol's split.

    Args:
        index: Columns ``utterance_id`` and ``variant``: what each row of ``inputs`` is.
        inputs: Features table or sequences array, aligned with ``index``.
        utterances: Columns ``utterance_id``, ``speaker``, ``sex`` and ``label``.
        splits: Table of :func:`speech_emotion.models.assign_splits`.
        protocol: Protocol to take.
        copies: Augmented copies of an utterance to train on; ``None`` for all there are.
        telephone: Train on telephone copies, too.
        enrolment_prior: Utterances of an average speaker that statistics start from under ``enrolled``.
    """
    split = splits[splits["protocol"] == protocol].drop(columns="protocol")
    described = utterances[["utterance_id", "speaker", "sex", "label"]]
    table = index[["utterance_id", "variant"]].merge(
        described, on="utterance_id", how="left", validate="m:1"
    )
    table = table.merge(split, on="utterance_id", how="left", validate="m:1")
    if table[["label", "split"]].isna().to_numpy().any():
        stray = table.loc[table["label"].isna() | table["split"].isna(), "utterance_id"].iloc[0]
        raise ValueError(
            f"Features of {stray} have no label or split: the features are older than the "
            "utterances; run the feature_engineering pipeline again"
        )
    labels = tuple(sorted(utterances["label"].unique()))
    return Examples(protocol, table, inputs, labels, copies, telephone, enrolment_prior)


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
        settings: Seed.
        watched: Examples whose loss a network writes down an epoch, without learning from them.
    """
    estimator = family_named(candidate.family).build(seed=settings.seed)
    estimator.set_params(**(candidate.fixed | parameters))
    options: dict[str, Any] = {}
    if isinstance(estimator, Conv1DClassifier):
        options["groups"] = training.table["speaker"].to_numpy()
        if watched is not None:
            options["validation"] = (watched.inputs, watched.codes)
    else:
        if isinstance(estimator, SexThenEmotion):
            options["sex"] = training.table["sex"].to_numpy()
        if candidate.experts and BAND_FEATURE in training.inputs:
            estimator = BandExperts(estimator)
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
        predictions: ``utterance_id``, ``model``, ``protocol``, ``condition``, ``evaluation``,
            ``fold``, ``label``, ``prediction`` and ``p_<label>`` for each label.
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

    Whatever is tested is predicted as recorded and, where features of it are at hand, as a telephone
    would carry it.

    Args:
        examples: Examples of each compared protocol.
        candidate: Family and fixed hyperparameters.
        parameters: Chosen hyperparameters, the same for every protocol.
        settings: Selecting protocol, seed and number of processes.
    """
    folds = [
        (protocol, fold)
        for protocol, known in examples.items()
        for fold in [*known.folds, *([FINAL] if _needs_final(known, settings) else [])]
    ]
    shared = (dict(examples), candidate, parameters, settings)
    predictions, curves = [], []
    timings: dict[str, dict[str, Any]] = {}
    estimators: dict[str, BaseEstimator | None] = {}
    trained = fan_out(_train_and_test, folds, shared=shared, n_jobs=settings.n_jobs)
    for (protocol, _), (tables, taken, curve, estimator) in zip(folds, trained, strict=True):
        predictions += tables
        curves.append(curve)
        # The last round is the final one: trained on all folds.
        timings[protocol] = timings.get(protocol, {}) | taken
        estimators[protocol] = estimator
    return Evaluation(
        pd.concat(predictions, ignore_index=True),
        pd.DataFrame(timings.values()),
        pd.concat(curves, ignore_index=True),
        estimators[settings.protocol],
    )


def _needs_final(examples: Examples, settings: SelectionSettings) -> bool:
    return examples.has_held_out or examples.protocol == settings.protocol


def _train_and_test(
    protocol: str,
    fold: int,
    examples: Mapping[str, Examples],
    candidate: CandidateSettings,
    parameters: dict[str, Any],
    settings: SelectionSettings,
) -> tuple[list[pd.DataFrame], dict[str, Any], pd.DataFrame, BaseEstimator | None]:
    """Give one fold's predictions, timings and learning curve; the estimator if it is kept."""
    known = examples[protocol]
    names = {"model": candidate.family, "protocol": protocol}
    final = fold == FINAL
    training, tests = known.final() if final else known.fold(fold)
    watched = None if final else tests[CLEAN]
    started = time.perf_counter()
    estimator = fit_estimator(candidate, parameters, training, settings, watched=watched)
    taken = names | {"fit_seconds": time.perf_counter() - started}
    tables = []
    for condition, unseen in tests.items():
        begun = time.perf_counter()
        predicted = probabilities(estimator, unseen, known.labels)
        if condition == CLEAN:
            taken["predict_ms"] = 1000 * (time.perf_counter() - begun) / len(unseen.codes)
        facts = names | {"condition": condition}
        tables.append(_prediction_table(facts, fold, unseen, predicted, known.labels))
    kept = final and protocol == settings.protocol
    return tables, taken, _curves(names, fold, estimator), estimator if kept else None


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
