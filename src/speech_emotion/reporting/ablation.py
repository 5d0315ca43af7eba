"""Figures and documents of the ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from speech_emotion.ablation import (
    ALL_FEATURES,
    ALL_LAYERS,
    ENCODER_ALONE,
    GROUP_ADDED,
    GROUP_ALONE,
    RECORDINGS_ONLY,
    WITHOUT_GROUP,
)
from speech_emotion.evaluation import CLEAN
from speech_emotion.reporting.models import model_title
from speech_emotion.reporting.plotting import (
    COLORS,
    NEUTRAL,
    counted_note,
    error_bar,
    finish_figure,
    interval,
    row_interval,
)
from speech_emotion.reporting.sections import Section, sections_markdown, sections_page

__all__ = [
    "ablation_figure",
    "ablation_markdown",
    "ablation_page",
    "augmentation_figure",
    "encoder_figure",
    "encoders_figure",
    "fusion_figure",
    "importance_figure",
    "mfcc_figure",
    "networks_figure",
    "seeds_figure",
    "telephone_figure",
]

CONDITION_COLORS: Final = {CLEAN: COLORS[0], "telephone": COLORS[4]}
ROW_HEIGHT: Final = 26
METRICS: Final = ("uar", "difference", "drop", "uar_min", "uar_max", "uar_sd")
SIGNED: Final = ("difference", "drop")
HIDDEN: Final = ("config", "reference", "better", "protocol", "n_utterances", "n_speakers")
INTERVAL: Final = "95 % intervals over speakers"
TITLE: Final = "Ablation: which features and options help"
DESCRIPTION: Final = (
    "UAR, differences and drops in percent under protocol speaker_independent, by cross-validation over "
    "the training speakers, with 95 % intervals from a bootstrap over speakers; n is "
    "utterances / speakers. The speakers of the test set are not used."
)
SECTIONS: Final = {
    "ablation": (
        "Groups of features",
        "Models trained without one group of features, and on one group alone. The difference is to "
        "all features on the same speakers.",
    ),
    "importance": (
        "Permutation importance of groups",
        "The columns of a group are shuffled together among the utterances of validation speakers; the "
        "drop is the decrease of the UAR. A model trained without a group, as above, can use other "
        "groups instead; a model whose inputs are shuffled cannot.",
    ),
    "features": (
        "Permutation importance of single features",
        "The features with the largest drops under clean sound. Selecting the largest of many drops "
        "overestimates them slightly; correlated features share their importance.",
    ),
    "mfcc": (
        "PCA and number of MFCCs",
        "PCA is fitted on training examples only. The difference is to the coefficients of the "
        "feature set without PCA. Coefficients beyond the feature set are represented by mean and "
        "standard deviation of the frame sequences.",
    ),
    "augmentation": (
        "Augmentation",
        "n added is the number of augmented copies in addition to the recordings. Each random "
        "transform has few variants.",
    ),
    "telephone": (
        "Telephone sound in training",
        "Each model trained without telephone copies, with telephone copies, and as a pair of "
        "bandwidth models (wideband and narrowband); the difference is to training without.",
    ),
    "encoder": (
        "Layers of the encoder",
        "A family on embeddings trained on all layers, whose probabilities are averaged, on single "
        "layers, on fewer statistics, and without copies; the difference is to all layers.",
    ),
    "encoders": (
        "Choice of the encoder",
        "The same model on the embeddings of each encoder, trained on recordings and telephone copies; the "
        "difference is to the encoder of the run. Times are of one core, without other work, on the "
        "machine of the run.",
    ),
    "fusion": (
        "Embeddings together with features",
        "The log-probabilities of a model on embeddings and of a model on features are averaged with "
        "fixed weights; the difference is to embeddings alone.",
    ),
    "networks": (
        "Options of networks",
        "Networks trained with default options, and with one option each, from the same seeds; the "
        "UAR is the mean over seeds, the difference is to the default options.",
    ),
    "seeds": (
        "Seeds",
        "Variation of the UAR with the assignment of speakers to folds and with the seed of the "
        "model. The interval of the mean is over speakers.",
    ),
}
COLUMNS: Final = {
    "seed_of": "seeds of",
    "n_seeds": "seeds",
    "n_features": "features used",
    "n_training": "training examples",
    "n_added": "n added",
    "ms_per_second": "ms per second of sound",
    "megabytes": "size in MB",
    "telephone_copies": "telephone copies",
    "uar": "UAR",
    "uar_min": "lowest",
    "uar_max": "highest",
    "uar_sd": "sd",
    "mfcc": "MFCCs",
}


def _subtitle(table: pd.DataFrame, note: str, *, models: bool = True) -> str:
    row = table.iloc[0]
    titles = [model_title(name) for name in table["model"].unique()]
    named = f"{', '.join(titles)}, " if models else ""
    described = f"{named}{row['protocol']}, cross-validation, {INTERVAL}, "
    return described + counted_note(int(row["n_utterances"]), int(row["n_speakers"]), note)


def _dots(
    figure: go.Figure, table: pd.DataFrame, value: str, names: Sequence[str], *, col: int = 1
) -> None:
    """Draw ``value`` of each name with its interval, one mark per condition."""
    for condition, rows in table.groupby("condition", sort=True):
        shown = rows.set_index("name").reindex(
            [name for name in names if name in set(rows["name"])]
        )
        figure.add_scatter(
            x=shown[value],
            y=list(shown.index),
            error_x=error_bar(shown, value),
            mode="markers",
            orientation="h",  # needed for grouping along the vertical axis
            name=str(condition),
            legendgroup=str(condition),
            offsetgroup=str(condition),
            showlegend=col == 1,
            marker={"color": CONDITION_COLORS.get(str(condition)), "size": 8},
            customdata=shown[["n_utterances", "n_speakers"]],
            hovertemplate="%{y}: %{x:.1%} of n = %{customdata[0]}, %{customdata[1]} speakers",
            row=1,
            col=col,
        )
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=list(names),
        range=[len(names) - 0.4, -0.6],  # the first on top
        automargin=True,
        row=1,
        col=col,
    )
    low, high = table[f"{value}_low"].min(), table[f"{value}_high"].max()
    margin = 0.05 * (high - low)
    # Grouped scatter traces start at zero by default, as bars do.
    figure.update_xaxes(
        range=[low - margin, high + margin],
        tickformat=".0%" if value == "uar" else ".1~%",
        row=1,
        col=col,
    )
    if value != "uar":
        figure.add_vline(x=0, line_dash="dot", line_color=NEUTRAL, row=1, col=col)


def _finished(
    figure: go.Figure, title: str, subtitle: str, rows: pd.DataFrame, value: str, lines: int
) -> go.Figure:
    """Set titles, height and the text alternative, which quotes ``value`` under clean sound."""
    clean = rows[rows["condition"] == CLEAN].head(8)
    numbers = [
        f"{row['name']} {row_interval(row, value, signed=value in SIGNED)}"
        for row in clean.to_dict("records")
    ]
    figure.update_layout(scattermode="group", scattergap=0.4)
    return finish_figure(
        figure,
        title,
        subtitle,
        summary=f"{COLUMNS.get(value, value)}, {CLEAN}: {'; '.join(numbers)}.",
        height=210 + ROW_HEIGHT * max(lines, 4),
    )


def ablation_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR without each group of features and with each group alone.

    Args:
        table: Results of the configurations of :func:`speech_emotion.ablation.group_configs`.
        note: Text at the end of the subtitle.
    """
    titles = ["Difference without (or with) the group", "UAR of the group alone"]
    figure = make_subplots(cols=2, subplot_titles=titles, horizontal_spacing=0.18)
    rows = table.assign(name=table["group"])
    clean = rows[(rows["condition"] == CLEAN) & (rows["features"] == GROUP_ALONE)]
    names = list(clean.sort_values("uar", ascending=False)["name"])
    _dots(figure, rows[rows["features"].isin([WITHOUT_GROUP, GROUP_ADDED])], "difference", names)
    _dots(
        figure,
        rows[rows["features"].isin([GROUP_ALONE, ALL_FEATURES])],
        "uar",
        [ALL_FEATURES, *names],
        col=2,
    )
    title = "Groups of features: without, and alone"
    without = rows[rows["features"].isin([WITHOUT_GROUP, GROUP_ADDED])]
    return _finished(figure, title, _subtitle(table, note), without, "difference", len(names) + 1)


