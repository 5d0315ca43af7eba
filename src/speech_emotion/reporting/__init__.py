"""Figures and documents: reports on models, calls, KPIs, the ablation and recipes.

Reports on models are in :mod:`speech_emotion.reporting.models`. Every command that writes a page imports this
package, so it imports none that train or score.
"""

import pandas as pd

from speech_emotion.reporting.index import index_page, write_index
from speech_emotion.reporting.kpis import kpi_figure
from speech_emotion.reporting.rendering import read_template

__all__ = [
    "index_page",
    "kpi_figure",
    "read_template",
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
