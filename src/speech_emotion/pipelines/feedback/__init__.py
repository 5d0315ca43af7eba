"""The feedback pipeline."""

from speech_emotion.pipelines.feedback.pipeline import create_pipeline

__all__ = ["create_pipeline"]