def importance_figure(
    groups: pd.DataFrame, features: pd.DataFrame, *, top: int, note: str = ""
) -> go.Figure:
    """Draw the drop of the UAR when groups and single features are shuffled.

    Args:
        groups: Importance of groups.
        features: Importance of single features.
        top: Number of single features, those with the largest drops under clean sound.
        note: Text at the end of the subtitle.
    """
    titles = [
        "drop by group",
        f"drop by feature, the largest {top} of {features['block'].nunique()}",
    ]
    figure = make_subplots(cols=2, subplot_titles=titles, horizontal_spacing=0.22)
    ranked = [list(table.loc[table["condition"] == CLEAN, "block"]) for table in (groups, features)]
    _dots(figure, groups.assign(name=groups["block"]), "drop", ranked[0])
    best = features[features["block"].isin(ranked[1][:top])]
    _dots(figure, best.assign(name=best["block"]), "drop", ranked[1][:top], col=2)
    title = "Permutation importance: drop of UAR on validation speakers"
    shown = groups.assign(name=groups["block"])
    lines = min(top, len(ranked[1]))
    return _finished(figure, title, _subtitle(groups, note), shown, "drop", lines)


def mfcc_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR by PCA and by number of MFCCs.

    Args:
        table: Results of the configurations of :func:`speech_emotion.ablation.mfcc_configs`.
        note: Text at the end of the subtitle.
    """
    panels = list(table["features"].unique())
    figure = make_subplots(cols=len(panels), subplot_titles=panels, horizontal_spacing=0.2)
    for col, features in enumerate(panels, start=1):
        rows = table[table["features"] == features]
        names = list(dict.fromkeys(rows["mfcc"]))
        _dots(figure, rows.assign(name=rows["mfcc"]), "uar", names, col=col)
    lines = table["mfcc"].nunique()
    shown = table.assign(name=table["features"] + ", " + table["mfcc"].astype(str))
    title = "PCA and number of MFCCs: UAR"
    return _finished(figure, title, _subtitle(table, note), shown, "uar", lines)


def augmentation_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR by the augmented copies in training.

    Args:
        table: Results of the configurations of :func:`speech_emotion.ablation.augmentation_configs`.
        note: Text at the end of the subtitle.
    """
    titles = ["UAR", f"difference to {RECORDINGS_ONLY}, {CLEAN} sound"]
    figure = make_subplots(
        cols=2, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.05
    )
    named = table["training"] + ", n = " + table["n_added"].astype(str)
    rows = table.assign(name=named.where(table["n_added"] > 0, table["training"]))
    names = list(dict.fromkeys(rows["name"]))
    _dots(figure, rows, "uar", names)
    _dots(figure, rows[rows["condition"] == CLEAN], "difference", names, col=2)
    title = "Augmentation: UAR by copies in training"
    return _finished(figure, title, _subtitle(table, note), rows, "uar", len(names))


