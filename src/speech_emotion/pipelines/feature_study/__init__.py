"""The feature_study pipeline."""

from speech_emotion.pipelines.feature_study.pipeline import create_pipeline

__all__ = ["create_pipeline"]
