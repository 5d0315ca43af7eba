"""Drift of calls and of scores between two periods, and distance from the training data."""

from speech_emotion.monitoring.drift import compare_periods
from speech_emotion.monitoring.measures import MEASURES, Periods, measure_calls, weekly_table
from speech_emotion.monitoring.settings import MonitoringSettings
from speech_emotion.monitoring.simulation import (
    DriftSimulationSettings,
    alarm_rates,
    changed_calls,
)
from speech_emotion.monitoring.training import compare_with_training

__all__ = [
    "MEASURES",
    "DriftSimulationSettings",
    "MonitoringSettings",
    "Periods",
    "alarm_rates",
    "changed_calls",
    "compare_periods",
    "compare_with_training",
    "measure_calls",
    "weekly_table",
]
