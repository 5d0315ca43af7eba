"""The HTML report (one self-contained file), the Markdown report and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL.Image import Image
from plotly.offline import get_plotlyjs

from speech_emotion.audio import TRAINING_LINE
from speech_emotion.corpora import LEAKING, TEST
from speech_emotion.evaluation import (
    ALL_LINES,
    CLEAN,
    CROSS_VALIDATION,
    TELEPHONE,
    cross_validated_choice,
    headline_first,
)
from speech_emotion.models import FAMILIES
from speech_emotion.reporting.plotting import listed
from speech_emotion.reporting.rendering import figure_html, png_base64, template, wav_base64

__all__ = [
    "Evidence",
    "detection_title",
    "evaluation_title",
    "html_report",
    "line_title",
    "markdown_report",
    "model_card",
    "model_title",
]

EVALUATIONS: Final = {TEST: "test set", CROSS_VALIDATION: "cross-validation"}
LINE_TITLES: Final = {
    ALL_LINES: "all lines",
    TRAINING_LINE: "training line",
    "opus_12k": "Opus 12 kbit/s",
    "gsm": "GSM",
    "steep_ulaw": "steep filter, µ-law",
}
PICTURES: Final = {
    "waveform": "Waveforms: one utterance for each of the labels {labels}, on one amplitude scale.",
    "mfcc": "MFCCs over time: one utterance for each of the labels {labels}, on one color scale.",
    "augmentation": "Mel spectrograms before and after each augmentation transform, on one dB scale.",
}


def model_title(name: str) -> str:
    """Return the name of a model family or ensemble as readers see it.

    Example:
        >>> model_title("rocket_lda"), model_title("soft_voting")
        ('ROCKET LDA', 'soft voting')
    """
    return FAMILIES[name].title if name in FAMILIES else name.replace("_", " ")


def line_title(name: str) -> str:
    """Return the name of a telephone line as readers see it.

    Example:
        >>> line_title("opus_12k"), line_title("training")
        ('Opus 12 kbit/s', 'training line')
    """
    return LINE_TITLES.get(name, name.replace("_", " "))


def evaluation_title(evaluation: str) -> str:
    """Return the name of an evaluation as readers see it.

    Example:
        >>> evaluation_title("test")
        'test set'
    """
    return EVALUATIONS.get(evaluation, evaluation)


def detection_title(target: str) -> str:
    """Return the heading of the detection of a label.

    Example:
        >>> detection_title("angry"), detection_title("sad")
        ('Anger detection', 'Detection of sad')
    """
    return "Anger detection" if target == "angry" else f"Detection of {target}"


@dataclass(frozen=True)
class Evidence:
    """Tables and settings that the documents quote.

    Attributes:
        utterances: All utterances.
        rejected: Columns ``path`` and ``reason``.
        leaderboard: One row per model, protocol, condition and evaluation.
        per_class: Precision, recall, F1 and support of each label.
        breakdown: Metrics by corpus, sex and speaker.
        detection: Detection of the target label, one row per model, protocol, condition, evaluation
            and corpus.
        paired: Difference of every model to the champion on the same speakers.
        lines: UAR of every model over each telephone line, and its loss against clean sound.
        calibration: Temperature and calibration errors.
        champion: Name of the champion.
        members: Model families of the champion.
        protocol: Protocol that selected the champion.
        target: Label that is detected.
        details: Settings and versions by name.
        corpora: Title, license, source, and counts of each corpus.
    """

    utterances: pd.DataFrame
    rejected: pd.DataFrame
    leaderboard: pd.DataFrame
    per_class: pd.DataFrame
    breakdown: pd.DataFrame
    detection: pd.DataFrame
    paired: pd.DataFrame
    lines: pd.DataFrame
    calibration: pd.DataFrame
    champion: str
    members: list[str]
    protocol: str
    target: str = "angry"
    details: dict[str, str] = field(default_factory=dict)
    corpora: list[dict[str, str]] = field(default_factory=list)

    @property
    def synthetic(self) -> bool:
        """Whether any utterance is synthetic."""
        return bool(self.utterances["synthetic"].any())

    @property
    def labels(self) -> list[str]:
        """Labels in their order."""
        return [str(label) for label in self.per_class["label"]]

    @property
    def evaluation(self) -> str:
        """Evaluation of the headline: ``test``, or ``cross-validation`` without a test set."""
        test = (self.leaderboard["evaluation"] == TEST).any()
        return TEST if test else CROSS_VALIDATION

    @property
    def sorted_leaderboard(self) -> list[dict[str, Any]]:
        """Rows of the leaderboard, the selecting protocol first."""
        return headline_first(self.leaderboard, self.protocol).to_dict("records")

    def champion_rows(self, table: pd.DataFrame) -> list[dict[str, Any]]:
        """Return the champion's rows of a table under the selecting protocol, the test set first."""
        rows = table[(table["model"] == self.champion) & (table["protocol"] == self.protocol)]
        rows = rows.sort_values("evaluation", key=lambda names: names != TEST, kind="stable")
        return rows.to_dict("records")

    @property
    def leaking(self) -> bool:
        """Whether tested speakers are in training, too."""
        return self.protocol in LEAKING

    def champion_row(
        self, evaluation: str | None = None, protocol: str | None = None
    ) -> dict[str, Any]:
        """Return the champion's row of the leaderboard; empty if the protocol was not evaluated."""
        return self.row(
            self.champion, protocol or self.protocol, CLEAN, evaluation or self.evaluation
        )

    def row(self, model: str, protocol: str, condition: str, evaluation: str) -> dict[str, Any]:
        """Return one row of the leaderboard, empty if it does not exist."""
        board = self.leaderboard
        chosen = board[
            (board["model"] == model)
            & (board["protocol"] == protocol)
            & (board["condition"] == condition)
            & (board["evaluation"] == evaluation)
        ]
        return chosen.iloc[0].to_dict() if len(chosen) else {}

    def headline(self) -> list[dict[str, Any]]:
        """Return the model with the best cross-validation of each protocol and condition."""
        folds = self.leaderboard[self.leaderboard["evaluation"] == CROSS_VALIDATION]
        groups = folds[["protocol", "condition"]].drop_duplicates().sort_values("condition")
        rows = []
        for protocol, condition in headline_first(groups, self.protocol).itertuples(index=False):
            same = folds[(folds["protocol"] == protocol) & (folds["condition"] == condition)]
            model = cross_validated_choice(same, protocol)
            rows.append(
                {
                    "protocol": protocol,
                    "condition": condition,
                    "model": model,
                    "folds": self.row(model, protocol, condition, CROSS_VALIDATION),
                    "test": self.row(model, protocol, condition, TEST),
                }
            )
        return rows

    def models(self) -> list[dict[str, Any]]:
        """Return every model under the selecting protocol, the best cross-validation first."""
        board = self.leaderboard
        folds = board[
            (board["protocol"] == self.protocol)
            & (board["condition"] == CLEAN)
            & (board["evaluation"] == CROSS_VALIDATION)
        ].sort_values("uar", ascending=False)
        return [
            {
                "model": model,
                "folds": self.row(model, self.protocol, CLEAN, CROSS_VALIDATION),
                "test": self.row(model, self.protocol, CLEAN, TEST),
                "telephone": self.row(model, self.protocol, TELEPHONE, CROSS_VALIDATION),
            }
            for model in folds["model"]
        ]

    def comparisons(self) -> list[dict[str, Any]]:
        """Return the paired differences to the champion under the selecting protocol."""
        if self.paired.empty:
            return []
        rows = self.paired
        rows = rows[(rows["protocol"] == self.protocol) & (rows["condition"] == CLEAN)]
        return rows.sort_values(
            "evaluation", key=lambda names: names != TEST, kind="stable"
        ).to_dict("records")


