"""Kedro hooks: MLflow tracking, the cluster of a run, and the summary at its end."""

from speech_emotion.hooks.cluster import ClusterHooks
from speech_emotion.hooks.summary import SummaryHooks
from speech_emotion.hooks.tracking import TrackingHooks

__all__ = ["ClusterHooks", "SummaryHooks", "TrackingHooks"]
