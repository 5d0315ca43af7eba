"""Ablation configurations: which features, PCA, copies, telephone sound, options and seeds are compared."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from speech_emotion.ablation.runner import (
    DIFFERENCE,
    KEYS,
    METRIC_COLUMNS,
    PROTOCOL,
    AblationConfig,
    AblationData,
    difference,
)
from speech_emotion.ablation.settings import AblationModel, AblationSettings
from speech_emotion.audio import TELEPHONE_TEST
from speech_emotion.corpora import SplitError, SplitSettings, assign_splits
from speech_emotion.evaluation import CandidateSettings, classification_metrics
from speech_emotion.features import KERNELS

__all__ = [
    "ALL_FEATURES",
    "ALL_LAYERS",
    "BANDWIDTH_PAIR",
    "DEFAULT_OPTIONS",
    "GROUP_ADDED",
    "GROUP_ALONE",
    "RECORDINGS_ONLY",
    "SINGLE_MODEL",
    "WITHOUT_GROUP",
    "WITHOUT_TELEPHONE",
    "augmentation_configs",
    "encoder_configs",
    "group_configs",
    "kernel_configs",
    "mfcc_configs",
    "network_configs",
    "seed_configs",
    "spread_table",
    "telephone_configs",
]

ALL_FEATURES: Final = "all features"
WITHOUT_GROUP: Final = "without"
GROUP_ALONE: Final = "alone"
GROUP_ADDED: Final = "added"
"""Values of column ``features``: how a group of features is used."""

MFCCS_ALONE: Final = "MFCCs alone"
NO_PCA: Final = "no PCA"

RECORDINGS_ONLY: Final = "recordings only"
"""Value of column ``training`` without augmented copies."""

WITHOUT_TELEPHONE: Final = "without"
SINGLE_MODEL: Final = "with, one model"
BANDWIDTH_PAIR: Final = "with, bandwidth models"
"""Values of column ``telephone_copies``."""

ALL_LAYERS: Final = "all layers averaged"
"""Value of column ``training`` of the reference of families on embeddings."""

DEFAULT_OPTIONS: Final = "default options"
"""Value of column ``training`` of a network without any of the compared options."""

logger = logging.getLogger(__name__)


def group_configs(
    groups: Mapping[str, Sequence[str]], candidate: CandidateSettings
) -> list[AblationConfig]:
    """Train on all features, without each group, and on each group alone.

    Args:
        groups: Columns of each group, together all features.
        candidate: Model to train.

    Example:
        >>> candidate = CandidateSettings(family="shrinkage_lda")
        >>> configs = group_configs({"level": ["rms"], "pitch": ["f0"]}, candidate)
        >>> [config.name for config in configs]
        ['all features', 'without level', 'alone level', 'without pitch', 'alone pitch']
    """
    everything = tuple(itertools.chain.from_iterable(groups.values()))
    description = {"group": ALL_FEATURES, "features": ALL_FEATURES}
    configs = [AblationConfig(ALL_FEATURES, candidate, description, features=everything)]
    for group, columns in groups.items():
        others = tuple(name for name in everything if name not in set(columns))
        for usage, names in ((WITHOUT_GROUP, others), (GROUP_ALONE, tuple(columns))):
            if names:
                configs.append(_group_config(group, usage, names, candidate))
    return configs


def kernel_configs(
    statistics: Sequence[str], kernels: Sequence[str], candidate: CandidateSettings
) -> list[AblationConfig]:
    """Train on the responses of convolution kernels, alone and together with all other features.

    Args:
        statistics: Columns of the other features.
        kernels: Columns of the responses; if there are none, the result is empty.
        candidate: Model to train.
    """
    if not kernels:
        return []
    columns = {GROUP_ALONE: tuple(kernels), GROUP_ADDED: (*statistics, *kernels)}
    return [_group_config(KERNELS, usage, names, candidate) for usage, names in columns.items()]


def _group_config(
    group: str, usage: str, names: tuple[str, ...], candidate: CandidateSettings
) -> AblationConfig:
    description = {"group": group, "features": usage}
    return AblationConfig(f"{usage} {group}", candidate, description, ALL_FEATURES, names)


def mfcc_configs(
    numbers: Mapping[str, int | None], stored: Sequence[str], settings: AblationSettings
) -> list[AblationConfig]:
    """Train with the MFCCs reduced by PCA, and with fewer or more coefficients.

    Args:
        numbers: Number of the MFCC that each column describes, ``None`` for other features.
        stored: Columns of the feature set; the others are further coefficients.
        settings: Model, PCA components and numbers of coefficients.

    Returns:
        Configurations with all features, and with MFCCs alone. More components or coefficients than there
        are columns are left out with a warning in the log.
    """
    mfccs = tuple(name for name in stored if numbers[name] is not None)
    columns = {ALL_FEATURES: tuple(stored), MFCCS_ALONE: mfccs}
    return [
        AblationConfig(
            f"{mfcc}, {features}",
            candidate,
            {"features": features, "mfcc": mfcc},
            f"{NO_PCA}, {features}",
            names,
        )
        for features in columns
        for mfcc, candidate, names in (
            *_pca_variants(columns[features], len(mfccs), settings),
            *_coefficient_variants(numbers, settings, others=features == ALL_FEATURES),
        )
    ]


Variant = tuple[str, CandidateSettings, tuple[str, ...]]


def _pca_variants(
    names: tuple[str, ...], n_mfccs: int, settings: AblationSettings
) -> Iterator[Variant]:
    """Description, model and columns for each number of PCA components."""
    for components in dict.fromkeys([None, *settings.pca_components]):
        if components is not None and components > n_mfccs:
            logger.warning("PCA: %d MFCC columns have no %s components", n_mfccs, components)
        else:
            yield _describe_pca(components), settings.with_pca(components), names


def _coefficient_variants(
    numbers: Mapping[str, int | None], settings: AblationSettings, *, others: bool
) -> Iterator[Variant]:
    """Description, model and columns for each number of MFCCs, with or without other features."""
    n_available = len({number for number in numbers.values() if number is not None})
    for count in dict.fromkeys(settings.coefficients):
        if count > n_available:
            logger.warning("Features have %d MFCCs, not %d", n_available, count)
            continue
        names = tuple(
            name
            for name, number in numbers.items()
            if (others if number is None else number < count)
        )
        yield f"{count} coefficients", settings.with_pca(None), names


def _describe_pca(components: int | float | None) -> str:
    if components is None:
        return NO_PCA
    return (
        f"PCA, {components} components" if components >= 1 else f"PCA, {components:g} of variance"
    )


def augmentation_configs(
    data: AblationData, plan: pd.DataFrame, copies: Sequence[str], candidate: CandidateSettings
) -> list[AblationConfig]:
    """Train on recordings alone, and on recordings with each kind of copy.

    Args:
        data: Features of recordings, copies and telephone sound.
        plan: ``utterance_id``, ``protocol``, ``variant`` and ``transform`` of each copy.
        copies: Descriptions of variants 1, 2, …; the variants after them are random.
        candidate: Model to train.
    """
    variant, original = data.index["variant"].to_numpy(), _originals(data)
    over_training_line = (variant < 0) & (variant != TELEPHONE_TEST)
    configs: list[AblationConfig] = []
    seen = set()
    for name, added, with_telephone in _kinds_of_copies(original, _transforms(data, plan), copies):
        telephone = with_telephone and bool(over_training_line.any())
        if (added.tobytes(), telephone) in seen:  # the data has no copies of this kind
            continue
        seen.add((added.tobytes(), telephone))
        rows = added | (original == 0)
        is_trained_on = (variant > 0) | (telephone & over_training_line)
        n_added = (rows & is_trained_on).sum()
        configs.append(
            AblationConfig(
                name,
                candidate.model_copy(update={"copies": None, "telephone": telephone}),
                {"training": name, "n_added": int(n_added)},
                RECORDINGS_ONLY,
                rows=rows,
            )
        )
    return configs


def _kinds_of_copies(
    original: np.ndarray, transform: pd.Series, copies: Sequence[str]
) -> Iterator[tuple[str, np.ndarray, bool]]:
    """Name, mask of the added rows, and whether telephone variants are added, too.

    Args:
        original: Variant of each row before the telephone.
        transform: Transform of each row.
        copies: Descriptions of variants 1, 2, ….
    """
    none = np.zeros(len(original), dtype=bool)
    is_copy = (original > 0) & (original <= len(copies))
    is_random = original > len(copies)
    yield RECORDINGS_ONLY, none, False
    for count in range(1, len(copies) + 1):
        counted = "1 copy" if count == 1 else f"{count} copies"
        name = f"+ {counted} ({'… ' if count > 1 else ''}{copies[count - 1]})"
        yield name, is_copy & (original <= count), False
    yield "+ random variants", is_random, False
    for name in sorted(transform[is_random].dropna().unique()):
        yield f"+ random {name}", is_random & (transform == name).to_numpy(), False
    yield "+ telephone copies", none, True
    yield "+ copies and random variants", is_copy | is_random, False
    yield "+ copies and telephone", is_copy, True
    yield "+ all", is_copy | is_random, True


def _originals(data: AblationData) -> np.ndarray:
    """Variant of each row before the telephone."""
    variant = data.index["variant"].to_numpy()
    original = np.where(variant < 0, -1 - variant, variant)
    return np.where(variant == TELEPHONE_TEST, 0, original)


def _transforms(data: AblationData, plan: pd.DataFrame) -> pd.Series:
    """Transform of each row's variant, missing for recordings."""
    planned = plan.loc[plan["protocol"] == PROTOCOL, [*KEYS, "transform"]]
    index = data.index.assign(variant=_originals(data))
    # Recordings themselves are not in the plan.
    return index.merge(planned, on=KEYS, how="left", validate="m:1")["transform"]


