"""The ingestion pipeline."""

from speech_emotion.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
