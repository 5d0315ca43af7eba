"""The simulation of learning from verdicts."""

from speech_emotion.pipelines.feedback_simulation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