def telephone_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR of models trained with and without telephone copies.

    Args:
        table: Results of the configurations of :func:`speech_emotion.ablation.telephone_configs`.
        note: Text at the end of the subtitle.
    """
    figure = make_subplots(cols=1)
    rows = table.assign(name=table["model"].map(model_title) + ", " + table["telephone_copies"])
    names = list(dict.fromkeys(rows["name"]))
    _dots(figure, rows, "uar", names)
    figure.update_xaxes(title="UAR")
    title = "Training with and without telephone copies"
    subtitle = _subtitle(table, note, models=False)
    return _finished(figure, title, subtitle, rows, "uar", len(names))


def encoder_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR by layers, statistics and copies of embeddings.

    Args:
        table: Results of the configurations of :func:`speech_emotion.ablation.encoder_configs`.
        note: Text at the end of the subtitle.
    """
    figure = make_subplots(
        cols=2,
        subplot_titles=["UAR", f"difference to {ALL_LAYERS}"],
        shared_yaxes=True,
        horizontal_spacing=0.05,
    )
    rows = table.assign(name=table["training"])
    names = list(dict.fromkeys(rows["name"]))
    _dots(figure, rows, "uar", names)
    _dots(figure, rows, "difference", names, col=2)
    title = "Layers of the encoder: UAR"
    return _finished(figure, title, _subtitle(table, note), rows, "uar", len(names))


