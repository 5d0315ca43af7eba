"""Protocols: who is in training, in which fold, and who is held out.

``cold`` never shares a speaker between training, validation and held-out utterances. ``random``
ignores speakers: it exists to show how much a leaky split flatters, and carries its name wherever
its figures go.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Final

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from speech_emotion.models.settings import SplitSettings

__all__ = ["HELD_OUT", "PROTOCOLS", "TRAIN", "SplitError", "assign_splits", "split_digest"]

PROTOCOLS: Final = ("cold", "random")
TRAIN: Final = "train"
HELD_OUT: Final = "held-out"

logger = logging.getLogger(__name__)


class SplitError(ValueError):
    """The utterances cannot be divided as asked."""


def assign_splits(utterances: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Divide utterances under every protocol, once, before anything is learnt or augmented.

    Labels and corpora are both balanced over the parts: the strata are corpus and label.

    Args:
        utterances: One row an utterance with ``utterance_id``, ``corpus``, ``speaker``, ``label``.
        settings: Held-out share, folds and seed.

    Returns:
        Columns ``utterance_id``, ``protocol``, ``split`` (``train`` or ``held-out``) and ``fold``
        (0 … folds - 1 in training, -1 for held-out utterances), one row a protocol and utterance.

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
    return pd.concat(
        [_assign(utterances, protocol, settings) for protocol in PROTOCOLS], ignore_index=True
    )


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
    held_out = _parts(utterances, protocol, round(1 / settings.held_out), settings.seed) == 0
    fold = np.full(len(utterances), -1)
    fold[~held_out] = _parts(utterances[~held_out], protocol, settings.folds, settings.seed)
    labels = set(utterances["label"])
    for part in range(settings.folds):
        training = utterances.loc[~held_out & (fold != part), "label"]
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
            "split": np.where(held_out, HELD_OUT, TRAIN),
            "fold": fold,
        }
    )


def _parts(utterances: pd.DataFrame, protocol: str, n: int, seed: int) -> np.ndarray:
    by_speaker = protocol == "cold"
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
    """Return a short digest of who is held out with which label: equal digests compare fairly.

    Args:
        splits: Table of :func:`assign_splits`.
        utterances: Table with ``utterance_id``, ``label`` and ``content_hash``.
        protocol: Protocol whose held-out part is meant.
    """
    held_out = splits[(splits["protocol"] == protocol) & (splits["split"] == HELD_OUT)]
    rows = utterances[utterances["utterance_id"].isin(held_out["utterance_id"])]
    rows = rows.sort_values("utterance_id")[["utterance_id", "label", "content_hash"]]
    return hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()[:16]
