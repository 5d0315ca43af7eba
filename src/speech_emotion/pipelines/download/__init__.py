"""The download pipeline."""

from speech_emotion.pipelines.download.pipeline import create_pipeline

__all__ = ["create_pipeline"]