def _document(name: str) -> Any:
    return template(
        name,
        model_title=model_title,
        evaluation_title=evaluation_title,
        line_title=line_title,
        detection_title=detection_title,
        listed=listed,
    )


def html_report(
    evidence: Evidence,
    figures: Mapping[str, go.Figure],
    pictures: Mapping[str, Image],
    sounds: Mapping[str, tuple[np.ndarray, int]],
    run: Mapping[str, str] | None = None,
) -> str:
    """Render the report as one HTML file that contains its scripts, pictures and sounds.

    Args:
        evidence: Tables and settings.
        figures: Plotly figures by section name.
        pictures: Pictures by section name.
        sounds: Samples and sample rate by the description of the augmentation.
        run: ``date``, ``commit``, ``run_id`` and ``model`` of the run, as far as they are known.
    """
    labels = listed(evidence.labels)
    return _document("models/report.html.j2").render(
        evidence=evidence,
        run=dict.fromkeys(("date", "commit", "run_id", "model"), "") | dict(run or {}),
        plotly=get_plotlyjs(),
        # Without a network, there are no learning curves.
        figures={
            name: figure_html(figure, name) for name, figure in figures.items() if figure.data
        },
        pictures={
            name: {"png": png_base64(picture), "text": PICTURES[name].format(labels=labels)}
            for name, picture in pictures.items()
        },
        sounds={name: wav_base64(*sound) for name, sound in sounds.items()},
    )


def model_card(evidence: Evidence, *, version: str = "") -> str:
    """Render the model card in Markdown: data, protocol, metrics, limits and licenses."""
    return _document("models/model_card.md.j2").render(evidence=evidence, version=version)


def markdown_report(evidence: Evidence, by_corpus: pd.DataFrame) -> str:
    """Render the main metrics as tables in Markdown.

    Args:
        evidence: Tables and settings.
        by_corpus: Metrics of every model, protocol, condition and evaluation by corpus.
    """
    rows = by_corpus[
        (by_corpus["model"] == evidence.champion) & (by_corpus["evaluation"] == CROSS_VALIDATION)
    ]
    rows = headline_first(rows, evidence.protocol).to_dict("records")
    return _document("models/report.md.j2").render(evidence=evidence, by_corpus=rows)
