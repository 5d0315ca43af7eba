"""The feature_engineering pipeline."""

from speech_emotion.pipelines.feature_engineering.pipeline import create_pipeline

__all__ = ["create_pipeline"]
