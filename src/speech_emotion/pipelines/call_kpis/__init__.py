"""The pipeline of a contact center's key figures."""

from speech_emotion.pipelines.call_kpis.pipeline import create_pipeline, gathering

__all__ = ["create_pipeline", "gathering"]
