"""The project's pipelines, by the names that ``kedro run --pipeline`` takes."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

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


class _Named(Pipeline):
    """A pipeline that is made when it is first asked for anything.

    Most commands need few pipelines or only their names, and Kedro copies the whole registry to list it.
    """

    def __init__(self, parts: tuple[str, ...]):
        self._parts = parts

    def __getattr__(self, attribute: str) -> Any:
        # Called for what is not there: all that Pipeline's constructor sets, as long as it was not run.
        if attribute.startswith("__"):  # asked for by copies, of the class and not of the pipeline
            raise AttributeError(attribute)
        modules = [import_module(f"speech_emotion.pipelines.{part}") for part in self._parts]
        super().__init__([module.create_pipeline() for module in modules])
        return object.__getattribute__(self, attribute)


def register_pipelines() -> dict[str, Pipeline]:
    """Name every pipeline."""
    return {name: _Named(parts) for name, parts in PARTS.items()}
