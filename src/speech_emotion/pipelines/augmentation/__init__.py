"""The augmentation pipeline."""

from speech_emotion.pipelines.augmentation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
