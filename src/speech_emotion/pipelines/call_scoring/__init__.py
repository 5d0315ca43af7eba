"""The call_scoring pipeline."""

from speech_emotion.pipelines.call_scoring.pipeline import create_pipeline

__all__ = ["create_pipeline"]
