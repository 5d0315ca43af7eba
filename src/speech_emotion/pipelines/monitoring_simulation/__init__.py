"""The simulation of drift."""

from speech_emotion.pipelines.monitoring_simulation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
