"""The same nodes on a Dask cluster: what :func:`speech_emotion.runtime.processes.fan_out` calls runs there.

``pip install speech-emotion[dask]``, then::

    kedro run --env dask                                                # two or more processes here
    kedro run --env dask --params cluster.scheduler=tcp://10.0.0.1:8786  # a running cluster

A call whose worker is lost is made again by another one. joblib's own Dask backend is not used: it
waits for ever for a call that the scheduler gives up, and keeps large inputs on one worker only.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from speech_emotion import __version__
from speech_emotion.config import Settings
from speech_emotion.runtime.processes import Calls, on_one_thread

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ClusterError", "ClusterSettings", "DaskEngine", "connect"]

AHEAD: Final = 16
"""Calls a thread of a worker that wait or whose results do: enough to pass over a long one."""

logger = logging.getLogger(__name__)


class ClusterError(RuntimeError):
    """A cluster cannot run this project's calls."""


class ClusterSettings(Settings):
    """Where calls are made that nodes make many of.

    Attributes:
        engine: ``processes`` of this machine, one a core, or ``dask``.
        scheduler: Address of a running Dask scheduler whose workers have this version of the package
            and see the recordings by the same paths; ``None`` starts workers on this machine.
        workers: Workers that are started here; ``None`` for one a core.
        wait_s: Seconds that the first worker of a running scheduler is waited for.
    """

    engine: Literal["processes", "dask"] = "processes"
    scheduler: str | None = None
    workers: int | None = Field(None, ge=1)
    wait_s: float = Field(60.0, gt=0)


class DaskEngine:
    """Make calls on a Dask cluster.

    Args:
        client: A connected client.
    """

    def __init__(self, client: Client):
        self._client = client

    def workers(self) -> int:
        """Threads of all workers, at least 1: some may still be starting."""
        return max(1, sum(self._client.nthreads().values()))

    def fan_out(
        self, function: Callable[..., Any], calls: Calls, shared: tuple[Any, ...]
    ) -> Iterator[Any]:
        """Yield ``function(*call, *shared)`` in the order of the calls.

        Every worker gets a copy of what is shared, so that the loss of one loses nothing.
        """
        submit, calls = self._client.submit, iter(calls)
        own = self._client.scatter(list(shared), broadcast=True, hash=False) if shared else []
        waiting = deque(
            submit(on_one_thread, function, *call, *own, pure=False)
            for call in islice(calls, AHEAD * self.workers())
        )
        try:
            while waiting:
                yield waiting.popleft().result()
                for call in islice(calls, 1):
                    waiting.append(submit(on_one_thread, function, *call, *own, pure=False))
        finally:
            self._client.cancel(list(waiting))


def connect(settings: ClusterSettings) -> Client:
    """Connect to a running scheduler, or start workers on this machine.

    Raises:
        ClusterError: If Dask is not installed, no worker answers, or a worker has another version.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError("Dask is not installed: pip install 'speech-emotion[dask]'") from error
    if settings.scheduler is None:
        # Without a dashboard, and one thread each: features and models hold the interpreter.
        options = {"n_workers": settings.workers, "threads_per_worker": 1}
        client = Client(processes=True, dashboard_address=None, **options)
    else:
        try:
            client = Client(settings.scheduler, timeout=settings.wait_s)
            client.wait_for_workers(1, timeout=settings.wait_s)
        except OSError as error:
            raise ClusterError(
                f"No worker at {settings.scheduler} within {settings.wait_s:g} s ({error}): start "
                f"`dask scheduler`, and `dask worker {settings.scheduler} --nthreads 1` on every machine"
            ) from error
    _check_versions(client)
    logger.info("%d workers at %s", len(client.nthreads()), client.scheduler.address)
    return client


def _check_versions(client: Client) -> None:
    found = client.run(_version, on_error="return")
    for worker, version in found.items():
        if version != __version__:
            raise ClusterError(
                f"{worker} has not speech-emotion {__version__} but {version!r}: install this version "
                "there, with the same Python and packages"
            )


def _version() -> str:
    return __version__
