"""Pipeline that registers the champion in MLflow."""

from speech_emotion.pipelines.registration.pipeline import create_pipeline

__all__ = ["create_pipeline"]
