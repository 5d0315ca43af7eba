"""What is compared: trainings that differ in features, PCA, copies, telephone sound or seeds."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
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
    AblationModel,
    AblationSettings,
    difference,
)
from speech_emotion.corpora import SplitError, SplitSettings, assign_splits
from speech_emotion.evaluation import TELEPHONE, CandidateSettings, classification_metrics
from speech_emotion.features import KERNELS

__all__ = [
    "ADDED",
    "ALL",
    "ALONE",
    "ONE",
    "PLAIN",
    "RECORDINGS",
    "TWO",
    "WITHOUT",
    "augmentation_configs",
    "group_configs",
    "kernel_configs",
    "mfcc_configs",
    "network_configs",
    "seed_configs",
    "spread_table",
    "telephone_configs",
]

ALL: Final = "all features"
WITHOUT: Final = "without"
ALONE: Final = "alone"
ADDED: Final = "added"
RECORDINGS: Final = "recordings only"
ONE: Final = "with, one model"
TWO: Final = "with, a model each"
PLAIN: Final = "plain"

logger = logging.getLogger(__name__)


def group_configs(
    groups: Mapping[str, Sequence[str]], candidate: CandidateSettings
) -> list[AblationConfig]:
    """Train on all features, on all but one group, and on one group alone.

    Args:
        groups: Columns of each group; together all features.
        candidate: What is trained.
    """
    everything = tuple(itertools.chain.from_iterable(groups.values()))
    configs = [AblationConfig(ALL, candidate, {"group": ALL, "features": ALL}, columns=everything)]
    for group, columns in groups.items():
        others = tuple(name for name in everything if name not in set(columns))
        for used, names in ((WITHOUT, others), (ALONE, tuple(columns))):
            if names:
                facts = {"group": group, "features": used}
                configs.append(AblationConfig(f"{used} {group}", candidate, facts, ALL, names))
    return configs


def kernel_configs(
    statistics: Sequence[str], kernels: Sequence[str], candidate: CandidateSettings
) -> list[AblationConfig]:
    """Train on the responses of convolution kernels alone, and on them beside all other features.

    Args:
        statistics: Columns of the other features.
        kernels: Columns of the responses; where there are none, there is nothing to train.
        candidate: What is trained.
    """
    columns = {ALONE: tuple(kernels), ADDED: (*statistics, *kernels)}
    return [
        AblationConfig(
            f"{used} {KERNELS}", candidate, {"group": KERNELS, "features": used}, ALL, names
        )
        for used, names in columns.items()
        if kernels
    ]


def mfcc_configs(
    numbers: Mapping[str, int | None], stored: Sequence[str], settings: AblationSettings
) -> list[AblationConfig]:
    """Train with the MFCCs reduced by PCA, and with fewer or more coefficients.

    Args:
        numbers: Which MFCC each column describes, ``None`` for other features.
        stored: Columns of the feature set; the others are further coefficients.
        settings: Model, PCA components and numbers of coefficients.

    Returns:
        Arms with all features and with MFCCs alone. What the columns do not allow is left out, and
        said in the log.
    """
    own = [name for name in stored if numbers[name] is not None]
    coefficients = {number for number in numbers.values() if number is not None}
    configs: list[AblationConfig] = []
    for features in (ALL, "MFCCs alone"):
        names = tuple(stored) if features == ALL else tuple(own)
        reference = f"no PCA, {features}"
        for components in dict.fromkeys([None, *settings.pca_components]):
            if components is not None and components > len(own):
                logger.warning("%d MFCC columns have no %s components", len(own), components)
                continue
            facts = {"features": features, "mfcc": _described(components)}
            candidate = settings.with_pca(components)
            config = AblationConfig(
                f"{facts['mfcc']}, {features}", candidate, facts, reference, names
            )
            configs.append(config)
        for count in dict.fromkeys(settings.coefficients):
            if count > len(coefficients):
                logger.warning("The features hold %d MFCCs, not %d", len(coefficients), count)
                continue
            kept = tuple(
                name
                for name, number in numbers.items()
                if (number is not None and number < count) or (number is None and features == ALL)
            )
            facts = {"features": features, "mfcc": f"{count} coefficients"}
            name = f"{facts['mfcc']}, {features}"
            configs.append(AblationConfig(name, settings.with_pca(None), facts, reference, kept))
    return configs


def _described(components: int | float | None) -> str:
    if components is None:
        return "no PCA"
    return (
        f"PCA, {components} components" if components >= 1 else f"PCA, {components:g} of variance"
    )


def augmentation_configs(
    data: AblationData, plan: pd.DataFrame, copies: Sequence[str], candidate: CandidateSettings
) -> list[AblationConfig]:
    """Train on recordings, and on recordings with each kind of copy.

    Args:
        data: Features of recordings, copies and telephone sound.
        plan: ``utterance_id``, ``protocol``, ``variant`` and ``transform`` of each copy.
        copies: What variants 1, 2, … are; the variants after them are random.
        candidate: What is trained.
    """
    variant = data.index["variant"].to_numpy()
    over_telephone, original = variant < 0, _originals(data)
    transform = _transforms(data, plan)
    is_copy, is_random = (original > 0) & (original <= len(copies)), original > len(copies)
    has_telephone = bool(over_telephone.any())
    nothing = np.zeros(len(variant), dtype=bool)
    kinds = [(RECORDINGS, nothing, False)]
    for count in range(1, len(copies) + 1):
        named = "1 copy" if count == 1 else f"{count} copies"
        name = f"+ {named} ({'… ' if count > 1 else ''}{copies[count - 1]})"
        kinds.append((name, is_copy & (original <= count), False))
    kinds.append(("+ random variants", is_random, False))
    for name in sorted(transform[is_random].dropna().unique()):
        kinds.append((f"+ random {name}", is_random & (transform == name).to_numpy(), False))
    kinds += [
        ("+ telephone copies", nothing, True),
        ("+ copies and random variants", is_copy | is_random, False),
        ("+ copies and telephone", is_copy, True),
        ("+ all", is_copy | is_random, True),
    ]
    configs, seen = [], set()
    for name, added, wanted in kinds:
        telephone = wanted and has_telephone
        if (added.tobytes(), telephone) in seen:  # of a kind that there is not
            continue
        seen.add((added.tobytes(), telephone))
        chosen = candidate.model_copy(update={"copies": None, "telephone": telephone})
        rows = added | (original == 0)
        total = (rows & (variant != 0) & (telephone | ~over_telephone)).sum()
        facts = {"training": name, "n_added": int(total)}
        configs.append(AblationConfig(name, chosen, facts, RECORDINGS, rows=rows))
    return configs


def _originals(data: AblationData) -> np.ndarray:
    """Variant that each row is of, over a telephone or not."""
    variant = data.index["variant"].to_numpy()
    return np.where(variant < 0, TELEPHONE - variant, variant)


def _transforms(data: AblationData, plan: pd.DataFrame) -> pd.Series:
    """Transform of each row's variant, missing for recordings."""
    own = plan.loc[plan["protocol"] == PROTOCOL, [*KEYS, "transform"]]
    index = data.index.assign(variant=_originals(data))
    return index.merge(own, on=KEYS, how="left", validate="m:1")["transform"]


