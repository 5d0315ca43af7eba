"""Nodes of reporting: tables, figures, the report and the model card."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from PIL.Image import Image
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from speech_emotion.audio import (
    NO_LIMITS,
    NONE,
    TRANSFORMS,
    augment,
    draw_line,
    load_audio,
    send_over_line,
)
from speech_emotion.corpora import (
    TEST,
    TRAIN,
    CorporaSettings,
    CorpusEntry,
    SplitSettings,
    in_split,
    what_is_split,
)
from speech_emotion.datasets import Registered, Sound
from speech_emotion.encoders import SpeechEncoder
from speech_emotion.evaluation import (
    CLEAN,
    CROSS_VALIDATION,
    DetectionSettings,
    SelectionSettings,
    breakdown_table,
    class_table,
    detection_table,
    headline_first,
    line_table,
    paired_table,
)
from speech_emotion.features import FeatureSettings
from speech_emotion.models import family_named
from speech_emotion.reporting import synthetic_note
from speech_emotion.reporting.models import (
    Evidence,
    augmentation_picture,
    breakdown_figure,
    confusion_figure,
    detection_figure,
    detection_title,
    emotions_figure,
    evaluation_title,
    html_report,
    leaderboard_figure,
    learning_curves_figure,
    line_title,
    lines_figure,
    markdown_report,
    mfcc_picture,
    model_card,
    model_title,
    pca_figure,
    reliability_figure,
    tuning_figure,
    waveform_picture,
)

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


def _trained_on(
    utterances: pd.DataFrame, splits: pd.DataFrame, selection: SelectionSettings
) -> str:
    in_training = in_split(utterances["utterance_id"], splits, selection.protocol, TRAIN)
    training = utterances[in_training]
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
    title = _title(choice, selection, evaluation)
    return (
        class_table(rows, labels),
        breakdown,
        confusion_figure(rows, labels, title=f"Confusion: {title}", note=note),
        breakdown_figure(breakdown, title=f"UAR by group: {title}", note=note),
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


def _title(choice: dict[str, Any], selection: SelectionSettings, evaluation: str) -> str:
    champion = model_title(choice["champion"])
    return f"{champion}, {selection.protocol}, {evaluation_title(evaluation)}"


def examine_detection(
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    choice: dict[str, Any],
    selection: SelectionSettings,
    detection: DetectionSettings,
) -> tuple[pd.DataFrame, go.Figure, go.Figure]:
    """Score the detection of one label, and compare probabilities with accuracy."""
    rows = _of_champion(predictions, choice, selection, CROSS_VALIDATION)
    title = _title(choice, selection, CROSS_VALIDATION)
    detecting = f"{detection_title(detection.target)}: {title}"
    note = synthetic_note(utterances)
    return (
        headline_first(detection_table(predictions, detection), selection.protocol),
        detection_figure(rows, detection, title=detecting, note=note),
        reliability_figure(rows, title=f"Reliability: {title}", note=note),
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
    return headline_first(pd.concat(tables, ignore_index=True), selection.protocol)


def examine_lines(
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    labels: list[str],
    choice: dict[str, Any],
    selection: SelectionSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Compare telephone sound with clean sound of the same utterances, for each telephone line."""
    table = line_table(predictions, labels, resamples=selection.bootstrap, seed=selection.seed)
    table = headline_first(table, selection.protocol)
    champion = table[
        (table["model"] == choice["champion"])
        & (table["protocol"] == selection.protocol)
        & (table["evaluation"] == CROSS_VALIDATION)
    ]
    title = _title(choice, selection, CROSS_VALIDATION)
    note = synthetic_note(utterances)
    return table, lines_figure(champion, title=f"UAR by telephone line: {title}", note=note)


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
    table = headline_first(table, selection.protocol)
    return table.rename(columns={"value": "corpus"})[
        ["corpus", *keys, *table.columns.difference(["value", *keys], sort=False)]
    ]


def export_leaderboard(leaderboard: pd.DataFrame, selection: SelectionSettings) -> pd.DataFrame:
    """Order the leaderboard for its CSV file, the selecting protocol first."""
    return headline_first(leaderboard, selection.protocol)


