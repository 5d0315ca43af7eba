"""Figures and documents of the feature study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from speech_emotion.ablation import ADDED, ALL, ALONE, RECORDINGS, WITHOUT
from speech_emotion.evaluation import CLEAN
from speech_emotion.reporting.models import COLORS, counted_note, finish_figure
from speech_emotion.reporting.rendering import interval
from speech_emotion.reporting.sections import Section, sections_markdown, sections_page

__all__ = [
    "ablation_figure",
    "ablation_markdown",
    "ablation_page",
    "augmentation_figure",
    "importance_figure",
    "mfcc_figure",
    "networks_figure",
    "seeds_figure",
    "telephone_figure",
]

CONDITION_COLOURS: Final = {CLEAN: COLORS[0], "telephone": COLORS[4]}
ROW_HEIGHT: Final = 26
FIGURES: Final = ("uar", "difference", "drop", "uar_min", "uar_max", "uar_sd")
SIGNED: Final = ("difference", "drop")
UNSAID: Final = ("config", "reference", "better", "protocol", "n_utterances", "n_speakers")
INTERVAL: Final = "95 % intervals over speakers"
TITLE: Final = "Which features help"
SAID: Final = (
    "UAR, differences and drops in percent under protocol speaker_independent, by cross-validation over the "
    "training speakers, with 95 % intervals from a bootstrap over speakers; n is utterances / speakers. "
    "Held-out speakers took no part."
)
SECTIONS: Final = {
    "ablation": (
        "Groups of features",
        "Trained without one group of features, and on one group alone. The difference is to all "
        "features, on the same speakers.",
    ),
    "importance": (
        "Permutation importance of groups",
        "The columns of a group are shuffled together among the utterances of speakers the model "
        "has not heard; the drop is what the UAR falls by. A model that is trained without a group, "
        "as above, leans on others instead; this one cannot.",
    ),
    "features": (
        "Permutation importance of single features",
        "The largest of all drops under clean sound. They are the largest of many, which flatters "
        "them a little; features that say the same share what they are worth.",
    ),
    "mfcc": (
        "PCA and number of MFCCs",
        "PCA is fitted on training examples alone. The difference is to the coefficients of the "
        "feature set without PCA. Coefficients beyond those of the feature set come with mean and "
        "standard deviation, from the frame sequences.",
    ),
    "augmentation": (
        "What copies bring",
        "n added is the number of copies beside the recordings. Variants of one random transform "
        "are few.",
    ),
    "telephone": (
        "Telephone sound in training",
        "Each model trained without any telephone sound, with telephone copies, and as one model of "
        "clean and one of telephone sound; the difference is to the training without.",
    ),
    "networks": (
        "Options of networks",
        "Networks trained plainly, and with one option each, from the same seeds; the UAR is the mean "
        "over seeds, the difference is to the plain training.",
    ),
    "seeds": (
        "Seeds",
        "How far the UAR moves when speakers fall into other folds, and when the model starts from "
        "another seed. The interval of the mean is over speakers.",
    ),
}
COLUMNS: Final = {
    "seed_of": "seeds of",
    "n_seeds": "seeds",
    "n_features": "features used",
    "n_training": "training examples",
    "n_added": "n added",
    "telephone_copies": "telephone copies",
    "uar": "UAR",
    "uar_min": "lowest",
    "uar_max": "highest",
    "uar_sd": "sd",
    "mfcc": "MFCCs",
}


def _subtitle(table: pd.DataFrame, note: str, *, models: bool = True) -> str:
    row = table.iloc[0]
    named = f"{', '.join(table['model'].unique())}, " if models else ""
    own = f"{named}{row['protocol']}, cross-validation, {INTERVAL}, "
    return own + counted_note(int(row["n_utterances"]), int(row["n_speakers"]), note)


def _dots(
    figure: go.Figure, table: pd.DataFrame, value: str, names: Sequence[str], *, col: int = 1
) -> None:
    """Draw ``value`` of each name with its interval, one mark a condition."""
    for condition, rows in table.groupby("condition", sort=True):
        own = rows.set_index("name").reindex([name for name in names if name in set(rows["name"])])
        figure.add_scatter(
            x=own[value],
            y=list(own.index),
            error_x={
                "type": "data",
                "symmetric": False,
                "array": own[f"{value}_high"] - own[value],
                "arrayminus": own[value] - own[f"{value}_low"],
            },
            mode="markers",
            orientation="h",  # conditions beside each other, not on each other
            name=str(condition),
            legendgroup=str(condition),
            offsetgroup=str(condition),
            showlegend=col == 1,
            marker={"color": CONDITION_COLOURS.get(str(condition)), "size": 8},
            customdata=own[["n_utterances", "n_speakers"]],
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
    # Bars start at zero, and what is grouped like them does so unless told otherwise.
    figure.update_xaxes(
        range=[low - margin, high + margin],
        tickformat=".0%" if value == "uar" else ".1~%",
        row=1,
        col=col,
    )
    if value != "uar":
        figure.add_vline(x=0, line_dash="dot", line_color="#888", row=1, col=col)


def _finished(figure: go.Figure, title: str, subtitle: str, lines: int) -> go.Figure:
    figure.update_layout(scattermode="group", scattergap=0.4)
    return finish_figure(figure, title, subtitle, height=210 + ROW_HEIGHT * max(lines, 4))


def ablation_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw what leaving a group out costs, and what a group reaches alone.

    Args:
        table: Rows of :func:`speech_emotion.ablation.configurations.group_configs` as they were compared.
        note: Said in the subtitle.
    """
    titles = ["UAR without the group, or with it added", "UAR with the group alone"]
    figure = make_subplots(cols=2, subplot_titles=titles, horizontal_spacing=0.18)
    rows = table.assign(name=table["group"])
    clean = rows[(rows["condition"] == CLEAN) & (rows["features"] == ALONE)]
    names = list(clean.sort_values("uar", ascending=False)["name"])
    _dots(figure, rows[rows["features"].isin([WITHOUT, ADDED])], "difference", names)
    _dots(figure, rows[rows["features"].isin([ALONE, ALL])], "uar", [ALL, *names], col=2)
    title = "Groups of features: left out, and alone"
    return _finished(figure, title, _subtitle(table, note), len(names) + 1)


