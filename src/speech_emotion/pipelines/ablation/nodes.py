"""Nodes of the ablation: each one compares trainings that differ in one setting."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from speech_emotion.ablation import (
    DEFAULT_OPTIONS,
    AblationConfig,
    AblationData,
    AblationSettings,
    augmentation_configs,
    choice_configs,
    columns_of_encoders,
    compare,
    encoder_configs,
    encoder_speed,
    fusion_configs,
    fusion_table,
    group_configs,
    join_tables,
    kernel_configs,
    mfcc_configs,
    network_configs,
    permutation_importance,
    seed_configs,
    spread_table,
    statistic_names,
    telephone_configs,
)
from speech_emotion.audio import AugmentationSettings, load_audio
from speech_emotion.corpora import SplitSettings
from speech_emotion.encoders import SpeechEncoder, find_encoder
from speech_emotion.evaluation import SelectionSettings
from speech_emotion.features import (
    EmbeddingSettings,
    FeatureSettings,
    feature_groups,
    gather_embeddings,
    index_embeddings,
    mfcc_moments,
    mfcc_number,
    sequence_names,
    store_embeddings,
)
from speech_emotion.models import family_named
from speech_emotion.reporting import ablation as figures
from speech_emotion.reporting import synthetic_note
from speech_emotion.runtime import ShardStore


def _compared(
    configs: list[AblationConfig],
    data: AblationData,
    title: str,
    selection: SelectionSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return compare(
        configs,
        data,
        title=title,
        n_jobs=ablation.n_jobs,
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


def compare_groups(
    features: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    selection: SelectionSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Train without each group of features, on each group alone, and with the kernel responses."""
    data = AblationData.select(features, utterances, splits, labels=labels)
    configs = group_configs(feature_groups(data.names), ablation.candidate(ablation.reference))
    configs += kernel_configs(data.names, data.kernels, ablation.candidate("rocket_lda"))
    table, _ = _compared(configs, data, "Groups of features", selection, ablation)
    return table, figures.ablation_figure(table, note=synthetic_note(utterances))


def compare_importance(
    features: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    selection: SelectionSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, pd.DataFrame, go.Figure]:
    """Compute the permutation importance of groups of features and of single features."""
    data = AblationData.select(features, utterances, splits, labels=labels)
    groups = feature_groups(data.names)
    by_group, by_feature = (
        permutation_importance(
            AblationConfig(
                "reference", ablation.candidate(ablation.reference), seed=selection.seed
            ),
            data,
            blocks,
            repeats=ablation.repeats,
            n_jobs=ablation.n_jobs,
            resamples=selection.bootstrap,
            seed=selection.seed,
        )
        for blocks in (groups, {name: [name] for name in data.names})
    )
    group_of = {name: group for group, columns in groups.items() for name in columns}
    by_feature.insert(1, "group", by_feature["block"].map(group_of))
    figure = figures.importance_figure(
        by_group, by_feature, top=ablation.top, note=synthetic_note(utterances)
    )
    return by_group, by_feature, figure


