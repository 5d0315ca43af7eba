"""Documents of tables and figures, a section each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from speech_emotion.reporting.rendering import PLOT_OPTIONS, template

__all__ = ["Section", "sections_markdown", "sections_page"]


@dataclass(frozen=True)
class Section:
    """A table with a title.

    Attributes:
        name: Name of its figure.
        title: Title.
        description: What is to be known of the table.
        table: The table, as it is to be read.
        same: What is the same in all rows.
    """

    name: str
    title: str
    description: str
    table: pd.DataFrame
    same: str = ""


def sections_markdown(
    title: str, description: str, sections: Sequence[Section], *, note: str = ""
) -> str:
    """Write sections in Markdown, to be quoted.

    Args:
        title: Title of the document.
        description: What is to be known of all sections.
        sections: The sections.
        note: Said at the top.
    """
    return template("sections.md.j2").render(
        title=title, description=description, sections=sections, note=note
    )


def sections_page(
    title: str,
    description: str,
    sections: Sequence[Section],
    figures: Mapping[str, go.Figure],
    *,
    note: str = "",
) -> str:
    """Write sections as one HTML file that needs nothing else.

    Args:
        title: Title of the document.
        description: What is to be known of all sections.
        sections: The sections.
        figures: Figures by the names of their sections.
        note: Said at the top.
    """
    drawn = {
        name: figure.to_html(full_html=False, include_plotlyjs=False, config=PLOT_OPTIONS)
        for name, figure in figures.items()
    }
    return template("sections.html.j2").render(
        title=title,
        description=description,
        sections=sections,
        figures=drawn,
        plotly=get_plotlyjs(),
        note=note,
    )