def encoders_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR of each encoder against its time per second of sound.

    Args:
        table: Results of the configurations of :func:`speech_emotion.ablation.choice_configs`, with
            ``ms_per_second``.
        note: Text at the end of the subtitle.
    """
    figure = make_subplots(cols=1)
    for condition, rows in table.groupby("condition", sort=True):
        figure.add_scatter(
            x=rows["ms_per_second"],
            y=rows["uar"],
            error_y=error_bar(rows, "uar"),
            mode="markers+text",
            text=rows["encoder"],
            textposition="top right",
            name=str(condition),
            marker={"color": CONDITION_COLORS.get(str(condition)), "size": 10},
            customdata=rows[["n_utterances", "n_speakers"]],
            hovertemplate="%{text}: %{y:.1%} at %{x:.1f} ms, n = %{customdata[0]}, %{customdata[1]} speakers",
        )
    # Room for the names at the right.
    figure.update_xaxes(
        title="ms of one core per second of sound", range=[0, 1.35 * table["ms_per_second"].max()]
    )
    figure.update_yaxes(title="UAR", tickformat=".0%")
    rows = table.assign(name=table["encoder"])
    title = "Choice of the encoder: UAR and time"
    return _finished(figure, title, _subtitle(table, note), rows, "uar", 10)


def fusion_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR of a model on embeddings, averaged with models on features.

    Args:
        table: Table of :func:`speech_emotion.ablation.fusion_table`.
        note: Text at the end of the subtitle.
    """
    figure = make_subplots(
        cols=2,
        subplot_titles=["UAR", f"difference to {ENCODER_ALONE}"],
        shared_yaxes=True,
        horizontal_spacing=0.05,
    )
    rows = table.assign(name=table["training"])
    names = list(dict.fromkeys(rows["name"]))
    _dots(figure, rows, "uar", names)
    _dots(figure, rows[rows["weight"] > 0], "difference", names, col=2)
    title = "Embeddings together with features: UAR"
    subtitle = _subtitle(table, note, models=False)
    return _finished(figure, title, subtitle, rows, "uar", len(names))


