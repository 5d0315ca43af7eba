"""The sonification pipeline."""

from speech_emotion.pipelines.sonification.pipeline import create_pipeline

__all__ = ["create_pipeline"]
