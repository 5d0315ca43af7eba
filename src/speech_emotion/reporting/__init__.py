"""Figures and documents, made from tables and arrays."""

import pandas as pd

from speech_emotion.reporting.kpis import kpi_figure

__all__ = ["kpi_figure", "synthetic_note"]


def synthetic_note(utterances: pd.DataFrame) -> str:
    """Return what titles must say of these utterances: nothing, or that they are synthetic."""
    return " (SYNTHETIC sample corpus)" if utterances["synthetic"].any() else ""
