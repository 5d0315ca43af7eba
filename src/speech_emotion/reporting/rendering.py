"""HTML and Markdown rendering that all documents share."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import soundfile
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from PIL.Image import Image
from plotly.io import to_html

from speech_emotion.clock import format_clock
from speech_emotion.reporting.plotting import describe, row_interval

__all__ = [
    "figure_html",
    "page_script",
    "png_base64",
    "read_template",
    "template",
    "wav_base64",
]

PLOT_OPTIONS: Final[dict[str, Any]] = {
    "full_html": False,
    "include_plotlyjs": False,  # the page contains it once
    "validate": False,
    # The button that uploads a chart to Plotly's server is removed.
    "config": {"responsive": True, "modeBarButtonsToRemove": ["sendChartToCloud"]},
}
"""Options of ``plotly.io.to_html``."""


def read_template(name: str) -> str:
    """Return the text of a file in ``reporting/templates``."""
    return files("speech_emotion.reporting").joinpath("templates", name).read_text("utf-8")


def page_script(name: str) -> str:
    """Return a script in ``reporting/templates`` with the helpers that all scripts share."""
    return read_template("page.js") + read_template(name)


def template(name: str, **filters: Callable[..., Any]) -> Any:
    """Return a Jinja template by its path in ``reporting/templates``.

    Text is escaped in HTML templates. Templates have the filters ``percent``, ``decimal`` and ``clock``,
    which show a dash for missing numbers, and the function ``interval(row, metric)``.

    Args:
        name: Path of the template.
        filters: Further filters by name.
    """
    environment = Environment(
        loader=FunctionLoader(read_template),
        autoescape=name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: "–" if pd.isna(value) else f"{value:.1%}"
    environment.filters["decimal"] = lambda value: "–" if pd.isna(value) else f"{value:.2f}"
    environment.filters["clock"] = format_clock
    environment.filters["number"] = lambda value: "" if pd.isna(value) else value
    environment.filters.update(filters)
    environment.globals["interval"] = row_interval
    return environment.get_template(name)


def figure_html(figure: go.Figure, name: str, **options: Any) -> Markup:
    """Return a figure with its caption and text alternative as an HTML ``figure`` element.

    Title and subtitle become the caption, which wraps on small screens, unlike Plotly's title. The
    legend moves below the chart.

    Args:
        figure: A Plotly figure from :func:`~speech_emotion.reporting.plotting.finish_figure`.
        name: Identifier, part of the element's ``id``.
        options: Further options of ``plotly.io.to_html``.
    """
    title, subtitle, summary = describe(figure)
    drawn = figure.to_dict()  # a copy, which is not validated again: that takes most of the time
    layout = drawn["layout"]
    axes = [key for key in layout if key.startswith(("xaxis", "yaxis"))]
    panels = len([key for key in axes if key.startswith("xaxis")])
    wide = panels > 1 or (figure.layout.meta or {}).get("wide", False)
    layout.pop("width", None)
    layout |= {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
    changed = {
        "title": {"text": "", "subtitle": {"text": ""}},
        "margin": {"t": 40 if panels > 1 else 16, "b": 40, "l": 50, "r": 16},
        **{key: {"automargin": True} for key in (*axes, "xaxis", "yaxis")},
    }
    if "legend2" not in layout:
        below = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0}
        changed["legend"] = below
    for key, values in changed.items():
        layout[key] = layout.get(key, {}) | values
    element = Markup(
        '<figure class="chart{wide}" id="figure-{name}">\n'
        '<figcaption><strong>{title}</strong><span class="note">{subtitle}</span></figcaption>\n'
        '<div class="scroll" tabindex="0" role="group" aria-label="{summary}">'
        '<div class="plot">{plot}</div></div>\n'
        "</figure>"
    )
    return element.format(
        wide=" wide" if wide else "",
        name=name,
        title=title,
        subtitle=subtitle,
        summary=summary,
        plot=Markup(to_html(drawn, **PLOT_OPTIONS, **options)),
    )


def png_base64(picture: Image) -> str:
    """Return a picture as PNG in base64, for embedding into a page."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def wav_base64(samples: np.ndarray, sample_rate: int) -> str:
    """Return samples as a 16-bit WAV file in base64, for embedding into a page."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), sample_rate, format="WAV", subtype="PCM_16")
    return base64.b64encode(buffer.getvalue()).decode()
