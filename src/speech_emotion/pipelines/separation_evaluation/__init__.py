"""The separation_evaluation pipeline."""

from speech_emotion.pipelines.separation_evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
