"""Kedro context of the project: the pipeline registry reads the parameters of the current session."""

from __future__ import annotations

from typing import Any

from kedro.config import AbstractConfigLoader, OmegaConfigLoader
from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines

__all__ = ["ProjectConfigLoader", "ProjectContext", "current_parameters", "encoder_is_set"]

REGISTRY = "speech_emotion.pipeline_registry"

_current: list[AbstractConfigLoader] = []
_read: list[tuple[AbstractConfigLoader, dict[str, Any]]] = []
"""Parameters of the current session: reading them takes half a second, and every pipeline asks for them."""


class ProjectConfigLoader(OmegaConfigLoader):
    """Kedro's configuration loader, with parameters that the budget of the run scales.

    ``budget`` names one of ``budgets``; see :class:`speech_emotion.evaluation.BudgetSettings`.
    """

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return a part of the configuration."""
        found: dict[str, Any] = super().__getitem__(key)
        if key != "parameters" or "budget" not in found:
            return found
        name, budgets = found["budget"], found["budgets"]
        if name not in budgets:
            raise ValueError(f"There is no budget {name!r}, expected one of: {', '.join(budgets)}")
        if not budgets[name]:
            return found
        from speech_emotion.evaluation import BudgetSettings, scale_parameters

        budget = BudgetSettings.model_validate(budgets[name])
        return scale_parameters(found, budget, self.runtime_params or {})


class ProjectContext(KedroContext):
    """Kedro's context, which registers the pipelines again for each session.

    Kedro registers pipelines once a process and without any configuration. Here the nodes of model
    selection depend on ``selection.families``, which an environment or ``--params`` may change, so
    each session starts with a registry that has not created its pipelines yet. A context is used
    instead of a hook because kedro-viz runs without hooks.

    Relative paths of the catalog start at the same folder as those of the MLflow store and the log, see
    :func:`speech_emotion.settings.find_home`; Kedro itself starts them at the working directory if the
    package is installed.
    """

    def __init__(self, **options: Any):
        from speech_emotion.settings import PROJECT

        super().__init__(**options | {"project_path": PROJECT})
        _current[:] = [self.config_loader]
        pipelines.configure(REGISTRY)


def current_parameters() -> dict[str, Any]:
    """Return the parameters of the current session, or those of the default environment.

    Commands that start no session, ``kedro registry describe`` for one, get the default environment.
    Callers do not change the result.
    """
    if not _current:
        return _default_loader()["parameters"]
    if not _read or _read[0][0] is not _current[0]:
        _read[:] = [(_current[0], _current[0]["parameters"])]
    return _read[0][1]


def encoder_is_set() -> bool:
    """Return whether the configuration of the current session names a pretrained speech encoder."""
    return current_parameters()["embeddings"]["encoder"] is not None


def _default_loader() -> OmegaConfigLoader:
    from speech_emotion.settings import CONFIG_LOADER_ARGS, PROJECT

    options: dict[str, Any] = dict(CONFIG_LOADER_ARGS)
    return ProjectConfigLoader(conf_source=str(PROJECT / "conf"), **options)