def explain_pca(
    features: pd.DataFrame, splits: pd.DataFrame, selection: SelectionSettings
) -> pd.DataFrame:
    """Fit the PCA of the MFCC block on training recordings: explained variance by component."""
    rows = features[
        in_split(features["utterance_id"], splits, selection.protocol, TRAIN)
        & (features["variant"] == 0)
    ]
    block = StandardScaler().fit_transform(rows.filter(regex="^mfcc_"))
    explained = PCA().fit(block).explained_variance_ratio_
    return pd.DataFrame(
        {
            "component": np.arange(1, len(explained) + 1),
            "explained": explained,
            "cumulative": explained.cumsum(),
        }
    )


def draw_comparison(
    leaderboard: pd.DataFrame,
    trials: pd.DataFrame,
    learning_curves: pd.DataFrame,
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    labels: list[str],
    pca_variance: pd.DataFrame,
    selection: SelectionSettings,
) -> tuple[go.Figure, go.Figure, go.Figure, go.Figure, go.Figure]:
    """Draw the leaderboard, label counts, hyperparameter search, learning curves and PCA."""
    note = synthetic_note(utterances)
    trained_on = _trained_on(utterances, splits, selection)
    curves = learning_curves[learning_curves["protocol"] == selection.protocol]
    return (
        leaderboard_figure(leaderboard, labels=len(labels), protocol=selection.protocol, note=note),
        emotions_figure(utterances, note=note),
        tuning_figure(trials, trained_on=trained_on),
        learning_curves_figure(curves, trained_on=trained_on),
        pca_figure(pca_variance, trained_on=trained_on),
    )


def draw_sounds(utterances: pd.DataFrame, settings: FeatureSettings) -> tuple[Figure, Figure]:
    """Draw a waveform and the MFCCs of one utterance per label, of one speaker if possible."""
    variety = utterances.groupby("speaker")["label"].nunique()
    speaker = variety.sort_values(ascending=False, kind="stable").index[0]
    ordered = utterances.assign(other=utterances["speaker"] != speaker).sort_values(
        ["label", "other", "utterance_id"]
    )
    chosen = ordered.drop_duplicates("label").set_index("label")
    examples = {
        str(label): (
            load_audio(row["path"], settings.sample_rate, limits=NO_LIMITS),
            str(row["utterance_id"]),
        )
        for label, row in chosen.iterrows()
    }
    note, rate = synthetic_note(utterances), settings.sample_rate
    return (
        waveform_picture(examples, rate, note=note),
        mfcc_picture(examples, rate, note=note),
    )