def telephone_configs(
    data: AblationData, plan: pd.DataFrame, settings: AblationSettings
) -> list[AblationConfig]:
    """Train each model without any telephone sound, with it, and with a model of its own for it.

    Args:
        data: Features of recordings, copies and telephone sound.
        plan: ``utterance_id``, ``protocol``, ``variant`` and ``transform`` of each copy.
        settings: Models.
    """
    # A random variant may be of telephone sound, too.
    spared = (_transforms(data, plan) != "telephone").to_numpy()
    configs = []
    for family in dict.fromkeys(settings.telephone_models):
        ways = (("without", False, False), (ONE, True, False), (TWO, True, True))
        for said, telephone, bandwidth_models in ways:
            name, reference = f"{family} {said}", f"{family} without"
            candidate = settings.candidate(
                family, telephone=telephone, bandwidth_models=bandwidth_models
            )
            facts = {"model": family, "telephone_copies": said}
            rows = None if telephone else spared
            configs.append(AblationConfig(name, candidate, facts, reference, rows=rows))
    return configs


def seed_configs(
    data: AblationData, splits: SplitSettings, settings: AblationSettings
) -> list[AblationConfig]:
    """Train with the speakers in other folds, and with other seeds of the model.

    Args:
        data: Features of the training speakers; only these are divided again.
        splits: How they are divided.
        settings: Models and numbers of seeds.
    """
    configs = []
    reference = settings.candidate(settings.reference)
    for seed in range(settings.fold_seeds):
        drawn = splits.model_copy(update={"test_size": 0.0, "seed": seed})
        try:
            folds = assign_splits(data.utterances, drawn)
        except SplitError as error:
            logger.warning("Folds of seed %d are left out: %s", seed, error)
            continue
        facts: dict[str, Any] = {"seed_of": "folds", "seed": seed}
        configs.append(AblationConfig(f"folds {seed}", reference, facts, splits=folds))
    for family in dict.fromkeys(settings.seeded_models):
        seeded = settings.candidate(family)
        for seed in range(settings.model_seeds):
            facts = {"seed_of": "model", "seed": seed}
            configs.append(AblationConfig(f"{family} {seed}", seeded, facts, seed=seed))
    return configs