def compare_mfcc(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    settings: FeatureSettings,
    selection: SelectionSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Train with PCA of the MFCCs, and with fewer or more coefficients."""
    stored = statistic_names(features)
    numbers = {name: mfcc_number(name) for name in stored}
    channels = sequence_names(settings.sequence, n_mfcc=settings.n_mfcc)
    further = mfcc_moments(sequences, channels, exclude=set(numbers.values()))
    numbers |= {name: mfcc_number(name) for name in further}
    data = AblationData.select(
        pd.concat([features, further], axis=1), utterances, splits, labels=labels
    )
    configs = mfcc_configs(numbers, stored, ablation)
    table, _ = _compared(configs, data, "PCA and number of MFCCs", selection, ablation)
    return table, figures.mfcc_figure(table, note=synthetic_note(utterances))


def compare_augmentation(
    features: pd.DataFrame,
    plan: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    augmentation: AugmentationSettings,
    selection: SelectionSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Train on recordings alone, and with each kind of augmented copy."""
    data = AblationData.select(features, utterances, splits, labels=labels)
    copies = [f"{copy.transform} {copy.value:g}" for copy in augmentation.copies]
    configs = augmentation_configs(data, plan, copies, ablation.candidate(ablation.reference))
    table, _ = _compared(configs, data, "Copies", selection, ablation)
    return table, figures.augmentation_figure(table, note=synthetic_note(utterances))


def compare_telephone(
    features: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    selection: SelectionSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Train models with and without telephone copies."""
    data = AblationData.select(features, utterances, splits, labels=labels)
    configs = telephone_configs(ablation)
    table, _ = _compared(configs, data, "Telephone copies", selection, ablation)
    return table, figures.telephone_figure(table, note=synthetic_note(utterances))


def compare_seeds(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    assignment: SplitSettings,
    selection: SelectionSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, pd.DataFrame, go.Figure]:
    """Train with other assignments of speakers to folds, and with other seeds of the models."""
    read = any(family_named(name).inputs == "sequences" for name in ablation.seeded_models)
    data = AblationData.select(
        features,
        utterances,
        splits,
        labels=labels,
        sequences=sequences if read else None,
    )
    configs = seed_configs(data, assignment, ablation)
    table, predictions = _compared(configs, data, "Seeds", selection, ablation)
    spread = _spread(table, predictions, data, selection, by="seed_of")
    return table, spread, figures.seeds_figure(table, note=synthetic_note(utterances))


def compare_networks(
    features: pd.DataFrame,
    sequences: np.ndarray,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    selection: SelectionSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Train networks without options and with each option, from several seeds."""
    data = AblationData.select(features, utterances, splits, labels=labels, sequences=sequences)
    table, predictions = _compared(
        network_configs(ablation), data, "Options of networks", selection, ablation
    )
    spread = _spread(table, predictions, data, selection, by="training", reference=DEFAULT_OPTIONS)
    return spread, figures.networks_figure(spread, note=synthetic_note(utterances))


def compare_layers(
    embeddings: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    encoder: SpeechEncoder,
    selection: SelectionSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Train on single layers of the encoder, on fewer statistics, and without copies."""
    data = AblationData.select(embeddings, utterances, splits, labels=labels)
    candidate = ablation.candidate(ablation.encoder_model)
    configs = encoder_configs(encoder.layers, candidate, copies=candidate.copies)
    table, _ = _compared(configs, data, "Layers of the encoder", selection, ablation)
    return table, figures.encoder_figure(table, note=synthetic_note(utterances))


def encode_with_others(
    utterances: pd.DataFrame,
    plan: pd.DataFrame,
    cache: ShardStore,
    embeddings: pd.DataFrame,
    encoder: SpeechEncoder,
    settings: EmbeddingSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Encode recordings and their telephone copies with the further encoders, and measure the speed of all.

    Returns:
        Embeddings of all encoders side by side, and ``encoder``, ``layers``, ``ms_per_second`` and
        ``megabytes`` of each.

    Raises:
        EncoderMissing: If an encoder does not exist or could not be downloaded.
        ValueError: If two of them are the same.
    """
    encoders = [encoder, *map(find_encoder, ablation.encoders)]
    names = [each.card.slug for each in encoders]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(
            f"ablation.encoders: {', '.join(sorted(repeated))} occurs more than once; the encoder of the "
            "run is compared anyway"
        )
    index = index_embeddings(utterances, plan, settings.model_copy(update={"copies": 0}))
    tables = [embeddings]
    for other in encoders[1:]:
        store_embeddings(index, other, cache)
        stored = gather_embeddings(index, other, cache)
        tables.append(pd.concat(stored.statistics, ignore_index=True))
    timed = utterances.sort_values("seconds").iloc[len(utterances) // 4 : -len(utterances) // 4]
    paths = timed["path"].sample(min(ablation.encoder_sounds, len(timed)), random_state=0)
    speeds = []
    for each in encoders:
        sounds = [load_audio(path, each.card.sample_rate) for path in paths]
        speeds.append(
            {
                "encoder": each.card.slug,
                "layers": " ".join(map(str, each.layers)),
                "ms_per_second": encoder_speed(each, sounds),
                "megabytes": len(each.model) / 1e6,
            }
        )
    return join_tables(tables), pd.DataFrame(speeds)


def compare_encoders(
    embeddings: pd.DataFrame,
    speeds: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    selection: SelectionSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Train the same model on the embeddings of each encoder; UAR against time."""
    data = AblationData.select(embeddings, utterances, splits, labels=labels)
    columns = columns_of_encoders(data.names)
    candidate = ablation.candidate(ablation.encoder_model)
    configs = choice_configs(columns, candidate, reference=next(iter(columns)))
    table, _ = _compared(configs, data, "Encoders", selection, ablation)
    table = table.merge(speeds, on="encoder", validate="m:1")
    return table, figures.encoders_figure(table, note=synthetic_note(utterances))


def compare_fusion(
    features: pd.DataFrame,
    embeddings: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    selection: SelectionSettings,
    ablation: AblationSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Average a model on embeddings with models on features."""
    joined = join_tables([features, embeddings])
    data = AblationData.select(joined, utterances, splits, labels=labels)
    of_encoder = set(embeddings.columns)
    configs = fusion_configs(
        [name for name in data.names if name not in of_encoder],
        [name for name in data.names if name in of_encoder],
        ablation,
    )
    _, predictions = _compared(configs, data, "Embeddings with features", selection, ablation)
    table = fusion_table(
        predictions, labels, ablation, resamples=selection.bootstrap, seed=selection.seed
    )
    return table, figures.fusion_figure(table, note=synthetic_note(utterances))


def write_documents(
    utterances: pd.DataFrame, settings: AblationSettings, **results: pd.DataFrame | go.Figure
) -> tuple[str, str]:
    """Write the results as Markdown and as an HTML page.

    Args:
        utterances: All utterances.
        settings: Number of single features to show.
        results: Tables by the names of their sections, and figures by ``NAME_figure``.
    """
    tables = {name: item for name, item in results.items() if isinstance(item, pd.DataFrame)}
    shown = tables["features"]["block"].drop_duplicates().head(settings.top)
    tables["features"] = tables["features"][tables["features"]["block"].isin(shown)]
    drawn = {
        name.removesuffix("_figure"): item for name, item in results.items() if name not in tables
    }
    note = synthetic_note(utterances)
    return (
        figures.ablation_markdown(tables, note=note),
        figures.ablation_page(tables, drawn, note=note),
    )
