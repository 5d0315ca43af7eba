"""Nodes of reporting: tables, figures, the report and the model card."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from PIL.Image import Image
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from speech_emotion.audio import load_audio
from speech_emotion.corpora import CORPORA, TEST, TRAIN, CorporaSettings
from speech_emotion.datasets.audio import Sound
from speech_emotion.evaluation import (
    CLEAN,
    CROSS_VALIDATION,
    DetectionSettings,
    SelectionSettings,
    breakdown_table,
    class_table,
    detection_table,
    paired_table,
)
from speech_emotion.features import FeatureSettings
from speech_emotion.reporting import synthetic_note
from speech_emotion.reporting.models import (
    Evidence,
    figures,
    html_report,
    markdown_report,
    model_card,
)
from speech_emotion.reporting.models import sounds as pictures

PACKAGES = (
    "kedro",
    "librosa",
    "scikit-learn",
    "xgboost-cpu",
    "xgboost",
    "keras",
    "mlflow",
    "optuna",
)


def _training(splits: pd.DataFrame, selection: SelectionSettings) -> pd.Series:
    chosen = (splits["protocol"] == selection.protocol) & (splits["split"] == TRAIN)
    return splits.loc[chosen, "utterance_id"]


def _trained_on(
    utterances: pd.DataFrame, splits: pd.DataFrame, selection: SelectionSettings
) -> str:
    training = utterances[utterances["utterance_id"].isin(_training(splits, selection))]
    return (
        f"protocol {selection.protocol}, n = {len(training)} training utterances of "
        f"{training['speaker'].nunique()} speakers{synthetic_note(utterances)}"
    )


def examine_champion(
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    labels: list[str],
    choice: dict[str, Any],
    selection: SelectionSettings,
) -> tuple[pd.DataFrame, pd.DataFrame, go.Figure, go.Figure]:
    """Score the champion by label, corpus, sex and speaker, on the test set if there is one."""
    evaluation = TEST if (predictions["evaluation"] == TEST).any() else CROSS_VALIDATION
    rows = _of_champion(predictions, choice, selection, evaluation)
    rows = rows[rows["condition"] == CLEAN]
    note = synthetic_note(utterances)
    breakdown = breakdown_table(rows, labels, resamples=selection.bootstrap)
    named = f"{choice['champion']}, {selection.protocol}, {evaluation}"
    return (
        class_table(rows, labels),
        breakdown,
        figures.confusion_figure(rows, labels, title=f"Confusion: {named}", note=note),
        figures.breakdown_figure(breakdown, title=f"UAR by group: {named}", note=note),
    )


def _of_champion(
    predictions: pd.DataFrame,
    choice: dict[str, Any],
    selection: SelectionSettings,
    evaluation: str,
) -> pd.DataFrame:
    """Predictions of the champion under the selecting protocol."""
    return predictions[
        (predictions["model"] == choice["champion"])
        & (predictions["protocol"] == selection.protocol)
        & (predictions["evaluation"] == evaluation)
    ]


def examine_detection(
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    choice: dict[str, Any],
    selection: SelectionSettings,
    detection: DetectionSettings,
) -> tuple[pd.DataFrame, go.Figure, go.Figure]:
    """Score the detection of one label, and compare probabilities with accuracy."""
    rows = _of_champion(predictions, choice, selection, CROSS_VALIDATION)
    named = f"{choice['champion']}, {selection.protocol}, {CROSS_VALIDATION}"
    note = synthetic_note(utterances)
    return (
        detection_table(predictions, detection),
        figures.detection_figure(
            rows, detection, title=f"{detection.target.capitalize()} or not: {named}", note=note
        ),
        figures.reliability_figure(rows, title=f"Reliability: {named}", note=note),
    )


def compare_with_champion(
    predictions: pd.DataFrame,
    labels: list[str],
    choice: dict[str, Any],
    selection: SelectionSettings,
) -> pd.DataFrame:
    """Compare every model with the champion on the same speakers, under each protocol."""
    champion = choice["champion"]
    keys = ["protocol", "condition", "evaluation"]
    tables = [
        paired_table(subset, labels, reference=champion, resamples=selection.bootstrap).assign(
            **dict(zip(keys, names, strict=True))
        )
        for names, subset in predictions.groupby(keys, sort=True)
        if champion in set(subset["model"])
    ]
    return pd.concat(tables, ignore_index=True)


def break_down_models(
    predictions: pd.DataFrame, labels: list[str], selection: SelectionSettings
) -> pd.DataFrame:
    """Score every model, protocol, condition and evaluation on each corpus."""
    keys = ["model", "protocol", "condition", "evaluation"]
    tables = [
        breakdown_table(subset, labels, by=("corpus",), resamples=selection.bootstrap).assign(
            **dict(zip(keys, names, strict=True))
        )
        for names, subset in predictions.groupby(keys, sort=True)
    ]
    table = pd.concat(tables, ignore_index=True).drop(columns="by")
    return table.rename(columns={"value": "corpus"})[
        ["corpus", *keys, *table.columns.difference(["value", *keys], sort=False)]
    ]


def export_leaderboard(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Pass the leaderboard on to its CSV file for spreadsheets."""
    return leaderboard


