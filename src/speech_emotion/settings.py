"""Project settings: hooks, configuration and resolvers."""

import os
from pathlib import Path

from speech_emotion.context import ProjectConfigLoader, ProjectContext
from speech_emotion.hooks import (
    ClusterHooks,
    ConfigurationHooks,
    ConsoleHooks,
    EstimateHooks,
    StoreHooks,
    SummaryHooks,
    TrackingHooks,
    quiet_libraries,
)
from speech_emotion.runtime import is_url

quiet_libraries()  # before plugins import them

# Recordings of callers, and what is derived from them, is readable by its owner only.
os.umask(int(os.environ.get("SPEECH_EMOTION_UMASK", "077"), 8))


def find_home() -> Path:
    """Return the folder that relative paths of the configuration start from.

    This is the folder that ``SPEECH_EMOTION_HOME`` names, else the checkout of the project, else, for
    an installed package, the working directory.
    """
    if home := os.environ.get("SPEECH_EMOTION_HOME"):
        return Path(home).resolve()
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


PROJECT = find_home()


def in_project(path: str) -> str:
    """Resolve a path of the configuration against the project's folder."""
    return (PROJECT / path).as_posix()


def on_disk(path: str) -> str:
    """Resolve a path as :func:`in_project`; map a URL to a folder of the project."""
    return in_project(f"data/{path.split('://', 1)[1]}" if is_url(path) else path)


# The first is called last: the summary ends the run.
HOOKS = (
    SummaryHooks(),
    TrackingHooks(),
    EstimateHooks(),
    ClusterHooks(),
    StoreHooks(),
    ConsoleHooks(),
    ConfigurationHooks(),
)

CONTEXT_CLASS = ProjectContext
CONFIG_LOADER_CLASS = ProjectConfigLoader

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    # An environment changes single parameters of a block, not the whole block.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
    "custom_resolvers": {"in_project": in_project, "on_disk": on_disk},
}
