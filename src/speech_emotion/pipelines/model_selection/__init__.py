"""The model_selection pipeline."""

from speech_emotion.pipelines.model_selection.pipeline import create_pipeline

__all__ = ["create_pipeline"]
