"""The project's pipelines, by the names that ``kedro run --pipeline`` takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Final

from kedro.pipeline import Pipeline

__all__ = ["register_pipelines"]

DEFAULT: Final = "__default__"
STAGES: Final = (
    "ingestion",
    "augmentation",
    "feature_engineering",
    "model_selection",
    "reporting",
    "registration",
)
# Written out, so that a broken import is an error and not a gap.
PARTS: Final[dict[str, tuple[str, ...]]] = {
    DEFAULT: STAGES,
    **{stage: (stage,) for stage in STAGES},
    "recipes": ("recipes",),
    "download": ("download",),
    "feature_study": ("feature_study",),
    "call_report": ("call_report",),
    "call_kpis": ("call_kpis",),
    "sonification": ("sonification",),
    # Scores nobody looks at serve nobody: the page belongs to them.
    "call_scoring": ("call_scoring", "call_report"),
    "call_evaluation": ("call_evaluation",),
}


class _Pipelines(Mapping[str, Pipeline]):
    """Pipelines that are imported when they are asked for: a command needs few, and not their code."""

    def __getitem__(self, name: str) -> Pipeline:
        modules = [import_module(f"speech_emotion.pipelines.{part}") for part in PARTS[name]]
        return sum((module.create_pipeline() for module in modules), start=Pipeline([]))

    def __iter__(self) -> Iterator[str]:
        return iter(PARTS)

    def __len__(self) -> int:
        return len(PARTS)


def register_pipelines() -> Mapping[str, Pipeline]:
    """Name every pipeline."""
    return _Pipelines()
