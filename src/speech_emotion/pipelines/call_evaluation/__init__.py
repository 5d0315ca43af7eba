"""The call_evaluation pipeline."""

from speech_emotion.pipelines.call_evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