def network_configs(settings: AblationSettings) -> list[AblationConfig]:
    """Train networks plainly and with each option, from several seeds.

    Args:
        settings: Networks, options and number of seeds.
    """
    tried = set(itertools.chain.from_iterable(settings.network_options))
    configs = []
    for family in dict.fromkeys(settings.networks):
        own = settings.models.get(family, AblationModel()).fixed
        plain = {name: value for name, value in own.items() if name not in tried}
        for option in ({}, *settings.network_options):
            said = ", ".join(f"{name} {value}" for name, value in option.items()) or PLAIN
            candidate = settings.candidate(family, fixed=plain | option)
            for seed in range(settings.network_seeds):
                facts = {"training": said, "seed": seed}
                configs.append(
                    AblationConfig(f"{family}, {said}, seed {seed}", candidate, facts, seed=seed)
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
    """Spread of the UAR over seeds.

    Args:
        table: Arms that differ in seeds alone where ``by`` and ``model`` are equal, as compared.
        predictions: Their predictions.
        labels: All labels.
        by: Column that tells what the seeds are of.
        reference: Value of ``by`` that the others of the same model are compared with.
        resamples: Resamples of speakers.
        seed: Seed of the resampling.

    Returns:
        ``by``, ``model``, ``protocol``, ``condition``, ``n_seeds``, ``uar_min``, ``uar_max``, ``uar_sd``,
        ``n_utterances``, ``n_speakers``, and ``uar``, the mean, with its interval over speakers; with a
        reference, also the ``difference`` to it, as :func:`speech_emotion.ablation.runner.compare`.
    """
    keys = [by, "model", "protocol", "condition"]
    merits = {"resamples": resamples, "seed": seed}
    # Every seed tests the same utterances: the UAR of all predictions is the mean of UARs.
    pooled = {
        names: predictions[predictions["model"].isin(own["config"])].query("condition == @names[3]")
        for names, own in table.groupby(keys, sort=False)
    }
    rows = []
    for names, own in table.groupby(keys, sort=False):
        found = classification_metrics(pooled[names], labels, **merits)
        row = dict(zip(keys, names, strict=True)) | {"n_seeds": len(own)}
        row |= {f"uar_{name}": own["uar"].agg(name) for name in ("min", "max")}
        row |= {"uar_sd": own["uar"].std()}
        row |= {name: found[name] for name in METRIC_COLUMNS}
        row |= {"n_utterances": int(own["n_utterances"].iloc[0])}
        if reference is not None:
            row |= dict.fromkeys(DIFFERENCE, np.nan)
        if reference not in (None, names[0]):
            other = pooled[(reference, *names[1:])]
            row |= difference(pooled[names], other, labels, **merits)
        rows.append(row)
    return pd.DataFrame(rows)
