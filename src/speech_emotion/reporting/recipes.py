"""Published recipes: claimed accuracy beside reproduced accuracy, as a figure and as documents."""

from __future__ import annotations

from typing import Final

import pandas as pd
import plotly.graph_objects as go

from speech_emotion.evaluation import headline_first
from speech_emotion.reporting.models import model_title
from speech_emotion.reporting.plotting import (
    PROTOCOL_COLORS,
    error_bar,
    finish_figure,
    interval,
    row_interval,
)
from speech_emotion.reporting.sections import Section, sections_markdown, sections_page

__all__ = ["recipes_documents", "recipes_figure"]

TITLE: Final = "Claimed and reproduced accuracy"
DESCRIPTION: Final = (
    "Accuracy on test utterances of clean sound, with 95 % intervals from a bootstrap over speakers; "
    "n is utterances/speakers. The model of each recipe with the best cross-validation is shown."
)
PROTOCOLS: Final = ("speaker_independent", "random_split")


def recipes_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw claimed accuracy beside the accuracy of the same recipe under each protocol.

    Args:
        table: ``environment``, ``claimed``, ``protocol``, ``n_utterances``, ``n_speakers`` and
            accuracies, one row per recipe and protocol.
        note: Text at the end of the subtitle.
    """
    figure = go.Figure()
    claims = table.drop_duplicates("environment").dropna(subset="claimed")
    figure.add_bar(
        x=claims["environment"], y=claims["claimed"], name="claimed", marker={"color": "#aaaaaa"}
    )
    evaluated = headline_first(table.dropna(subset="accuracy"), PROTOCOLS[0])
    summaries = []
    for protocol, rows in evaluated.groupby("protocol", sort=False):
        shown = [f"{row.environment} {row.accuracy:.0%}" for row in rows.itertuples()]
        summaries.append(f"{protocol}: {', '.join(shown)}")
        figure.add_bar(
            x=rows["environment"],
            y=rows["accuracy"],
            name=str(protocol),
            marker={"color": PROTOCOL_COLORS[str(protocol)]},
            error_y=error_bar(rows, "accuracy", color="#777777"),
            customdata=rows.assign(model=rows["model"].map(model_title))[
                ["n_utterances", "n_speakers", "model"]
            ],
            hovertemplate="%{y:.1%}, %{customdata[2]}, n = %{customdata[0]} of %{customdata[1]}",
        )
    figure.update_yaxes(title="accuracy on the test set", range=[0, 1], tickformat=".0%")
    subtitle = (
        "speaker_independent: unseen speakers; random_split: speakers are shared between training and "
        f"test, as in the original{note}"
    )
    return finish_figure(figure, TITLE, subtitle, summary=f"{'; '.join(summaries)}.")


def recipes_documents(table: pd.DataFrame, figure: go.Figure, *, note: str = "") -> tuple[str, str]:
    """Render the comparison in Markdown and as an HTML page.

    Args:
        table: As for :func:`recipes_figure`, with ``description``, ``corpora`` and ``missing``.
        figure: Its figure.
        note: Notice at the top, empty for real corpora.
    """
    rows = []
    # Empty text is read from a CSV file as a missing value.
    table = table.fillna({"corpora": "", "missing": ""})
    for environment, lines in table.groupby("environment", sort=False):
        first = lines.iloc[0]
        row = {
            "recipe": f"{environment}: {first['description']}",
            "corpora": ("SYNTHETIC " if first["synthetic"] else "") + first["corpora"] or "not run",
            "corpora not available": first["missing"] or "–",
            "claimed": interval(first["claimed"]),
        }
        for protocol in PROTOCOLS:
            found = lines[lines["protocol"] == protocol]
            row[f"reproduced, {protocol}"] = _accuracy(found.iloc[0]) if len(found) else "–"
        rows.append(row)
    description = (
        "With random_split, utterances are assigned at random, as the authors did: the same speakers "
        "are in training and test. With speaker_independent, all test speakers are unseen."
    )
    section = Section("recipes", "Accuracy by protocol", description, pd.DataFrame(rows))
    return (
        sections_markdown(TITLE, DESCRIPTION, [section], note=note),
        sections_page(TITLE, DESCRIPTION, [section], {"recipes": figure}, note=note),
    )


def _accuracy(row: pd.Series) -> str:
    shown = row_interval(row.to_dict(), "accuracy")
    return f"{shown}, n = {row['n_utterances']:.0f}/{row['n_speakers']:.0f}"
