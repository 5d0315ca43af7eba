"""Project settings: hooks, configuration and resolvers."""

from pathlib import Path

from speech_emotion.hooks.cluster import ClusterHooks
from speech_emotion.hooks.summary import SummaryHooks
from speech_emotion.hooks.tracking import TrackingHooks
from speech_emotion.runtime import is_url

PROJECT = Path(__file__).resolve().parents[2]


def in_project(path: str) -> str:
    """Resolve a path of the configuration against the project, not the working directory."""
    return (PROJECT / path).as_posix()


def on_disk(path: str) -> str:
    """Resolve a path as :func:`in_project`; for a URL, give a folder of the project that goes with it."""
    return in_project(f"data/{path.split('://', 1)[1]}" if is_url(path) else path)


# The first is called last: the summary ends the run.
HOOKS = (SummaryHooks(), TrackingHooks(), ClusterHooks())

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment changes single parameters of a block, not the whole block.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
    "custom_resolvers": {"in_project": in_project, "on_disk": on_disk},
}
