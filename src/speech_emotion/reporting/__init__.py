"""Figures and documents: reports on models, calls, KPIs, the ablation and recipes."""

import pandas as pd

from speech_emotion.reporting.external import describe_external, external_metrics
from speech_emotion.reporting.index import index_page, write_index
from speech_emotion.reporting.kpis import kpi_figure
from speech_emotion.reporting.rendering import read_template
from speech_emotion.reporting.runs import (
    describe_run,
    format_leaderboard,
    headline_metrics,
    headline_table,
    name_data,
    name_run,
    run_metrics,
)

__all__ = [
    "describe_external",
    "describe_run",
    "external_metrics",
    "format_leaderboard",
    "headline_metrics",
    "headline_table",
    "index_page",
    "kpi_figure",
    "name_data",
    "name_run",
    "read_template",
    "run_metrics",
    "synthetic_note",
    "write_index",
]


def synthetic_note(utterances: pd.DataFrame) -> str:
    """Return the notice for titles: empty, or that utterances are synthetic.

    Example:
        >>> synthetic_note(pd.DataFrame({"synthetic": [True]}))
        ' (SYNTHETIC sample corpus)'
    """
    return " (SYNTHETIC sample corpus)" if utterances["synthetic"].any() else ""
