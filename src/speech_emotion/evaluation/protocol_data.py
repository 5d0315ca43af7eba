"""Training and test examples of one evaluation protocol, with normalization by speaker."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pandas as pd

from speech_emotion.audio import TELEPHONE_TEST, line_of_test
from speech_emotion.corpora import ENROLLED, TEST, TRAIN
from speech_emotion.models import SpeakerNormalizer, with_normalized_values
from speech_emotion.runtime import join

__all__ = [
    "CLEAN",
    "CONDITIONS",
    "CROSS_VALIDATION",
    "OUTDATED",
    "TELEPHONE",
    "Examples",
    "Inputs",
    "Subset",
    "label_names",
    "make_examples",
    "probability_columns",
]

CROSS_VALIDATION: Final = "cross-validation"
"""Value of column ``evaluation`` for out-of-fold predictions; for the test set it is ``test``."""

CLEAN: Final = "clean"
"""Condition of recordings as they are in the corpus."""

TELEPHONE: Final = "telephone"
"""Condition of recordings over telephone lines that no training line resembles."""

CONDITIONS: Final = {CLEAN: 0, TELEPHONE: TELEPHONE_TEST}
"""Variant that is tested under each condition."""

MAX_VARIANT: Final = -2 - TELEPHONE_TEST
"""Largest number of a copy; the one over a training line is still above the test variant."""
OUTDATED: Final = (
    "the features are not of these utterances; run the feature_engineering pipeline again"
)
DESCRIPTION: Final = ["utterance_id", "corpus", "speaker", "sex", "label"]

Inputs: TypeAlias = pd.DataFrame | np.ndarray


@dataclass(frozen=True)
class Subset:
    """Some of the examples.

    Attributes:
        table: Rows of :attr:`Examples.table`.
        codes: Position of each row's label in :attr:`Examples.labels`, shape ``(n,)``.
        inputs: Model inputs, shape ``(n, …)``.
    """

    table: pd.DataFrame
    codes: np.ndarray
    inputs: Inputs


@dataclass(frozen=True)
class Examples:
    """All examples of one protocol.

    Variant 0 is the recording, variants 1, 2, … are augmented copies. Variant ``-1 - k`` is variant k over
    a training line. The recording over a test line is only tested.

    Attributes:
        protocol: Name of the protocol.
        table: Columns ``utterance_id``, ``variant``, ``corpus``, ``speaker``, ``sex``, ``label``,
            ``line`` (name of the test line, empty for other variants), ``split``, ``fold``,
            ``for_normalization``, ``tested``; and ``weight`` if one is below 1.
        inputs: Features table or sequences array, with the rows of ``table``.
        labels: All labels, in the order of the codes.
        copies: Largest variant to train on; ``None`` for all variants.
        telephone: Whether to train on variants over training lines, too.
        enrolment_prior: Weight of the average speaker in the statistics of each speaker under
            ``enrolled``, in utterances.
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
        return sorted(int(fold) for fold in self.table.loc[self._in_training, "fold"].unique())

    @property
    def has_test(self) -> bool:
        """Whether the protocol has a test set."""
        return bool((self.table["split"] == TEST).any())

    def fold(self, fold: int) -> tuple[Subset, dict[str, Subset]]:
        """Return the training examples of the other folds, and the test examples of this one.

        Returns:
            The training subset, and the tested subset of each condition that has examples.
        """
        inside = self.table["fold"] == fold
        return self._divide(self._in_training & ~inside, inside)

    def final(self) -> tuple[Subset, dict[str, Subset]]:
        """Return the training examples of all folds, and the examples of the test set by condition."""
        return self._divide(self._in_training, self.table["split"] == TEST)

    @property
    def _in_training(self) -> pd.Series:
        return self.table["split"] == TRAIN

    def _divide(self, training: pd.Series, unseen: pd.Series) -> tuple[Subset, dict[str, Subset]]:
        variant, for_normalization = self.table["variant"], self.table["for_normalization"]
        by_condition = {
            condition: self._subset(unseen & self.table["tested"] & (variant == number))
            for condition, number in CONDITIONS.items()
        }
        tests = {name: subset for name, subset in by_condition.items() if len(subset.codes)}
        train = self._subset(training & self._is_trained_on())
        if not for_normalization.any():
            return train, tests
        unseen_speakers = self._subset(
            unseen & for_normalization & variant.isin(CONDITIONS.values())
        )
        normalizer = self._normalizer(train)
        normalizer.partial_fit(
            unseen_speakers.inputs, speakers=_normalization_groups(unseen_speakers)
        )
        return _normalized(train, normalizer), {
            condition: _normalized(subset, normalizer) for condition, subset in tests.items()
        }

    def _is_trained_on(self) -> pd.Series:
        """Rows whose variant is trained on."""
        last = MAX_VARIANT if self.copies is None else self.copies
        return self.table["variant"].between(-1 - last if self.telephone else 0, last)

    def _normalizer(self, train: Subset) -> SpeakerNormalizer:
        # Networks scale their channels themselves, and a few enrolled utterances give no reliable spread.
        all_utterances = self.protocol in {"speaker_adapted", "cross_corpus_adapted"}
        normalizer = SpeakerNormalizer(scale_by_speaker=all_utterances and train.inputs.ndim == 2)
        if self.protocol == ENROLLED:
            normalizer.prior = self.enrolment_prior
        return normalizer.fit(
            train.inputs,
            speakers=_normalization_groups(train),
            known=train.table["for_normalization"],
        )

    def _subset(self, chosen: pd.Series) -> Subset:
        positions = np.flatnonzero(chosen)
        table = self.table.iloc[positions].reset_index(drop=True)
        codes = pd.Index(self.labels).get_indexer(pd.Index(table["label"]))
        if isinstance(self.inputs, pd.DataFrame):
            return Subset(table, codes, self.inputs.iloc[positions])
        return Subset(table, codes, np.asarray(self.inputs[positions]))

    def digest(self) -> str:
        """Compute a digest of all that the results depend on: rows, folds, labels, inputs, options."""
        options = f"{self.protocol} {self.copies} {self.telephone} {self.enrolment_prior}"
        digest = hashlib.sha256(options.encode() + self.table.to_csv(index=False).encode())
        values = self.inputs.to_numpy() if isinstance(self.inputs, pd.DataFrame) else self.inputs
        for start in range(0, len(values), 1024):  # blocks, because the array may be on disk
            digest.update(np.ascontiguousarray(values[start : start + 1024]).tobytes())
        return digest.hexdigest()


