"""Helpers that all Plotly figures share: colors, titles, counts, error bars and intervals."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

__all__ = [
    "COLORS",
    "NEUTRAL",
    "PROTOCOL_COLORS",
    "counted_note",
    "describe",
    "error_bar",
    "finish_figure",
    "interval",
    "listed",
    "row_interval",
]

# The palette of Okabe and Ito, which color-blind readers can distinguish. Blue is lighter and yellow
# darker than theirs, and gray replaces black: all colors are visible on white and on dark pages.
COLORS: Final = (
    "#1F83C6",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
    "#A89B00",
    "#8a8a8a",
)
NEUTRAL: Final = COLORS[-1]
"""Gray of marks and lines, with a contrast of more than 3 to 1 on white and on dark pages."""
PROTOCOL_COLORS: Final = {
    "speaker_independent": "#1F83C6",
    "enrolled": "#009E73",
    "speaker_adapted": "#56B4E9",
    "cross_corpus": "#CC79A7",
    "cross_corpus_adapted": "#E69F00",
    "leaking_folds": "#A89B00",
    "random_split": "#D55E00",
}
ENTITY: Final = re.compile(r"&(?=#?\w+;)")
MARGIN: Final = {"t": 110, "b": 60}


def finish_figure(
    figure: go.Figure,
    title: str,
    subtitle: str,
    *,
    summary: str = "",
    wide: bool = False,
    **layout: object,
) -> go.Figure:
    """Set the title, the subtitle and the text alternative of a figure; show all names as text.

    Plotly renders links and markup in names, labels and categories, and these come from data.

    Args:
        figure: The figure, which is changed in place.
        title: What the figure shows.
        subtitle: Protocol, counts and notes.
        summary: The main numbers in words. It is stored with the figure, and pages use it as the
            text alternative of the chart.
        wide: Whether the chart needs the width of a desktop: small screens scroll it.
        layout: Further options of Plotly's layout.

    Returns:
        The same figure.
    """
    for trace in (*figure.data, *(trace for frame in figure.frames for trace in frame.data)):
        for key in ("name", "text", "hovertext", "x", "y", "labels", "customdata"):
            if key in trace:
                trace[key] = _literal(trace[key])
    for annotation in figure.layout.annotations:
        annotation.text = _literal(annotation.text)
    for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
        axis.title.text = _literal(axis.title.text)
        axis.ticktext, axis.categoryarray = _literal(axis.ticktext), _literal(axis.categoryarray)
    figure.update_shapes(
        line_color=NEUTRAL, selector=lambda shape: shape.line.color is None
    )  # the template's dark blue cannot be seen on dark pages
    figure.update_layout(
        template="plotly_white",
        title={"text": _literal(title), "subtitle": {"text": _literal(subtitle)}},
        margin=MARGIN,
        colorway=list(COLORS),
        meta={"title": title, "subtitle": subtitle, "summary": summary, "wide": wide},
        **layout,
    )
    return figure


def _literal(value: Any) -> Any:
    """Return text, or arrays of it, that Plotly shows as it is; anything else is not changed.

    Example:
        >>> _literal(["<b>Ann</b>", 1, "A&amp;B", "R&D"])
        ['&lt;b&gt;Ann&lt;/b&gt;', 1, 'A&amp;amp;B', 'R&D']
    """
    if isinstance(value, str):
        value = ENTITY.sub("&amp;", value)
        return value.replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, list | tuple):
        return [_literal(one) for one in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in "OU":
        return [_literal(one) for one in value.tolist()]
    return value


def describe(figure: go.Figure) -> tuple[str, str, str]:
    """Return title, subtitle and text alternative of a figure.

    A figure without a summary of its numbers is described by its title and subtitle.
    """
    meta = figure.layout.meta or {}
    title, subtitle = meta.get("title", ""), meta.get("subtitle", "")
    summary = meta.get("summary", "")
    return title, subtitle, f"{title}. {summary or subtitle}".strip()


def counted_note(utterances: int, speakers: int, note: str = "") -> str:
    """Return the number of utterances and speakers as text.

    Example:
        >>> counted_note(91, 4)
        'n = 91 utterances of 4 speakers'
    """
    plural = "" if speakers == 1 else "s"
    return f"n = {utterances} utterances of {speakers} speaker{plural}{note}"


def error_bar(rows: pd.DataFrame, column: str, **style: object) -> dict[str, Any]:
    """Return the 95 % intervals of a column as an error bar of Plotly.

    Args:
        rows: Table with the columns ``column``, ``column_low`` and ``column_high``.
        column: Name of the estimate.
        style: Further options, such as ``color`` and ``thickness``.

    Example:
        >>> rows = pd.DataFrame({"uar": [0.5], "uar_low": [0.25], "uar_high": [1.0]})
        >>> bar = error_bar(rows, "uar")
        >>> list(bar["array"]), list(bar["arrayminus"])
        ([0.5], [0.25])
    """
    return {
        "type": "data",
        "symmetric": False,
        "array": rows[f"{column}_high"] - rows[column],
        "arrayminus": rows[column] - rows[f"{column}_low"],
        **style,
    }


def interval(
    value: float,
    low: float = float("nan"),
    high: float = float("nan"),
    *,
    scale: float = 100,
    digits: int = 1,
    unit: str = "%",
    signed: bool = False,
) -> str:
    """Format a number with its interval.

    Args:
        value: The estimate; a dash is returned if it is missing.
        low: Lower bound, left out if it is missing.
        high: Upper bound.
        scale: Factor from the stored to the shown number: 100 for percent.
        digits: Digits after the decimal point.
        unit: Unit of the estimate.
        signed: Whether positive numbers have a plus sign, as differences do.

    Example:
        >>> interval(0.748, 0.701, 0.79)
        '74.8% [70.1, 79.0]'
        >>> interval(-0.0163, signed=True)
        '-1.6%'
        >>> interval(301.4, 280, 322.3, scale=1, digits=0, unit=" s")
        '301 s [280, 322]'
    """
    if value is None or pd.isna(value):
        return "–"
    form = f"{'+' if signed else ''}.{digits}f"
    # Adding zero removes the sign of a negative zero.
    shown, *bounds = (
        f"{round(scale * number, digits) + 0.0:{form}}" for number in (value, low, high)
    )
    return shown + unit if pd.isna(low) else f"{shown}{unit} [{', '.join(bounds)}]"


def row_interval(row: dict[str, Any], metric: str, **options: Any) -> str:
    """Format a metric of a table's row with its interval; a dash if the row is empty."""
    if not row:
        return "–"
    bounds = (row.get(f"{metric}_{bound}", float("nan")) for bound in ("low", "high"))
    return interval(row[metric], *bounds, **options)


def listed(items: Iterable[str]) -> str:
    """Join items to an enumeration.

    Example:
        >>> listed(["angry", "happy", "sad"])
        'angry, happy and sad'
    """
    *first, last = list(items) or [""]
    return f"{', '.join(first)} and {last}" if first else last
