"""The HTML report, in one file that needs nothing else, and the model card."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL.Image import Image
from plotly.offline import get_plotlyjs

from speech_emotion.corpora import TEST
from speech_emotion.evaluation import CLEAN, CROSS_VALIDATION, cross_validated_choice
from speech_emotion.reporting.rendering import PLOT_OPTIONS, template, wav_base64

__all__ = ["Evidence", "html_report", "markdown_report", "model_card"]


@dataclass(frozen=True)
class Evidence:
    """What a run knows about its data and its champion.

    Attributes:
        utterances: All utterances.
        rejected: Columns ``path`` and ``reason``.
        leaderboard: One row a model, protocol, condition and evaluation.
        per_class: Precision, recall, F1 and support of each label.
        breakdown: Figures by corpus, sex and speaker.
        detection: One label against the rest, a row a model, protocol, condition, evaluation, corpus.
        paired: Every model against the champion on the same speakers.
        calibration: Temperature and calibration errors.
        champion: Name of the champion.
        members: Model families it consists of.
        protocol: Protocol that selected it.
        facts: Further facts by name: settings, versions.
        corpora: For each corpus present its title, licence and source.
    """

    utterances: pd.DataFrame
    rejected: pd.DataFrame
    leaderboard: pd.DataFrame
    per_class: pd.DataFrame
    breakdown: pd.DataFrame
    detection: pd.DataFrame
    paired: pd.DataFrame
    calibration: pd.DataFrame
    champion: str
    members: list[str]
    protocol: str
    facts: dict[str, str] = field(default_factory=dict)
    corpora: list[dict[str, str]] = field(default_factory=list)

    @property
    def synthetic(self) -> bool:
        """Whether any utterance is synthetic."""
        return bool(self.utterances["synthetic"].any())

    def of_champion(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the champion's lines of a table under the selecting protocol."""
        return table[(table["model"] == self.champion) & (table["protocol"] == self.protocol)]

    @property
    def judged(self) -> str:
        """``test``, or ``cross-validation`` where nothing was held out."""
        test = (self.leaderboard["evaluation"] == TEST).any()
        return TEST if test else CROSS_VALIDATION

    def row(self, evaluation: str | None = None, protocol: str | None = None) -> dict[str, Any]:
        """Return the champion's line of the leaderboard; empty if the protocol was not compared."""
        own = protocol or self.protocol
        return self.line(self.champion, own, CLEAN, evaluation or self.judged)

    def line(self, model: str, protocol: str, condition: str, evaluation: str) -> dict[str, Any]:
        """Return one line of the leaderboard, empty if there is none."""
        board = self.leaderboard
        chosen = board[
            (board["model"] == model)
            & (board["protocol"] == protocol)
            & (board["condition"] == condition)
            & (board["evaluation"] == evaluation)
        ]
        return chosen.iloc[0].to_dict() if len(chosen) else {}

    def headline(self) -> list[dict[str, Any]]:
        """For each protocol and condition the model that is best in cross-validation."""
        folds = self.leaderboard[self.leaderboard["evaluation"] == CROSS_VALIDATION]
        lines = []
        for (protocol, condition), rows in folds.groupby(["protocol", "condition"], sort=True):
            model = cross_validated_choice(rows, str(protocol))
            facts = {"protocol": protocol, "condition": condition, "model": model}
            own = (model, str(protocol), str(condition))
            lines.append(
                facts
                | {
                    "folds": self.line(*own, CROSS_VALIDATION),
                    "test": self.line(*own, TEST),
                }
            )
        return lines

    def models(self) -> list[dict[str, Any]]:
        """Every model under the selecting protocol, best in cross-validation first."""
        board = self.leaderboard
        folds = board[
            (board["protocol"] == self.protocol)
            & (board["condition"] == CLEAN)
            & (board["evaluation"] == CROSS_VALIDATION)
        ].sort_values("uar", ascending=False)
        return [
            {
                "model": model,
                "folds": self.line(model, self.protocol, CLEAN, CROSS_VALIDATION),
                "test": self.line(model, self.protocol, CLEAN, TEST),
                "telephone": self.line(model, self.protocol, "telephone", CROSS_VALIDATION),
            }
            for model in folds["model"]
        ]


def html_report(
    evidence: Evidence,
    figures: dict[str, go.Figure],
    pictures: dict[str, Image],
    sounds: dict[str, tuple[np.ndarray, int]],
) -> str:
    """Write the report as one HTML file: scripts, pictures and sounds are inside.

    Args:
        evidence: Tables and facts.
        figures: Plotly figures by section name.
        pictures: Pictures by section name.
        sounds: Samples and rate by name, to be heard from the page.
    """
    drawn = {
        name: figure.to_html(full_html=False, include_plotlyjs=False, config=PLOT_OPTIONS)
        for name, figure in figures.items()
    }
    return template("report.html.j2").render(
        evidence=evidence,
        plotly=get_plotlyjs(),
        figures=drawn,
        pictures={name: _png(picture) for name, picture in pictures.items()},
        sounds={name: wav_base64(*sound) for name, sound in sounds.items()},
    )


def model_card(evidence: Evidence) -> str:
    """Write the model card in Markdown: data, protocol, figures, limits and licences."""
    return template("model_card.md.j2").render(evidence=evidence)


def markdown_report(evidence: Evidence, by_corpus: pd.DataFrame) -> str:
    """Write the main figures as tables in Markdown, to be quoted."""
    return template("report.md.j2").render(evidence=evidence, by_corpus=by_corpus)


def _png(picture: Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