def importance_figure(
    groups: pd.DataFrame, features: pd.DataFrame, *, top: int, note: str = ""
) -> go.Figure:
    """Draw by how much the UAR falls when groups, and single features, are shuffled.

    Args:
        groups: Importance of groups.
        features: Importance of single features.
        top: Single features that are drawn, those of the largest drop under clean sound.
        note: Said in the subtitle.
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
    title = "Permutation importance: drop of UAR on unheard speakers"
    return _finished(figure, title, _subtitle(groups, note), min(top, len(ranked[1])))


def mfcc_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR by PCA and by number of MFCCs.

    Args:
        table: Rows of :func:`speech_emotion.ablation.configurations.mfcc_configs` as they were compared.
        note: Said in the subtitle.
    """
    panels = list(table["features"].unique())
    figure = make_subplots(cols=len(panels), subplot_titles=panels, horizontal_spacing=0.2)
    for col, features in enumerate(panels, start=1):
        rows = table[table["features"] == features]
        names = list(dict.fromkeys(rows["mfcc"]))
        _dots(figure, rows.assign(name=rows["mfcc"]), "uar", names, col=col)
    lines = table["mfcc"].nunique()
    return _finished(figure, "PCA and number of MFCCs: UAR", _subtitle(table, note), lines)


def augmentation_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR by what is trained on beside the recordings.

    Args:
        table: Rows of ``augmentation_configs`` as they were compared.
        note: Said in the subtitle.
    """
    titles = ["UAR", f"difference to {RECORDINGS}, {CLEAN} sound"]
    figure = make_subplots(
        cols=2, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.05
    )
    named = table["training"] + ", n = " + table["n_added"].astype(str)
    rows = table.assign(name=named.where(table["n_added"] > 0, table["training"]))
    names = list(dict.fromkeys(rows["name"]))
    _dots(figure, rows, "uar", names)
    _dots(figure, rows[rows["condition"] == CLEAN], "difference", names, col=2)
    return _finished(figure, "What copies bring", _subtitle(table, note), len(names))


def telephone_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR of models trained with and without telephone copies.

    Args:
        table: Rows of :func:`speech_emotion.ablation.configurations.telephone_configs` as they were compared.
        note: Said in the subtitle.
    """
    figure = make_subplots(cols=1)
    rows = table.assign(name=table["model"] + ", " + table["telephone_copies"])
    names = list(dict.fromkeys(rows["name"]))
    _dots(figure, rows, "uar", names)
    figure.update_xaxes(title="UAR")
    title = "Trained with and without telephone copies"
    return _finished(figure, title, _subtitle(table, note, models=False), len(names))


