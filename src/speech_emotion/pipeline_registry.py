"""The project's pipelines, by the names that ``kedro run --pipelines`` takes."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any, Final

from kedro.pipeline import Pipeline

__all__ = ["DeferredPipeline", "register_pipelines"]

STAGES: Final = (
    "ingestion",
    "augmentation",
    "feature_engineering",
    "model_selection",
    "registration",
    "reporting",
)
# Listed explicitly, so that a failing import is an error and not a missing pipeline.
PIPELINES: Final[dict[str, tuple[str, ...]]] = {
    "__default__": STAGES,
    **{stage: (stage,) for stage in STAGES},
    "ablation": ("ablation",),
    "recipes": ("recipes",),
    "download": ("download",),
    "call_report": ("call_report",),
    "call_kpis": ("call_kpis",),
    "sonification": ("sonification",),
    "call_scoring": ("call_scoring", "call_report"),  # a scored batch always gets its page
    "call_evaluation": ("call_evaluation",),
    "separation_evaluation": ("separation_evaluation",),
    "external_evaluation": ("external_evaluation",),
    "feedback": ("feedback",),
    "feedback_simulation": ("feedback_simulation",),
    "monitoring": ("monitoring",),
    "monitoring_simulation": ("monitoring_simulation",),
}


def _from_created(attribute: str) -> Any:
    return cached_property(lambda pipeline: getattr(pipeline.created, attribute))


class DeferredPipeline(Pipeline):
    """A pipeline that is imported and created when its nodes are first read.

    Most commands read one pipeline or only the names, but Kedro asks for all pipelines at once: its
    own selective loading (``find_pipelines``) imports everything for ``__default__`` and for
    ``kedro registry list``. A pipeline is its nodes and what Kedro derives from them in the
    constructor; these attributes are filled on first use instead.

    Args:
        names: Packages below ``speech_emotion.pipelines`` whose pipelines are added up.
    """

    def __init__(self, names: tuple[str, ...]):
        self._names = names

    @cached_property
    def created(self) -> Pipeline:
        """The pipeline with its nodes."""
        modules = [import_module(f"speech_emotion.pipelines.{name}") for name in self._names]
        return Pipeline([module.create_pipeline() for module in modules])

    _nodes = _from_created("_nodes")
    _nodes_by_name = _from_created("_nodes_by_name")
    _nodes_by_input = _from_created("_nodes_by_input")
    _nodes_by_output = _from_created("_nodes_by_output")
    _toposorter = _from_created("_toposorter")
    _toposorted_nodes = _from_created("_toposorted_nodes")
    _toposorted_groups = _from_created("_toposorted_groups")


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by its name."""
    return {name: DeferredPipeline(packages) for name, packages in PIPELINES.items()}
