"""Kedro hooks, one class for each purpose."""

from speech_emotion.hooks.cluster import ClusterHooks
from speech_emotion.hooks.configuration import (
    RENAMED_PIPELINES,
    ConfigurationError,
    ConfigurationHooks,
)
from speech_emotion.hooks.console import ConsoleHooks, quiet_libraries
from speech_emotion.hooks.estimate import EstimateHooks
from speech_emotion.hooks.stores import StoreHooks
from speech_emotion.hooks.summary import SummaryHooks
from speech_emotion.hooks.tracking import DamagedStore, TrackingHooks, check_store

__all__ = [
    "RENAMED_PIPELINES",
    "ClusterHooks",
    "ConfigurationError",
    "ConfigurationHooks",
    "ConsoleHooks",
    "DamagedStore",
    "EstimateHooks",
    "StoreHooks",
    "SummaryHooks",
    "TrackingHooks",
    "check_store",
    "quiet_libraries",
]
