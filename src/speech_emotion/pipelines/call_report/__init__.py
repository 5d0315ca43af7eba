"""The pipeline that shows scored calls."""

from speech_emotion.pipelines.call_report.pipeline import create_pipeline

__all__ = ["create_pipeline"]