def telephone_configs(settings: AblationSettings) -> list[AblationConfig]:
    """Train each model without telephone sound, with it, and as a pair of bandwidth models.

    Args:
        settings: Models.
    """
    configs = []
    for family in dict.fromkeys(settings.telephone_models):
        for usage, telephone, bandwidth_models in (
            (WITHOUT_TELEPHONE, False, False),
            (SINGLE_MODEL, True, False),
            (BANDWIDTH_PAIR, True, True),
        ):
            candidate = settings.candidate(
                family, telephone=telephone, bandwidth_models=bandwidth_models
            )
            configs.append(
                AblationConfig(
                    f"{family} {usage}",
                    candidate,
                    {"model": family, "telephone_copies": usage},
                    f"{family} {WITHOUT_TELEPHONE}",
                )
            )
    return configs


def seed_configs(
    data: AblationData, splits: SplitSettings, settings: AblationSettings
) -> list[AblationConfig]:
    """Train with the speakers in other folds, and with other seeds of the model.

    Args:
        data: Features of the training speakers, which are divided again.
        splits: Number of folds. Seeds whose folds cannot be assigned are left out with a warning.
        settings: Models and numbers of seeds.
    """
    configs = []
    reference = settings.candidate(settings.reference)
    for seed in range(settings.fold_seeds):
        of_seed = splits.model_copy(update={"test_size": 0.0, "seed": seed})
        try:
            folds = assign_splits(data.utterances, of_seed)
        except SplitError as error:
            logger.warning("Folds of seed %d are left out: %s", seed, error)
            continue
        description: dict[str, Any] = {"seed_of": "folds", "seed": seed}
        configs.append(AblationConfig(f"folds {seed}", reference, description, splits=folds))
    for family in dict.fromkeys(settings.seeded_models):
        candidate = settings.candidate(family)
        for seed in range(settings.model_seeds):
            description = {"seed_of": "model", "seed": seed}
            configs.append(AblationConfig(f"{family} {seed}", candidate, description, seed=seed))
    return configs


