"""Data of one evaluation protocol: who is trained on, who is tested, and how speakers are normalized."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pandas as pd

from speech_emotion.corpora import ENROLLED, TEST, TRAIN
from speech_emotion.models import (
    SpeakerNormalizer,
    with_normalized_values,
)

__all__ = [
    "CLEAN",
    "CONDITIONS",
    "CROSS_VALIDATION",
    "TELEPHONE",
    "Examples",
    "Inputs",
    "Subset",
    "make_examples",
    "probability_columns",
]

CROSS_VALIDATION = "cross-validation"


TELEPHONE: Final = -1


CLEAN: Final = "clean"


CONDITIONS: Final = {CLEAN: 0, "telephone": TELEPHONE}
"""Variant of each condition that is tested."""


Inputs: TypeAlias = pd.DataFrame | np.ndarray


@dataclass(frozen=True)
class Subset:
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
        table: Columns ``utterance_id``, ``variant``, ``corpus``, ``speaker``, ``sex``, ``label``,
            ``split``, ``fold``, ``for_normalization``, ``tested``.
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
    def has_test(self) -> bool:
        """Whether the protocol holds anything out."""
        return bool((self.table["split"] == TEST).any())

    def fold(self, fold: int) -> tuple[Subset, dict[str, Subset]]:
        """Training examples of the other folds; what is tested of this one, by condition."""
        inside = self.table["fold"] == fold
        return self._divide(_is_train(self.table) & ~inside, inside)

    def final(self) -> tuple[Subset, dict[str, Subset]]:
        """All training examples; what is tested of the held-out ones, by condition."""
        return self._divide(_is_train(self.table), self.table["split"] == TEST)

    def _divide(self, training: pd.Series, unseen: pd.Series) -> tuple[Subset, dict[str, Subset]]:
        variant = self.table["variant"]
        tests = {
            condition: self._part(unseen & self.table["tested"] & (variant == number))
            for condition, number in CONDITIONS.items()
        }
        tests = {condition: part for condition, part in tests.items() if len(part.codes)}
        part = self._part(training & self._learnt())
        if not self.table["for_normalization"].any():
            return part, tests
        strangers = self._part(
            unseen & self.table["for_normalization"] & variant.isin(CONDITIONS.values())
        )
        return self._measure(part, strangers, tests)

    def _learnt(self) -> pd.Series:
        variant = self.table["variant"]
        last = np.inf if self.copies is None else self.copies
        return variant.between(TELEPHONE - last if self.telephone else 0, last)

    def _measure(
        self, training: Subset, strangers: Subset, tests: dict[str, Subset]
    ) -> tuple[Subset, dict[str, Subset]]:
        """Measure every part from what is known of its speakers.

        A speaker's copies of one kind are taken for a speaker of their own.
        """
        normalizer = self._normalizer(training)
        normalizer.partial_fit(strangers.inputs, speakers=_normalization_groups(strangers))
        return _normalized(training, normalizer), {
            condition: _normalized(part, normalizer) for condition, part in tests.items()
        }

    def _normalizer(self, training: Subset) -> SpeakerNormalizer:
        # A network scales its channels itself, and a few utterances say nothing of a spread.
        well_known = self.protocol in {"speaker_adapted", "cross_corpus_adapted"}
        own_scale = well_known and training.inputs.ndim == 2
        normalizer = SpeakerNormalizer(own_scale=own_scale)
        if self.protocol == ENROLLED:
            normalizer.prior = self.enrolment_prior
        known = training.table["for_normalization"]
        return normalizer.fit(
            training.inputs, speakers=_normalization_groups(training), known=known
        )

    def _part(self, chosen: pd.Series) -> Subset:
        positions = np.flatnonzero(chosen)
        table = self.table.iloc[positions].reset_index(drop=True)
        codes = pd.Index(self.labels).get_indexer(pd.Index(table["label"]))
        if isinstance(self.inputs, pd.DataFrame):
            return Subset(table, codes, self.inputs.iloc[positions])
        return Subset(table, codes, np.asarray(self.inputs[positions]))

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


def _normalization_groups(part: Subset) -> np.ndarray:
    return (part.table["speaker"] + "/" + part.table["variant"].astype(str)).to_numpy()


def _normalized(part: Subset, normalizer: SpeakerNormalizer) -> Subset:
    values = normalizer.transform(part.inputs, speakers=_normalization_groups(part))
    return Subset(part.table, part.codes, with_normalized_values(part.inputs, values))


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
    """Join features with labels and one protocol's split.

    Args:
        index: Columns ``utterance_id`` and ``variant``: what each row of ``inputs`` is.
        inputs: Features table or sequences array, aligned with ``index``.
        utterances: Columns ``utterance_id``, ``corpus``, ``speaker``, ``sex`` and ``label``.
        splits: Table of :func:`speech_emotion.corpora.assign_splits`.
        labels: All labels, in the order of the codes and probabilities.
        protocol: Protocol whose split is used.
        copies: Augmented copies of an utterance to train on; ``None`` for all there are.
        telephone: Train on telephone copies, too.
        enrolment_prior: Utterances of an average speaker that statistics start from under ``enrolled``.
    """
    split = splits[splits["protocol"] == protocol].drop(columns="protocol")
    described = utterances[["utterance_id", "corpus", "speaker", "sex", "label"]]
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
    return Examples(protocol, table, inputs, tuple(labels), copies, telephone, enrolment_prior)


def probability_columns(predictions: pd.DataFrame) -> list[str]:
    """Names of the probability columns, in the order of the labels."""
    return [column for column in map(str, predictions) if column.startswith("p_")]
