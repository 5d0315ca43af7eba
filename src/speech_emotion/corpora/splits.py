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
``leaking_folds``
    Published folds (``splits.file``) that put a speaker into two of them, or into training and test. They
    stand in place of the protocols above, which need folds without shared speakers.
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
from speech_emotion.corpora.published import FoldsError, match_folds, read_folds
from speech_emotion.corpora.speakers import without_speaker

__all__ = [
    "ENROLLED",
    "LEAKING",
    "LEFT_OUT",
    "PROTOCOLS",
    "TEST",
    "TRAIN",
    "Protocol",
    "SplitError",
    "SplitSettings",
    "assign_splits",
    "in_split",
    "split_digest",
]

TRAIN: Final = "train"
LEFT_OUT: Final = "left_out"
"""Value of column ``split`` for utterances that published folds do not list."""
LEAKING: Final = ("leaking_folds", "random_split")
"""Protocols whose tested speakers are in training, too."""
LEAKING_FOLDS: Final = "leaking_folds"
ENROLLED: Final = "enrolled"
TEST: Final = "test"

logger = logging.getLogger(__name__)


ProtocolName = Literal[
    "speaker_independent",
    "enrolled",
    "speaker_adapted",
    "cross_corpus",
    "cross_corpus_adapted",
    "leaking_folds",
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
    """How utterances are divided into cross-validation folds and a test set.

    Attributes:
        test_size: Share of the test set; 0.2 is about every fifth speaker. With 0 there is no test set,
            and all metrics come from cross-validation.
        folds: Number of cross-validation folds of the training set.
        enrolment: Neutral utterances of each speaker that normalize its features under ``enrolled``.
        neutral: Label of these utterances.
        seed: Seed of the assignment.
        file: Published folds, which replace the project's own, see
            :func:`speech_emotion.corpora.read_folds`; ``None`` for none.
    """

    renamed: ClassVar[dict[str, str]] = {"held_out": "test_size"}

    test_size: float = Field(0.2, ge=0.0, le=0.5)
    folds: int = Field(5, ge=2)
    enrolment: int = Field(2, ge=1)
    neutral: str = "neutral"
    seed: int = 0
    file: str | None = None


class SplitError(ValueError):
    """The utterances cannot be divided with these settings."""


def assign_splits(utterances: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Divide utterances under every protocol, before anything is trained or augmented.

    Folds and test set are stratified by corpus and label. Published folds (``settings.file``) replace
    them: without a test set there, all metrics come from cross-validation; utterances that they do not
    list are left out. Where they share speakers, there is ``leaking_folds`` in place of
    ``speaker_independent``, ``enrolled`` and ``speaker_adapted``.

    Args:
        utterances: One row per utterance with ``utterance_id``, ``corpus``, ``speaker``, ``label``, and
            ``path`` for published folds.
        settings: Size of the test set, number of folds and seed, or published folds.

    Returns:
        One row per protocol and utterance: ``utterance_id``, ``protocol``, ``split`` (``train``,
        ``test`` or ``left_out``), ``fold`` (0 … folds - 1 in training, else -1), ``for_normalization``
        (whether its features are used to normalize its speaker) and ``tested``. With one corpus,
        ``cross_corpus`` and ``cross_corpus_adapted`` are left out.

    Raises:
        SplitError: If there are too few speakers, or a label is missing in the training set of a fold.

    Example:
        >>> import pandas as pd
        >>> utterances = pd.DataFrame(
        ...     [
        ...         {"utterance_id": f"{s}-{label}", "corpus": "tess", "speaker": s, "label": label}
        ...         for s in ("anna", "ben", "carla", "dan", "eva", "finn")
        ...         for label in ("angry", "neutral")
        ...     ]
        ... )
        >>> splits = assign_splits(utterances, SplitSettings(test_size=0.5, folds=2))
        >>> speaker_independent = splits[splits["protocol"] == "speaker_independent"]
        >>> speaker_independent["split"].value_counts().sort_index().to_dict()
        {'test': 6, 'train': 6}
    """
    utterances = utterances.sort_values("utterance_id", ignore_index=True)
    if settings.file is not None:
        return _published_splits(utterances, settings, settings.file)
    _check_speakers(utterances)
    _check_enough(utterances, settings)
    speakers = utterances["speaker"].nunique()
    if settings.test_size and speakers < round(1 / settings.test_size):
        raise SplitError(
            f"{speakers} speakers are too few for a test set of {settings.test_size:g} of them: set "
            f"splits.test_size to 0 (cross-validation only) or to {1 / speakers:.2g} (one speaker)"
        )
    _warn_of_rare_labels(utterances, settings)
    speaker_independent = _assign(utterances, "speaker_independent", settings)
    protocols = [
        *_without_shared_speakers(utterances, speaker_independent, settings),
        _assign(utterances, "random_split", settings),
        *_across_corpora(utterances),
    ]
    return pd.concat(protocols, ignore_index=True)


def _check_enough(utterances: pd.DataFrame, settings: SplitSettings) -> None:
    """Check that there are two labels and enough speakers, and say what helps."""
    if utterances["label"].nunique() < 2:
        raise SplitError(
            f"All {len(utterances)} utterances have the label {utterances['label'].iloc[0]!r}, so there is "
            "nothing to classify: add a corpus with other labels, or check corpora.label_set and the "
            "rejected files for labels that are not used"
        )
    names = sorted(utterances["speaker"].unique())
    sets = settings.folds + bool(settings.test_size)
    if len(names) >= sets:
        return
    needed = f"{settings.folds} speaker-disjoint folds" + " and a test set" * bool(
        settings.test_size
    )
    remedies = "add a corpus"
    if len(names) > 2 and settings.test_size:
        remedies += f", or add --params splits.folds={len(names) - 1}"
        if len(names) < round(1 / settings.test_size):
            remedies += f",splits.test_size={1 / len(names):.2g}"
    elif len(names) > 1:
        remedies += (
            ", or, for cross-validation only, add --params splits.folds=2,splits.test_size=0"
        )
    raise SplitError(
        f"{len(names)} speaker(s) ({', '.join(map(str, names[:6]))}) are too few for {needed}: {remedies}"
    )


def _without_shared_speakers(
    utterances: pd.DataFrame, speaker_independent: pd.DataFrame, settings: SplitSettings
) -> list[pd.DataFrame]:
    return [
        speaker_independent,
        _enrolled(utterances, speaker_independent, settings),
        speaker_independent.assign(protocol="speaker_adapted", for_normalization=True),
    ]


def _across_corpora(utterances: pd.DataFrame) -> list[pd.DataFrame]:
    """Each corpus is a fold; nothing if all of them share speakers."""
    corpora = _corpora_without_shared_speakers(utterances)
    if corpora.max() == 0:
        return []
    crossed = _table(utterances, "cross_corpus", np.zeros(len(corpora), dtype=bool), corpora)
    return [crossed, crossed.assign(protocol="cross_corpus_adapted", for_normalization=True)]


def _published_splits(
    utterances: pd.DataFrame, settings: SplitSettings, source: str
) -> pd.DataFrame:
    """Divide utterances by published folds."""
    try:
        published = match_folds(read_folds(source), utterances, source)
    except FoldsError as error:
        raise SplitError(str(error)) from error
    left_out = utterances.loc[~published["listed"], ["utterance_id"]]
    listed = utterances[published["listed"]].reset_index(drop=True)
    published = published[published["listed"]].reset_index(drop=True)
    is_test, fold = published["is_test"].to_numpy(), published["fold"].to_numpy(copy=True)
    leaking = _shared_speakers(listed["speaker"], is_test, fold)
    protocol = LEAKING_FOLDS if len(leaking) else "speaker_independent"
    if (fold[~is_test] < 0).all():  # a training and a test set without folds
        assigned = "random_split" if len(leaking) else "speaker_independent"
        fold[~is_test] = _assign_folds(listed[~is_test], assigned, settings.folds, settings.seed)
    _check_labels(listed, protocol, is_test, fold)
    table = _table(listed, protocol, is_test, fold)
    if len(leaking):
        logger.warning(
            "%s leaks speakers: %d of %d are in two folds, or in training and test (%s, …). Its folds are "
            "protocol %r in all tables and pages.",
            source,
            len(leaking),
            listed["speaker"].nunique(),
            ", ".join(leaking[:3]),
            LEAKING_FOLDS,
        )
        protocols = [table]
    else:
        _check_speakers(listed)
        protocols = _without_shared_speakers(listed, table, settings)
    without_test = settings.model_copy(update={"test_size": settings.test_size * is_test.any()})
    protocols += [_assign(listed, "random_split", without_test), *_across_corpora(listed)]
    unused = [
        _table(
            left_out, str(rows["protocol"].iloc[0]), np.zeros(len(left_out), dtype=bool), -1
        ).assign(split=LEFT_OUT, tested=False)
        for rows in protocols
        if len(left_out)
    ]
    return pd.concat([*protocols, *unused], ignore_index=True)


def _shared_speakers(speakers: pd.Series, is_test: np.ndarray, fold: np.ndarray) -> list[str]:
    """Speakers who are in two folds, or in training and test."""
    parts = pd.Series(np.where(is_test, -1, fold + 1)).groupby(speakers.to_numpy()).nunique()
    return sorted(map(str, parts.index[parts > 1]))


def _corpora_without_shared_speakers(utterances: pd.DataFrame) -> np.ndarray:
    """Number the corpora, 0, 1, …; those that share speakers, as speech and song do, are one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    corpora, names = pd.factorize(utterances["corpus"], sort=True)
    speakers, people = pd.factorize(utterances["speaker"])
    n = len(names) + len(people)
    links = coo_array((np.ones(len(corpora)), (corpora, len(names) + speakers)), shape=(n, n))
    return pd.factorize(connected_components(links, directed=False)[1][corpora], sort=True)[0]


def _check_speakers(utterances: pd.DataFrame) -> None:
    unknown = utterances[without_speaker(utterances)]
    if len(unknown):
        corpus = unknown["corpus"].iloc[0]
        raise SplitError(
            f"Corpus {corpus!r} does not say who speaks, so nothing can be evaluated on unseen speakers "
            f"({len(unknown)} utterances). Name the column or group of the speaker "
            f"(corpora.entries.{corpus}.columns.speaker), or say what to keep together instead: "
            f"corpora.entries.{corpus}.groups as a column, file or folder. Or leave the corpus out with "
            "corpora.select."
        )


def _enrolled(
    utterances: pd.DataFrame, speaker_independent: pd.DataFrame, settings: SplitSettings
) -> pd.DataFrame:
    """Draw neutral utterances of each speaker for normalization, which are then not tested."""
    neutral = utterances[utterances["label"] == settings.neutral]
    drawn = neutral.sample(frac=1, random_state=settings.seed).groupby("speaker")
    chosen = drawn.head(settings.enrolment)["utterance_id"]
    is_chosen = speaker_independent["utterance_id"].isin(chosen)
    without = utterances["speaker"].nunique() - drawn.ngroups
    if without:
        logger.warning(
            "%d speaker(s) have no utterance with label %r: under 'enrolled' their features are not "
            "normalized by speaker",
            without,
            settings.neutral,
        )
    return speaker_independent.assign(
        protocol=ENROLLED, for_normalization=is_chosen, tested=~is_chosen
    )


def _warn_of_rare_labels(utterances: pd.DataFrame, settings: SplitSettings) -> None:
    speakers = utterances.groupby("label")["speaker"].nunique()
    for label, count in speakers[speakers < settings.folds + 1].items():
        logger.warning(
            "Label %r has %d speaker(s), fewer than %d folds and a test set: some of them will not "
            "contain it. Lower splits.folds, add a corpus or drop the label.",
            label,
            count,
            settings.folds,
        )


def _assign(utterances: pd.DataFrame, protocol: str, settings: SplitSettings) -> pd.DataFrame:
    is_test = np.zeros(len(utterances), dtype=bool)
    if settings.test_size:
        n = round(1 / settings.test_size)
        is_test = _assign_folds(utterances, protocol, n, settings.seed) == 0
    fold = np.full(len(utterances), -1)
    fold[~is_test] = _assign_folds(utterances[~is_test], protocol, settings.folds, settings.seed)
    _check_labels(utterances, protocol, is_test, fold)
    return _table(utterances, protocol, is_test, fold)


def _check_labels(
    utterances: pd.DataFrame, protocol: str, is_test: np.ndarray, fold: np.ndarray
) -> None:
    """Every label has to be in the training set of every fold."""
    labels = set(utterances["label"])
    folds = sorted(set(fold[~is_test]))
    for number in folds:
        training = utterances.loc[~is_test & (fold != number), "label"]
        if missing := labels - set(training):
            raise SplitError(
                f"Under {protocol!r} the training set of fold {number} has no utterance with label "
                f"{', '.join(sorted(missing))}: lower splits.folds (now {len(folds)}), "
                "add a corpus or choose a label set without it"
            )


def _table(
    utterances: pd.DataFrame, protocol: str, is_test: np.ndarray, fold: np.ndarray | int
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "utterance_id": utterances["utterance_id"],
            "protocol": protocol,
            "split": np.where(is_test, TEST, TRAIN),
            "fold": np.where(is_test, -1, fold),
            "for_normalization": False,
            "tested": True,
        }
    )


def _assign_folds(utterances: pd.DataFrame, protocol: str, n: int, seed: int) -> np.ndarray:
    """Number of the fold, 0 … n - 1, of each utterance."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    by_speaker = protocol == "speaker_independent"
    splitter_class = StratifiedGroupKFold if by_speaker else StratifiedKFold
    splitter = splitter_class(n_splits=n, shuffle=True, random_state=seed)
    groups = utterances["speaker"] if by_speaker else None
    strata = _strata(utterances, n)
    folds = np.empty(len(utterances), dtype=int)
    for fold, (_, inside) in enumerate(splitter.split(strata, strata, groups)):
        folds[inside] = fold
    return folds


def _strata(utterances: pd.DataFrame, n: int) -> pd.Series:
    """Corpus and label of each utterance; the label alone if a corpus has fewer than ``n`` of it."""
    strata = utterances["corpus"] + "/" + utterances["label"]
    rare = strata.map(strata.value_counts()) < n
    strata = strata.mask(rare, utterances["label"])
    if strata.value_counts().max() < n:
        raise SplitError(f"{len(utterances)} utterances are too few for {n} folds; add a corpus")
    return strata


def in_split(ids: pd.Series, splits: pd.DataFrame, protocol: str, split: str) -> pd.Series:
    """Say which utterances are in a split.

    Args:
        ids: Values of ``utterance_id``.
        splits: Table of :func:`assign_splits`.
        protocol: Name of the protocol.
        split: ``train`` or ``test``.

    Returns:
        Booleans with the index of ``ids``.
    """
    chosen = (splits["protocol"] == protocol) & (splits["split"] == split)
    return ids.isin(splits.loc[chosen, "utterance_id"])


def split_digest(splits: pd.DataFrame, utterances: pd.DataFrame, protocol: str) -> str:
    """Compute a short digest of the tested utterances: metrics with equal digests are comparable.

    The tested utterances are those of the test set or, without one, those of the folds.

    Args:
        splits: Table of :func:`assign_splits`.
        utterances: Table with ``utterance_id``, ``label`` and ``content_hash``.
        protocol: Name of the protocol.
    """
    tested = splits[(splits["protocol"] == protocol) & splits["tested"]]
    if (tested["split"] == TEST).any():
        tested = tested[tested["split"] == TEST]
    rows = utterances[utterances["utterance_id"].isin(tested["utterance_id"])]
    rows = rows.sort_values("utterance_id")[["utterance_id", "label", "content_hash"]]
    return hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()[:16]