def networks_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR of networks trained plainly and with each option.

    Args:
        table: Rows of :func:`speech_emotion.ablation.configurations.network_configs`, seeds taken together.
        note: Said in the subtitle.
    """
    titles = ["UAR", "difference to the plain training"]
    figure = make_subplots(
        cols=2, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.05
    )
    rows = table.assign(name=table["model"] + ", " + table["training"])
    names = list(dict.fromkeys(rows["name"]))
    _dots(figure, rows, "uar", names)
    _dots(figure, rows, "difference", names, col=2)
    title = f"Options of networks, mean of {table['n_seeds'].max()} seeds"
    return _finished(figure, title, _subtitle(table, note, models=False), len(names))


def seeds_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw the UAR of every seed.

    Args:
        table: Rows of :func:`speech_emotion.ablation.configurations.seed_configs` as they were compared.
        note: Said in the subtitle.
    """
    figure = make_subplots(cols=1)
    named = table["model"] + ", seed of the " + table["seed_of"] + ", " + table["condition"]
    for condition, rows in table.groupby("condition", sort=True):
        colour = CONDITION_COLOURS.get(str(condition))
        figure.add_scatter(
            x=rows["uar"],
            y=named[rows.index],
            mode="markers",
            name=str(condition),
            marker={"symbol": "line-ns-open", "size": 16, "color": colour, "line": {"width": 2}},
            customdata=rows[["seed"]],
            hovertemplate="seed %{customdata[0]}: %{x:.1%}",
        )
    figure.update_yaxes(
        categoryorder="array", categoryarray=list(dict.fromkeys(named))[::-1], automargin=True
    )
    figure.update_xaxes(title="UAR, one mark a seed", tickformat=".1~%")
    row = table.iloc[0]
    subtitle = f"{row['protocol']}, cross-validation, "
    subtitle += counted_note(int(row["n_utterances"]), int(row["n_speakers"]), note)
    return _finished(figure, "Spread over seeds", subtitle, named.nunique())


def _readable(table: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Write figures as percent with their intervals, conditions side by side.

    Returns:
        What is the same in all rows, and a table of all else.
    """
    written = pd.DataFrame(index=table.index)
    for name in table:
        if name.endswith(("_low", "_high")) or name in UNSAID:
            continue
        values = table[name]
        if name in FIGURES:
            bounds = [table.get(f"{name}_{bound}", values * np.nan) for bound in ("low", "high")]
            rows = zip(values, *bounds, strict=True)
            values = [interval(*row, signed=name in SIGNED) for row in rows]
        written[COLUMNS.get(name, name)] = values
    written["n"] = table["n_utterances"].astype(str) + " / " + table["n_speakers"].astype(str)
    written = written.astype(str)
    figures = [COLUMNS.get(name, name) for name in FIGURES if name in table]
    parts = [
        rows.drop(columns="condition").rename(columns={name: f"{name}, {said}" for name in figures})
        for said, rows in written.groupby("condition", sort=True)
    ]
    wide = parts[0]
    for part in parts[1:]:
        wide = wide.merge(part, on=[name for name in wide if name in part], how="left")
    facts = [name for name in wide if name in written]
    same = [name for name in facts if len(wide) > 1 and wide[name].nunique() == 1]
    return "; ".join(f"{name}: {wide[name].iloc[0]}" for name in same), wide.drop(columns=same)


def ablation_markdown(tables: Mapping[str, pd.DataFrame], *, note: str = "") -> str:
    """Write the tables in Markdown, to be quoted.

    Args:
        tables: Tables by the names of the sections.
        note: Said at the top.
    """
    return sections_markdown(TITLE, SAID, _sections(tables), note=note)


def ablation_page(
    tables: Mapping[str, pd.DataFrame], figures: Mapping[str, go.Figure], *, note: str = ""
) -> str:
    """Write the study as one HTML file that needs nothing else.

    Args:
        tables: Tables by the names of the sections.
        figures: Figures by the names of the sections.
        note: Said at the top.
    """
    return sections_page(TITLE, SAID, _sections(tables), figures, note=note)


def _sections(tables: Mapping[str, pd.DataFrame]) -> list[Section]:
    sections = []
    for name, (title, said) in SECTIONS.items():
        same, table = _readable(tables[name])
        sections.append(Section(name, title, said, table, same))
    return sections
