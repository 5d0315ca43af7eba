"""Where work runs: processes, Dask, results in shards."""

from speech_emotion.runtime.dask import (
    ClusterSettings,
    DaskEngine,
    connect,
)
from speech_emotion.runtime.processes import (
    Calls,
    fan_out,
    on_one_thread,
    running_on,
    workers,
)
from speech_emotion.runtime.shards import (
    KEY,
    RECENT,
    Shards,
    digest,
    list_stored,
    locate,
    prefix_of,
)

__all__ = [
    "KEY",
    "RECENT",
    "Calls",
    "ClusterSettings",
    "DaskEngine",
    "Shards",
    "connect",
    "digest",
    "fan_out",
    "list_stored",
    "locate",
    "on_one_thread",
    "prefix_of",
    "running_on",
    "workers",
]
