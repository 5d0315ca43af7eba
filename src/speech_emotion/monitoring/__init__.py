"""Drift of calls and of scores between two periods."""

from speech_emotion.monitoring.drift import compare_periods
from speech_emotion.monitoring.measures import MEASURES, Periods, measure_calls, weekly_table
from speech_emotion.monitoring.settings import MonitoringSettings

__all__ = [
    "MEASURES",
    "MonitoringSettings",
    "Periods",
    "compare_periods",
    "measure_calls",
    "weekly_table",
]
