"""The reporting pipeline."""

from speech_emotion.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
