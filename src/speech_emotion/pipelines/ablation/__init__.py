"""The ablation pipeline."""

from speech_emotion.pipelines.ablation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
