"""Documents made of sections, each with a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from speech_emotion.reporting.rendering import figure_html, template

__all__ = ["Section", "sections_markdown", "sections_page"]


@dataclass(frozen=True)
class Section:
    """A table with title and description.

    Attributes:
        name: Name of its figure, also the anchor on the page.
        title: Title.
        description: Text above the table.
        table: Formatted cells.
        same: Columns whose value is the same in all rows, as text.
    """

    name: str
    title: str
    description: str
    table: pd.DataFrame
    same: str = ""


def sections_markdown(
    title: str, description: str, sections: Sequence[Section], *, note: str = ""
) -> str:
    """Render sections in Markdown.

    Args:
        title: Title of the document.
        description: Text above all sections.
        sections: The sections.
        note: Notice at the top.
    """
    return template("sections/sections.md.j2").render(
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
    """Render sections as one self-contained HTML file.

    Args:
        title: Title of the document.
        description: Text above all sections.
        sections: The sections.
        figures: Figures by the names of their sections.
        note: Notice at the top.
    """
    return template("sections/sections.html.j2").render(
        title=title,
        description=description,
        sections=sections,
        figures={name: figure_html(figure, name) for name, figure in figures.items()},
        plotly=get_plotlyjs(),
        note=note,
    )