def networks_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR of networks with default options and with each option.

    Args:
        table: Results of the configurations of
            :func:`speech_emotion.ablation.network_configs`, averaged over seeds.
        note: Text at the end of the subtitle.
    """
    titles = ["UAR", "difference to default options"]
    figure = make_subplots(
        cols=2, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.05
    )
    rows = table.assign(name=table["model"].map(model_title) + ", " + table["training"])
    names = list(dict.fromkeys(rows["name"]))
    _dots(figure, rows, "uar", names)
    _dots(figure, rows, "difference", names, col=2)
    title = f"Options of networks, mean of {table['n_seeds'].max()} seeds"
    subtitle = _subtitle(table, note, models=False)
    return _finished(figure, title, subtitle, rows, "uar", len(names))


def seeds_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR of every seed.

    Args:
        table: Results of the configurations of :func:`speech_emotion.ablation.seed_configs`.
        note: Text at the end of the subtitle.
    """
    figure = make_subplots(cols=1)
    named = table["model"] + ", seed of the " + table["seed_of"] + ", " + table["condition"]
    for condition, rows in table.groupby("condition", sort=True):
        color = CONDITION_COLORS.get(str(condition))
        figure.add_scatter(
            x=rows["uar"],
            y=named[rows.index],
            mode="markers",
            name=str(condition),
            marker={"symbol": "line-ns-open", "size": 16, "color": color, "line": {"width": 2}},
            customdata=rows[["seed"]],
            hovertemplate="seed %{customdata[0]}: %{x:.1%}",
        )
    figure.update_yaxes(
        categoryorder="array", categoryarray=list(dict.fromkeys(named))[::-1], automargin=True
    )
    figure.update_xaxes(title="UAR, one mark per seed", tickformat=".1~%")
    row = table.iloc[0]
    subtitle = f"{row['protocol']}, cross-validation, "
    subtitle += counted_note(int(row["n_utterances"]), int(row["n_speakers"]), note)
    rows = table.assign(name=named)
    return _finished(figure, "Variation over seeds", subtitle, rows, "uar", named.nunique())


def _readable(table: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Format metrics with their intervals and place conditions side by side.

    Returns:
        The values that are the same in all rows as text, and a table of the other columns.
    """
    shown = pd.DataFrame(index=table.index)
    for name in table:
        if name.endswith(("_low", "_high")) or name in HIDDEN:
            continue
        values = table[name]
        if name in METRICS:
            bounds = [table.get(f"{name}_{bound}", values * np.nan) for bound in ("low", "high")]
            rows = zip(values, *bounds, strict=True)
            values = [interval(*row, signed=name in SIGNED) for row in rows]
        elif name == "model":
            values = values.map(model_title)
        shown[COLUMNS.get(name, name)] = values
    shown["n"] = table["n_utterances"].astype(str) + " / " + table["n_speakers"].astype(str)
    shown = shown.astype(str)
    metrics = [COLUMNS.get(name, name) for name in METRICS if name in table]
    wide: pd.DataFrame | None = None
    for condition, rows in shown.groupby("condition", sort=True):
        names = {name: f"{name}, {condition}" for name in metrics}
        columns = rows.drop(columns="condition").rename(columns=names)
        keys = [name for name in columns if name in shown]
        wide = columns if wide is None else wide.merge(columns, on=keys, how="left")
    if wide is None:
        return "", shown
    described = [name for name in wide if name in shown]
    same = [name for name in described if len(wide) > 1 and wide[name].nunique() == 1]
    return "; ".join(f"{name}: {wide[name].iloc[0]}" for name in same), wide.drop(columns=same)


def ablation_markdown(tables: Mapping[str, pd.DataFrame], *, note: str = "") -> str:
    """Render the tables in Markdown.

    Args:
        tables: Tables by the names of the sections.
        note: Notice at the top.
    """
    return sections_markdown(TITLE, DESCRIPTION, _sections(tables), note=note)


def ablation_page(
    tables: Mapping[str, pd.DataFrame], figures: Mapping[str, go.Figure], *, note: str = ""
) -> str:
    """Render the ablation as one self-contained HTML file.

    Args:
        tables: Tables by the names of the sections.
        figures: Figures by the names of the sections.
        note: Notice at the top.
    """
    return sections_page(TITLE, DESCRIPTION, _sections(tables), figures, note=note)


def _sections(tables: Mapping[str, pd.DataFrame]) -> list[Section]:
    sections = []
    for name, (title, description) in SECTIONS.items():
        if name not in tables:  # without an encoder
            continue
        same, table = _readable(tables[name])
        sections.append(Section(name, title, description, table, same))
    return sections