def _normalization_groups(subset: Subset) -> np.ndarray:
    """Speaker and variant of each row: each variant of a speaker is normalized as one speaker."""
    return (subset.table["speaker"] + "/" + subset.table["variant"].astype(str)).to_numpy()


def _normalized(subset: Subset, normalizer: SpeakerNormalizer) -> Subset:
    values = normalizer.transform(subset.inputs, speakers=_normalization_groups(subset))
    return Subset(subset.table, subset.codes, with_normalized_values(subset.inputs, values))


def make_examples(
    index: pd.DataFrame,
    inputs: Inputs,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    *,
    labels: Sequence[str],
    protocol: str,
    copies: int | None = None,
    telephone: bool = False,
    enrolment_prior: float = 4.0,
) -> Examples:
    """Join features with utterances and the split of one protocol.

    Args:
        index: Columns ``utterance_id`` and ``variant`` of each row of ``inputs``.
        inputs: Features table or sequences array, aligned with ``index``.
        utterances: Columns ``utterance_id``, ``corpus``, ``speaker``, ``sex`` and ``label``, and ``weight``
            if they have weights in training.
        splits: Table of :func:`speech_emotion.corpora.assign_splits`.
        labels: All labels, in the order of the codes and probabilities.
        protocol: Protocol whose split is used.
        copies: Largest variant to train on; ``None`` for all variants.
        telephone: Train on variants over training lines, too.
        enrolment_prior: Weight of the average speaker in the statistics of each speaker under
            ``enrolled``, in utterances.

    Raises:
        JoinError: If a row of ``index`` has no utterance or no split.
        ValueError: If ``inputs`` has other rows than ``index``, or a label is not in ``labels``.
    """
    split = splits[splits["protocol"] == protocol].drop(columns="protocol")
    if len(inputs) != len(index):
        raise ValueError(f"{len(inputs)} inputs for {len(index)} rows of features: {OUTDATED}")
    keys = index[["utterance_id", "variant"]]
    names = ("features", "utterances")
    weighted = "weight" in utterances and (utterances["weight"] < 1).any()
    description = utterances[[*DESCRIPTION, "weight"] if weighted else DESCRIPTION]
    table = join(keys, description, "utterance_id", names=names, remedy=OUTDATED)
    ids, is_line = table["utterance_id"], table["variant"] == TELEPHONE_TEST
    table["line"] = ids.where(~is_line, ids[is_line].map(line_of_test)).where(is_line, "")
    table = join(table, split, "utterance_id", names=("features", "splits"), remedy=OUTDATED)
    if unknown := sorted(set(table["label"]) - set(labels)):
        raise ValueError(f"Label {unknown[0]!r} is none of: {', '.join(labels)}")
    return Examples(protocol, table, inputs, tuple(labels), copies, telephone, enrolment_prior)


def probability_columns(predictions: pd.DataFrame) -> list[str]:
    """Names of the probability columns, in the order of the labels."""
    return [column for column in map(str, predictions) if column.startswith("p_")]


def label_names(predictions: pd.DataFrame) -> list[str]:
    """Labels of a predictions table, in the order of its probability columns."""
    return [column.removeprefix("p_") for column in probability_columns(predictions)]
