"""Node of call scoring for other programs; the others are in :mod:`speech_emotion.call_scoring`."""

from __future__ import annotations

import pandas as pd


def export_calls(summary: pd.DataFrame, parties: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """Return summary and parties for two formats each, CSV and JSON Lines."""
    return summary, summary, parties, parties
