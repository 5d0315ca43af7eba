"""The recipes pipeline."""

from speech_emotion.pipelines.recipes.pipeline import create_pipeline

__all__ = ["create_pipeline"]
