"""Evaluation protocols: how utterances are divided, and which ones normalize a speaker's features.

A protocol divides the utterances into a training set with cross-validation folds and a test set, and
states which utterances of a speaker may be used to normalize the features of that speaker.

``speaker_independent``
    No speaker is in two folds, or in a fold and the test set. Features are not normalized by speaker.
    This is the protocol for callers that the system has never met, and the headline of all reports.
``enrolled``
    The same folds and test set. A few neutral utterances of each speaker (``splits.enrolment``) are
    known in advance: features are normalized with them, and they are not tested.
``speaker_adapted``
    The same folds and test set. Features are normalized with all utterances of the speaker, the tested
    ones included, without their labels. Acted corpora balance the emotions of each speaker and real
    calls do not, so the scores are optimistic for real calls.
``cross_corpus``
    Each corpus is one fold: models that were trained on the other corpora predict it. Hyperparameters
    are those of the selecting protocol, whose training set covers all corpora.
``cross_corpus_adapted``
    ``cross_corpus`` with the normalization of ``speaker_adapted``.
``random_split``
    Utterances are divided without regard to speakers, so speakers leak from training into the tests. It
    only shows how much such a leak inflates the scores.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Annotated, ClassVar, Final, Literal, get_args

import numpy as np
import pandas as pd
from pydantic import Field

from speech_emotion.config import Settings, refuse_old_names

__all__ = [
    "ENROLLED",
    "PROTOCOLS",
    "TEST",
    "TRAIN",
    "Protocol",
    "SplitError",
    "SplitSettings",
    "assign_splits",
    "split_digest",
]

TRAIN: Final = "train"
ENROLLED: Final = "enrolled"
TEST: Final = "test"

logger = logging.getLogger(__name__)


ProtocolName = Literal[
    "speaker_independent",
    "enrolled",
    "speaker_adapted",
    "cross_corpus",
    "cross_corpus_adapted",
    "random_split",
]
PROTOCOLS: Final[tuple[str, ...]] = get_args(ProtocolName)
"""Names of all protocols."""

Protocol = Annotated[
    ProtocolName,
    refuse_old_names(
        {"cold": "speaker_independent", "adapted": "speaker_adapted", "random": "random_split"}
    ),
]
"""Name of a protocol in settings."""


class SplitSettings(Settings):
    """How utterances are divided into training folds and held-out utterances.

    Attributes:
        test_size: Share of the data that is held out (0.2 takes about every fifth speaker); with 0
            all is cross-validated, and figures rest on the folds alone.
        folds: Number of cross-validation folds over the rest.
        enrolment: Neutral utterances of each speaker that are known under ``enrolled``.
        neutral: Label of the utterances that speakers are enrolled with.
        seed: Seed of the assignment.
    """

    renamed: ClassVar[dict[str, str]] = {"held_out": "test_size"}

    test_size: float = Field(0.2, ge=0.0, le=0.5)
    folds: int = Field(5, ge=2)
    enrolment: int = Field(2, ge=1)
    neutral: str = "neutral"
    seed: int = 0


class SplitError(ValueError):
    """The utterances cannot be divided as asked."""


def assign_splits(utterances: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Divide utterances under every protocol, once, before anything is learnt or augmented.

    Labels and corpora are both balanced over the parts: the strata are corpus and label.

    Args:
        utterances: One row an utterance with ``utterance_id``, ``corpus``, ``speaker``, ``label``.
        settings: Held-out share, folds and seed.

    Returns:
        One row a protocol and utterance: ``utterance_id``, ``protocol``, ``split`` (``train`` or
        ``test``), ``fold`` (0 … folds - 1 in training, -1 in the test set), ``for_normalization``
        (whether its features are used to normalize its speaker) and ``tested``. Protocols that cross
        corpora are missing where there is one corpus.

    Raises:
        SplitError: If there are too few speakers, or a label cannot be trained in some fold.
    """
    utterances = utterances.sort_values("utterance_id", ignore_index=True)
    speakers = utterances["speaker"].nunique()
    if speakers < settings.folds + 1:
        raise SplitError(
            f"{speakers} speaker(s) ({', '.join(sorted(utterances['speaker'].unique())[:6])}) are "
            f"too few for {settings.folds} speaker-disjoint folds and held-out speakers: "
            f"add a corpus or set splits.folds to {max(speakers - 1, 2)} or less"
        )
    _warn_of_rare_labels(utterances, settings)
    speaker_independent = _assign(utterances, "speaker_independent", settings)
    parts = [
        speaker_independent,
        _enrolled(utterances, speaker_independent, settings),
        speaker_independent.assign(protocol="speaker_adapted", for_normalization=True),
        _assign(utterances, "random_split", settings),
    ]
    if utterances["corpus"].nunique() > 1:
        corpora = pd.factorize(utterances["corpus"], sort=True)[0]
        crossed = speaker_independent.assign(protocol="cross_corpus", split=TRAIN, fold=corpora)
        parts += [crossed, crossed.assign(protocol="cross_corpus_adapted", for_normalization=True)]
    return pd.concat(parts, ignore_index=True)


