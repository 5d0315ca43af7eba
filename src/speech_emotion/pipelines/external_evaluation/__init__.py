"""The external_evaluation pipeline."""

from speech_emotion.pipelines.external_evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