def explain_pca(
    features: pd.DataFrame,
    splits: pd.DataFrame,
    utterances: pd.DataFrame,
    selection: SelectionSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Fit the PCA of the MFCC block on training recordings: explained variance by component."""
    rows = features[
        features["utterance_id"].isin(_training(splits, selection)) & (features["variant"] == 0)
    ]
    block = StandardScaler().fit_transform(rows.filter(regex="^mfcc_"))
    explained = PCA().fit(block).explained_variance_ratio_
    variance = pd.DataFrame(
        {
            "component": np.arange(1, len(explained) + 1),
            "explained": explained,
            "cumulative": explained.cumsum(),
        }
    )
    trained_on = _trained_on(utterances, splits, selection)
    return variance, figures.pca_figure(variance, trained_on=trained_on)


def draw_comparison(
    leaderboard: pd.DataFrame,
    trials: pd.DataFrame,
    learning_curves: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    selection: SelectionSettings,
) -> tuple[go.Figure, go.Figure, go.Figure, go.Figure]:
    """Draw the leaderboard, the label counts, the hyperparameter search and the learning curves."""
    note = synthetic_note(utterances)
    trained_on = _trained_on(utterances, splits, selection)
    curves = learning_curves[learning_curves["protocol"] == selection.protocol]
    return (
        figures.leaderboard_figure(leaderboard, labels=len(labels), note=note),
        figures.emotions_figure(utterances, note=note),
        figures.tuning_figure(trials, trained_on=trained_on),
        figures.learning_curves_figure(curves, trained_on=trained_on),
    )


def draw_sounds(utterances: pd.DataFrame, settings: FeatureSettings) -> tuple[Figure, Figure]:
    """Draw a waveform and the MFCCs of one utterance a label, all of one speaker if possible."""
    variety = utterances.groupby("speaker")["label"].nunique()
    speaker = variety.sort_values(ascending=False, kind="stable").index[0]
    ordered = utterances.assign(other=utterances["speaker"] != speaker).sort_values(
        ["label", "other", "utterance_id"]
    )
    chosen = ordered.drop_duplicates("label").set_index("label")
    examples = {
        str(label): (load_audio(row["path"], settings.sample_rate), str(row["utterance_id"]))
        for label, row in chosen.iterrows()
    }
    note, rate = synthetic_note(utterances), settings.sample_rate
    return (
        pictures.waveform_picture(examples, rate, note=note),
        pictures.mfcc_picture(examples, rate, note=note),
    )


def gather_evidence(
    utterances: pd.DataFrame,
    labels: list[str],
    rejected_audio: pd.DataFrame,
    rejected_features: pd.DataFrame,
    leaderboard: pd.DataFrame,
    per_class: pd.DataFrame,
    breakdown: pd.DataFrame,
    detection: pd.DataFrame,
    paired: pd.DataFrame,
    calibration: pd.DataFrame,
    choice: dict[str, Any],
    corpora: CorporaSettings,
    features: FeatureSettings,
    selection: SelectionSettings,
) -> Evidence:
    """Collect the data of the report and the model card."""
    counts = utterances.groupby("corpus")["speaker"].agg(["size", "nunique"])
    return Evidence(
        utterances=utterances,
        rejected=pd.concat(
            [rejected_audio, rejected_features[["path", "reason"]]], ignore_index=True
        ),
        leaderboard=leaderboard,
        per_class=per_class,
        breakdown=breakdown,
        detection=detection,
        paired=paired,
        calibration=calibration,
        champion=choice["champion"],
        members=choice["members"],
        protocol=selection.protocol,
        facts={
            "label set": f"{corpora.label_set}: {', '.join(labels)}",
            "features": f"{features.feature_set}, {features.n_mfcc} MFCC, {features.sample_rate} Hz",
            "selection": f"UAR by cross-validation under protocol {selection.protocol}",
            "seed": str(selection.seed),
            "versions": ", ".join(_versions()),
        },
        corpora=[
            _describe_corpus(str(name), row, synthetic=bool(synthetic_note(utterances)))
            for name, row in counts.iterrows()
        ],
    )


def _describe_corpus(name: str, counts: pd.Series, *, synthetic: bool) -> dict[str, str]:
    corpus = CORPORA[name]
    return {
        "title": corpus.title,
        "licence": "synthetic, free" if synthetic else corpus.licence,
        "source": "made by this package" if synthetic else corpus.source,
        "utterances": str(counts["size"]),
        "speakers": str(counts["nunique"]),
    }


def _versions() -> list[str]:
    installed = {distribution.metadata["Name"] for distribution in metadata.distributions()}
    return [f"{name} {metadata.version(name)}" for name in PACKAGES if name in installed]


def write_report(
    evidence: Evidence, sounds: dict[str, Callable[[], Sound]], **drawn: go.Figure | Image
) -> str:
    """Write the HTML report.

    Args:
        evidence: Data of the report.
        sounds: Augmentation examples.
        drawn: Plotly figures and pictures, by the names of their sections.
    """
    plots = {name: item for name, item in drawn.items() if isinstance(item, go.Figure)}
    images = {name: item for name, item in drawn.items() if name not in plots}
    return html_report(evidence, plots, images, {name: load() for name, load in sounds.items()})


def write_model_card(evidence: Evidence) -> str:
    """Write the model card."""
    return model_card(evidence)


def write_markdown(evidence: Evidence, by_corpus: pd.DataFrame) -> str:
    """Write the main tables as Markdown."""
    return markdown_report(evidence, by_corpus)