def _enrolled(
    utterances: pd.DataFrame, speaker_independent: pd.DataFrame, settings: SplitSettings
) -> pd.DataFrame:
    """Draw the neutral utterances that are known of each speaker, and take them out of the test."""
    neutral = utterances[utterances["label"] == settings.neutral]
    drawn = neutral.sample(frac=1, random_state=settings.seed).groupby("speaker")
    known = speaker_independent["utterance_id"].isin(drawn.head(settings.enrolment)["utterance_id"])
    strangers = utterances["speaker"].nunique() - drawn.ngroups
    if strangers:
        logger.warning(
            "%d speaker(s) say nothing labelled %r: nothing is known of them under 'enrolled'",
            strangers,
            settings.neutral,
        )
    return speaker_independent.assign(protocol="enrolled", for_normalization=known, tested=~known)


def _warn_of_rare_labels(utterances: pd.DataFrame, settings: SplitSettings) -> None:
    speakers = utterances.groupby("label")["speaker"].nunique()
    for label, count in speakers[speakers < settings.folds + 1].items():
        logger.warning(
            "Label %r is spoken by %d speaker(s), fewer than %d folds and a held-out part: some "
            "parts will not contain it. Lower splits.folds, add a corpus or drop the label.",
            label,
            count,
            settings.folds,
        )


def _assign(utterances: pd.DataFrame, protocol: str, settings: SplitSettings) -> pd.DataFrame:
    is_test = np.zeros(len(utterances), dtype=bool)
    if settings.test_size:
        is_test = _parts(utterances, protocol, round(1 / settings.test_size), settings.seed) == 0
    fold = np.full(len(utterances), -1)
    fold[~is_test] = _parts(utterances[~is_test], protocol, settings.folds, settings.seed)
    labels = set(utterances["label"])
    for part in range(settings.folds):
        training = utterances.loc[~is_test & (fold != part), "label"]
        if missing := labels - set(training):
            raise SplitError(
                f"Under {protocol!r} no training speaker of fold {part} says "
                f"{', '.join(sorted(missing))}: lower splits.folds (now {settings.folds}), "
                "add a corpus or choose a label set without it"
            )
    return pd.DataFrame(
        {
            "utterance_id": utterances["utterance_id"],
            "protocol": protocol,
            "split": np.where(is_test, TEST, TRAIN),
            "fold": fold,
            "for_normalization": False,
            "tested": True,
        }
    )


def _parts(utterances: pd.DataFrame, protocol: str, n: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    by_speaker = protocol == "speaker_independent"
    splitter_class = StratifiedGroupKFold if by_speaker else StratifiedKFold
    splitter = splitter_class(n_splits=n, shuffle=True, random_state=seed)
    groups = utterances["speaker"] if by_speaker else None
    strata = _strata(utterances, n)
    parts = np.empty(len(utterances), dtype=int)
    for part, (_, inside) in enumerate(splitter.split(strata, strata, groups)):
        parts[inside] = part
    return parts


def _strata(utterances: pd.DataFrame, n: int) -> pd.Series:
    """Corpus and label, or the label alone where a corpus has too few of it to be spread."""
    strata = utterances["corpus"] + "/" + utterances["label"]
    rare = strata.map(strata.value_counts()) < n
    strata = strata.mask(rare, utterances["label"])
    if strata.value_counts().max() < n:
        raise SplitError(f"{len(utterances)} utterances are too few to be divided into {n} parts")
    return strata


def split_digest(splits: pd.DataFrame, utterances: pd.DataFrame, protocol: str) -> str:
    """Return a short digest of who is judged with which label: equal digests compare fairly.

    Without held-out utterances, those of the folds are judged.

    Args:
        splits: Table of :func:`assign_splits`.
        utterances: Table with ``utterance_id``, ``label`` and ``content_hash``.
        protocol: Protocol whose held-out part is meant.
    """
    tested = splits[(splits["protocol"] == protocol) & splits["tested"]]
    if (tested["split"] == TEST).any():
        tested = tested[tested["split"] == TEST]
    rows = utterances[utterances["utterance_id"].isin(tested["utterance_id"])]
    rows = rows.sort_values("utterance_id")[["utterance_id", "label", "content_hash"]]
    return hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()[:16]