def draw_augmentation(
    utterances: pd.DataFrame, plan: pd.DataFrame, settings: FeatureSettings
) -> tuple[dict[str, Sound], Figure]:
    """Select an utterance for each transform, and give its sound before and after."""
    rate = settings.sample_rate
    paths = utterances.set_index("utterance_id")["path"]
    examples = {}
    # Without any augmentation there is still one sound: Kedro cannot load an empty folder.
    sounds = {"recording": Sound(load_audio(paths.iloc[0], rate, limits=NO_LIMITS), rate)}
    # Transforms are shown without a telephone line, and lines of recordings alone.
    for transform, rows in plan[plan["line"] == ""].groupby("transform", sort=True):
        info = TRANSFORMS[str(transform)]
        row = rows.loc[(rows["value"] - info.neutral).abs().idxmax()]  # the strongest change
        before = load_audio(paths[row["utterance_id"]], rate, limits=NO_LIMITS)
        after = augment(
            before, rate, transform=str(transform), value=row["value"], seed=row["seed"]
        )
        described = f"{transform} {row['value']:.2f} {info.unit}\n{row['utterance_id']}"
        examples[described] = (before, after)
        sounds[f"{transform}_before"] = Sound(before, rate)
        sounds[f"{transform}_after"] = Sound(after, rate)
    over_lines = plan[(plan["line"] != "") & (plan["transform"] == NONE)]
    for line, rows in over_lines.groupby("line", sort=True):
        row = rows.iloc[0]
        before = load_audio(paths[row["utterance_id"]], rate, limits=NO_LIMITS)
        after = send_over_line(before, rate, line=str(line), seed=row["seed"])
        drawn = draw_line(str(line), row["seed"])
        described = f"{line_title(str(line))}\n{drawn.title}\n{row['utterance_id']}"
        examples[described] = (before, after)
        sounds[f"{line}_line_before"] = Sound(before, rate)
        sounds[f"{line}_line_after"] = Sound(after, rate)
    return sounds, augmentation_picture(examples, rate, note=synthetic_note(utterances))


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
    lines: pd.DataFrame,
    calibration: pd.DataFrame,
    choice: dict[str, Any],
    corpora: CorporaSettings,
    features: FeatureSettings,
    selection: SelectionSettings,
    detecting: DetectionSettings,
    splits: SplitSettings,
    encoder: SpeechEncoder | None = None,
) -> Evidence:
    """Collect the data of the report and the model card."""
    uses_encoder = any(family_named(name).needs_encoder for name in choice["members"])
    encoder_details = {"encoder": encoder.card.title} if encoder and uses_encoder else {}
    groups = utterances.groupby("corpus")
    counts = (
        groups["speaker"].agg(["size", "nunique"]).assign(languages=groups["language"].unique())
    )
    notes = {
        corpora.known[str(name)].shown: what_is_split(corpora.known[str(name)], speakers)
        for name, speakers in utterances.groupby("corpus")["speaker"]
    }
    limits = "; ".join(f"{title}: {note}" for title, note in notes.items() if note)
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
        lines=lines,
        calibration=calibration,
        champion=choice["champion"],
        members=choice["members"],
        protocol=selection.protocol,
        target=detecting.target,
        details={
            "label set": f"{corpora.label_set}: {', '.join(labels)}",
            "features": f"{features.feature_set}, {features.n_mfcc} MFCC, {features.sample_rate} Hz",
            **encoder_details,
            **({"speakers": limits} if limits else {}),
            **({"published folds": Path(splits.file).name} if splits.file else {}),
            "selection": f"UAR by cross-validation under protocol {selection.protocol}",
            "seed": str(selection.seed),
            "versions": ", ".join(_versions()),
        },
        corpora=[
            _describe_corpus(
                corpora.known[str(name)], row, synthetic=bool(synthetic_note(utterances))
            )
            for name, row in counts.iterrows()
        ],
    )


def _describe_corpus(corpus: CorpusEntry, counts: pd.Series, *, synthetic: bool) -> dict[str, str]:
    return {
        "title": corpus.shown,
        "licence": "synthetic, free" if synthetic else corpus.licence,
        "source": "generated by this package" if synthetic else corpus.source,
        "languages": ", ".join(sorted(counts["languages"])),
        "utterances": str(counts["size"]),
        "speakers": str(counts["nunique"]),
    }


def _versions() -> list[str]:
    installed = {distribution.metadata["Name"] for distribution in metadata.distributions()}
    return [f"{name} {metadata.version(name)}" for name in PACKAGES if name in installed]


def _play_order(name: str) -> tuple[bool, str, bool]:
    """Sort the recording first, and the sound before a transform ahead of the one after it."""
    transform, _, when = name.rpartition("_")
    return name != "recording", transform, when == "after"


def write_report(
    evidence: Evidence,
    sounds: dict[str, Callable[[], Sound]],
    run: dict[str, str],
    registered: Registered | None,
    **drawn: go.Figure | Image,
) -> str:
    """Write the HTML report.

    Args:
        evidence: Data of the report.
        sounds: Augmentation examples.
        run: Date, commit, MLflow run and model version.
        registered: The version that this run has registered. As an input, it is registered first.
        drawn: Plotly figures and pictures, by the names of their sections.
    """
    plots = {name: item for name, item in drawn.items() if isinstance(item, go.Figure)}
    images = {name: item for name, item in drawn.items() if name not in plots}
    played = {name: sounds[name]() for name in sorted(sounds, key=_play_order)}
    return html_report(evidence, plots, images, played, run)


def write_model_card(evidence: Evidence, registered: Registered | None) -> str:
    """Write the model card.

    Args:
        evidence: Data of the report.
        registered: The version that this run has registered, which the card describes.
    """
    return model_card(evidence, version=registered.title if registered else "")


def write_markdown(evidence: Evidence, by_corpus: pd.DataFrame) -> str:
    """Write the main tables as Markdown."""
    return markdown_report(evidence, by_corpus)
