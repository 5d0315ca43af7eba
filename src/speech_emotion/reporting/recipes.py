"""Other people's recipes: what was claimed beside what they give, as a figure and documents."""

from __future__ import annotations

from typing import Final

import pandas as pd
import plotly.graph_objects as go

from speech_emotion.reporting.models import PROTOCOL_COLORS, finish_figure
from speech_emotion.reporting.rendering import interval
from speech_emotion.reporting.sections import Section, sections_markdown, sections_page

__all__ = ["recipes_documents", "recipes_figure"]

TITLE: Final = "What was claimed, and what it is"
SAID: Final = (
    "Accuracy in percent on held-out utterances of clean sound, with 95 % intervals from a bootstrap over "
    "speakers; n is utterances/speakers. Of each recipe the model that is best in cross-validation."
)
PROTOCOLS: Final = {
    "random_split": "ours, random",
    "speaker_independent": "ours, speaker_independent",
}


def recipes_figure(table: pd.DataFrame, *, note: str = "") -> go.Figure:
    """Draw claimed accuracy beside the accuracy of the same recipe, leaky and speaker_independent.

    Args:
        table: ``environment``, ``claimed``, ``protocol``, ``n_utterances``, ``n_speakers`` and
            accuracies, one row a recipe and protocol.
        note: Said in the subtitle.
    """
    figure = go.Figure()
    claims = table.drop_duplicates("environment").dropna(subset="claimed")
    figure.add_bar(
        x=claims["environment"], y=claims["claimed"], name="claimed", marker={"color": "#bbb"}
    )
    for protocol, rows in table.dropna(subset="accuracy").groupby("protocol", sort=False):
        figure.add_bar(
            x=rows["environment"],
            y=rows["accuracy"],
            name=str(protocol),
            marker={"color": PROTOCOL_COLORS[str(protocol)]},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": rows["accuracy_high"] - rows["accuracy"],
                "arrayminus": rows["accuracy"] - rows["accuracy_low"],
            },
            customdata=rows[["n_utterances", "n_speakers", "model"]],
            hovertemplate="%{y:.1%}, %{customdata[2]}, n = %{customdata[0]} of %{customdata[1]}",
        )
    figure.update_yaxes(title="accuracy on held-out utterances", range=[0, 1], tickformat=".0%")
    subtitle = (
        "random: speakers leak into the test, as in the original; "
        "speaker_independent: the same recipe without"
    )
    return finish_figure(figure, TITLE, subtitle + note)


def recipes_documents(table: pd.DataFrame, figure: go.Figure, *, note: str = "") -> tuple[str, str]:
    """Write the comparison in Markdown and as a page.

    Args:
        table: As for :func:`recipes_figure`, with ``description``, ``corpora`` and ``missing``.
        figure: Its figure.
        note: Said at the top.
    """
    rows = []
    table = table.fillna({"corpora": "", "missing": ""})  # a file of text tells them not apart
    for environment, lines in table.groupby("environment", sort=False):
        first = lines.iloc[0]
        row = {
            "recipe": f"{environment}: {first['description']}",
            "run on": ("SYNTHETIC " if first["synthetic"] else "") + first["corpora"] or "not run",
            "not at hand": first["missing"] or "–",
            "claimed": interval(first["claimed"], float("nan"), float("nan")),
        }
        for protocol, said in PROTOCOLS.items():
            found = lines[lines["protocol"] == protocol]
            row[said] = _accuracy(found.iloc[0]) if len(found) else "–"
        rows.append(row)
    said = (
        "Under random, utterances are drawn at random, as the authors did: the speakers of the test are "
        "known. Under speaker_independent no speaker of the test was heard before."
    )
    section = Section("recipes", "Claimed, leaky, true", said, pd.DataFrame(rows))
    return (
        sections_markdown(TITLE, SAID, [section], note=note),
        sections_page(TITLE, SAID, [section], {"recipes": figure}, note=note),
    )


def _accuracy(line: pd.Series) -> str:
    said = interval(line["accuracy"], line["accuracy_low"], line["accuracy_high"])
    return f"{said}, n = {line['n_utterances']:.0f}/{line['n_speakers']:.0f}"
