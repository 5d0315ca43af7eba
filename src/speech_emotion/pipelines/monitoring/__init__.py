"""The monitoring pipeline."""

from speech_emotion.pipelines.monitoring.pipeline import create_pipeline

__all__ = ["create_pipeline"]