def network_configs(settings: AblationSettings) -> list[AblationConfig]:
    """Train networks with default options, and with each option, from several seeds.

    Args:
        settings: Networks, options and number of seeds.
    """
    varied = set(itertools.chain.from_iterable(settings.network_options))
    configs = []
    for family in dict.fromkeys(settings.networks):
        fixed = settings.models.get(family, AblationModel()).fixed
        defaults = {name: value for name, value in fixed.items() if name not in varied}
        for option in ({}, *settings.network_options):
            training = ", ".join(f"{name} {value}" for name, value in option.items())
            training = training or DEFAULT_OPTIONS
            candidate = settings.candidate(family, fixed=defaults | option)
            for seed in range(settings.network_seeds):
                name = f"{family}, {training}, seed {seed}"
                description = {"training": training, "seed": seed}
                configs.append(AblationConfig(name, candidate, description, seed=seed))
    return configs


def encoder_configs(
    layers: Sequence[int], candidate: CandidateSettings, *, copies: int | None
) -> list[AblationConfig]:
    """Train on each layer of an encoder, on fewer statistics, and without copies.

    Args:
        layers: Layers of the embeddings.
        candidate: A family on embeddings; its layers are averaged.
        copies: Augmented copies of the reference; ``None`` for all.

    Example:
        >>> candidate = CandidateSettings(family="encoder_lda")
        >>> [config.name for config in encoder_configs([1, 2], candidate, copies=2)][:3]
        ['all layers averaged', 'layer 1 alone', 'layer 2 alone']
    """
    variants: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {ALL_LAYERS: ({}, {})}
    if len(layers) > 1:
        variants |= {f"layer {layer} alone": ({"layers": (layer,)}, {}) for layer in layers}
    variants |= {
        "mean": ({"statistics": ("mean",)}, {}),
        "mean and standard deviation": ({"statistics": ("mean", "std")}, {}),
        "without augmented copies": ({}, {"copies": 0}),
        "without telephone copies": ({}, {"telephone": False}),
    }
    configs = []
    for name, (fixed, changes) in variants.items():
        changed = {"copies": copies} | changes | {"fixed": candidate.fixed | fixed}
        configs.append(
            AblationConfig(
                name, candidate.model_copy(update=changed), {"training": name}, ALL_LAYERS
            )
        )
    return configs


