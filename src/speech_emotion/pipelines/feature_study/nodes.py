"""Nodes of the feature study: each compares trainings that differ in one thing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from speech_emotion.ablation import (
    PLAIN,
    AblationConfig,
    AblationData,
    AblationSettings,
    augmentation_configs,
    compare,
    group_configs,
    kernel_configs,
    mfcc_configs,
    network_configs,
    permutation_importance,
    seed_configs,
    spread_table,
    statistic_names,
    telephone_configs,
)
from speech_emotion.audio import AugmentationSettings
from speech_emotion.corpora import SplitSettings
from speech_emotion.evaluation import SelectionSettings
from speech_emotion.features import (
    FeatureSettings,
    feature_groups,
    mfcc_moments,
    mfcc_number,
    sequence_names,
)
from speech_emotion.models import family_named
from speech_emotion.reporting import ablation as drawing
from speech_emotion.reporting import synthetic_note


def _labels(utterances: pd.DataFrame) -> list[str]:
    return sorted(utterances["label"].unique())


def _compared(
    configs: list[AblationConfig],
    data: AblationData,
    title: str,
    selection: SelectionSettings,
    study: AblationSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return compare(
        configs,
        data,
        title=title,
        n_jobs=study.n_jobs,
        resamples=selection.bootstrap,
        seed=selection.seed,
    )


def _spread(
    table: pd.DataFrame,
    predictions: pd.DataFrame,
    data: AblationData,
    selection: SelectionSettings,
    *,
    by: str,
    reference: str | None = None,
) -> pd.DataFrame:
    return spread_table(
        table,
        predictions,
        data.labels,
        by=by,
        reference=reference,
        resamples=selection.bootstrap,
        seed=selection.seed,
    )


def study_groups(
    features: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    selection: SelectionSettings,
    study: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Leave each group of features out, use it alone, and add the responses of kernels."""
    data = AblationData.select(features, utterances, splits, labels=_labels(utterances))
    configs = group_configs(feature_groups(data.names), study.candidate(study.reference))
    configs += kernel_configs(data.names, data.kernels, study.candidate("rocket_lda"))
    table, _ = _compared(configs, data, "Groups of features", selection, study)
    return table, drawing.ablation_figure(table, note=synthetic_note(utterances))


def study_importance(
    features: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    selection: SelectionSettings,
    study: AblationSettings,
) -> tuple[pd.DataFrame, pd.DataFrame, go.Figure]:
    """Shuffle groups of features, and single ones, among the tested utterances."""
    data = AblationData.select(features, utterances, splits, labels=_labels(utterances))
    groups = feature_groups(data.names)
    by_group, by_feature = (
        permutation_importance(
            AblationConfig("reference", study.candidate(study.reference), seed=selection.seed),
            data,
            blocks,
            repeats=study.repeats,
            n_jobs=study.n_jobs,
            resamples=selection.bootstrap,
            seed=selection.seed,
        )
        for blocks in (groups, {name: [name] for name in data.names})
    )
    group_of = {name: group for group, columns in groups.items() for name in columns}
    by_feature.insert(1, "group", by_feature["block"].map(group_of))
    figure = drawing.importance_figure(
        by_group, by_feature, top=study.top, note=synthetic_note(utterances)
    )
    return by_group, by_feature, figure


def study_mfcc(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    settings: FeatureSettings,
    selection: SelectionSettings,
    study: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Reduce the MFCCs by PCA, and take fewer or more of them."""
    stored = statistic_names(features)
    numbers = {name: mfcc_number(name) for name in stored}
    channels = sequence_names(settings.sequence, n_mfcc=settings.n_mfcc)
    further = mfcc_moments(sequences, channels, known=set(numbers.values()))
    numbers |= {name: mfcc_number(name) for name in further}
    data = AblationData.select(
        pd.concat([features, further], axis=1), utterances, splits, labels=_labels(utterances)
    )
    configs = mfcc_configs(numbers, stored, study)
    table, _ = _compared(configs, data, "PCA and number of MFCCs", selection, study)
    return table, drawing.mfcc_figure(table, note=synthetic_note(utterances))


def study_augmentation(
    features: pd.DataFrame,
    plan: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    augmentation: AugmentationSettings,
    selection: SelectionSettings,
    study: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Train on recordings alone, and with each kind of copy."""
    data = AblationData.select(features, utterances, splits, labels=_labels(utterances))
    copies = [f"{copy.transform} {copy.value:g}" for copy in augmentation.copies]
    configs = augmentation_configs(data, plan, copies, study.candidate(study.reference))
    table, _ = _compared(configs, data, "Copies", selection, study)
    return table, drawing.augmentation_figure(table, note=synthetic_note(utterances))


def study_telephone(
    features: pd.DataFrame,
    plan: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    selection: SelectionSettings,
    study: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Train models with and without telephone copies."""
    data = AblationData.select(features, utterances, splits, labels=_labels(utterances))
    configs = telephone_configs(data, plan, study)
    table, _ = _compared(configs, data, "Telephone copies", selection, study)
    return table, drawing.telephone_figure(table, note=synthetic_note(utterances))


def study_seeds(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    assignment: SplitSettings,
    selection: SelectionSettings,
    study: AblationSettings,
) -> tuple[pd.DataFrame, pd.DataFrame, go.Figure]:
    """Divide the training speakers into other folds, and start models from other seeds."""
    read = any(family_named(name).inputs == "sequences" for name in study.seeded_models)
    data = AblationData.select(
        features,
        utterances,
        splits,
        labels=_labels(utterances),
        sequences=sequences if read else None,
    )
    configs = seed_configs(data, assignment, study)
    table, predictions = _compared(configs, data, "Seeds", selection, study)
    spread = _spread(table, predictions, data, selection, by="seed_of")
    return table, spread, drawing.seeds_figure(table, note=synthetic_note(utterances))


def study_networks(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    selection: SelectionSettings,
    study: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Train networks plainly and with each option, from several seeds."""
    data = AblationData.select(
        features, utterances, splits, labels=_labels(utterances), sequences=sequences
    )
    table, predictions = _compared(
        network_configs(study), data, "Options of networks", selection, study
    )
    spread = _spread(table, predictions, data, selection, by="training", reference=PLAIN)
    return spread, drawing.networks_figure(spread, note=synthetic_note(utterances))


def write_study(
    utterances: pd.DataFrame, study: AblationSettings, **made: pd.DataFrame | go.Figure
) -> tuple[str, str]:
    """Write the study as Markdown and as a page.

    Args:
        utterances: All utterances.
        study: How many single features are shown.
        made: Tables by the names of their sections, and figures by ``NAME_figure``.
    """
    tables = {name: item for name, item in made.items() if isinstance(item, pd.DataFrame)}
    shown = tables["features"]["block"].drop_duplicates().head(study.top)
    tables["features"] = tables["features"][tables["features"]["block"].isin(shown)]
    figures = {
        name.removesuffix("_figure"): item for name, item in made.items() if name not in tables
    }
    note = synthetic_note(utterances)
    return (
        drawing.ablation_markdown(tables, note=note),
        drawing.ablation_page(tables, figures, note=note),
    )