def spread_table(
    table: pd.DataFrame,
    predictions: pd.DataFrame,
    labels: Sequence[str],
    *,
    by: str,
    reference: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute the spread of the UAR over seeds.

    Args:
        table: Table of :func:`speech_emotion.ablation.compare`, in which configurations with equal ``by``
            and ``model`` differ only in their seeds.
        predictions: Predictions of all configurations.
        labels: All labels.
        by: Column that groups the configurations.
        reference: Value of ``by`` that the others of the same model are compared with.
        resamples: Resamples of speakers.
        seed: Seed of the resampling.

    Returns:
        ``by``, ``model``, ``protocol``, ``condition``, ``n_seeds``, ``uar_min``, ``uar_max``, ``uar_sd``,
        ``uar`` (the mean) with its interval over speakers, ``n_utterances``, ``n_speakers`` and, with a
        reference, the ``difference`` to it, as in :func:`speech_emotion.ablation.compare`.
    """
    keys = [by, "model", "protocol", "condition"]
    bootstrap = {"resamples": resamples, "seed": seed}
    # All seeds test the same utterances, so the UAR of the pooled predictions is the mean of the UARs.
    pooled = {
        names: predictions[predictions["model"].isin(group["config"])].query(
            "condition == @names[3]"
        )
        for names, group in table.groupby(keys, sort=False)
    }
    rows = []
    for names, group in table.groupby(keys, sort=False):
        metrics = classification_metrics(pooled[names], labels, **bootstrap)
        row = dict(zip(keys, names, strict=True)) | {"n_seeds": len(group)}
        row |= {f"uar_{name}": group["uar"].agg(name) for name in ("min", "max")}
        row |= {"uar_sd": group["uar"].std()}
        row |= {name: metrics[name] for name in METRIC_COLUMNS}
        row |= {"n_utterances": int(group["n_utterances"].iloc[0])}
        if reference is not None:
            row |= dict.fromkeys(DIFFERENCE, np.nan)
        if reference not in (None, names[0]):
            of_reference = pooled[(reference, *names[1:])]
            row |= difference(pooled[names], of_reference, labels, **bootstrap)
        rows.append(row)
    return pd.DataFrame(rows)
