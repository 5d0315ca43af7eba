"""Run :func:`speech_emotion.runtime.fan_out` on a Dask cluster.

``pip install speech-emotion[dask]``, then::

    kedro run --env dask                                                # two or more processes here
    kedro run --env dask --params cluster.scheduler=tcp://10.0.0.1:8786  # a running cluster

If a worker is lost, its calls are repeated on another one. joblib's Dask backend is not used: it waits
forever for a call that the scheduler gives up, and keeps large inputs on one worker only.
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
from speech_emotion.runtime.services import check_service

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ClusterError", "ClusterSettings", "DaskEngine", "connect"]

AHEAD: Final = 16
"""Calls submitted ahead per worker thread: enough to keep workers busy while one call takes long."""

logger = logging.getLogger(__name__)


class ClusterError(RuntimeError):
    """The cluster is missing, does not answer, or runs another version of this package."""


class ClusterSettings(Settings):
    """Where nodes run their parallel calls.

    Attributes:
        engine: ``processes`` of this machine, one per core, or ``dask``.
        scheduler: Address of a running Dask scheduler. Its workers need this version of the package
            and access to the recordings under the same paths. ``None`` starts workers on this machine.
        workers: Number of workers to start on this machine; ``None`` for one per core.
        wait_s: Seconds to wait for the first worker of a running scheduler.
    """

    engine: Literal["processes", "dask"] = "processes"
    scheduler: str | None = None
    workers: int | None = Field(None, ge=1)
    wait_s: float = Field(60.0, gt=0)


class DaskEngine:
    """Run calls on a Dask cluster.

    Args:
        client: A connected client.
    """

    def __init__(self, client: Client):
        self._client = client

    def workers(self) -> int:
        """Number of threads of all workers, at least 1 because workers may still be starting."""
        return max(1, sum(self._client.nthreads().values()))

    def fan_out(
        self, function: Callable[..., Any], calls: Calls, shared: tuple[Any, ...]
    ) -> Iterator[Any]:
        """Yield ``function(*call, *shared)`` in the order of the calls.

        Shared arguments are copied to every worker, so that no data is lost with a worker.
        """
        submit, calls = self._client.submit, iter(calls)
        copies = self._client.scatter(list(shared), broadcast=True, hash=False) if shared else []
        waiting = deque(
            submit(on_one_thread, function, *call, *copies, pure=False)
            for call in islice(calls, AHEAD * self.workers())
        )
        try:
            while waiting:
                yield waiting.popleft().result()
                for call in islice(calls, 1):
                    waiting.append(submit(on_one_thread, function, *call, *copies, pure=False))
        finally:
            self._client.cancel(list(waiting))


def connect(settings: ClusterSettings) -> Client:
    """Connect to a running scheduler, or start workers on this machine.

    Raises:
        ServiceUnreachable: If the scheduler does not answer.
        ClusterError: If Dask is not installed, no worker answers, or a worker has another version.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError("Dask is not installed: pip install 'speech-emotion[dask]'") from error
    if settings.scheduler is None:
        # No dashboard; processes with one thread each, because features and models hold the GIL.
        options = {"n_workers": settings.workers, "threads_per_worker": 1}
        client = Client(processes=True, dashboard_address=None, **options)
    else:
        remedy = (
            f"start `dask scheduler` there, and `dask worker {settings.scheduler} --nthreads 1` on every "
            "machine, or correct cluster.scheduler"
        )
        check_service(settings.scheduler, name="The Dask scheduler", remedy=remedy)
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
                f"{worker} runs speech-emotion {version!r} instead of {__version__}: install this version "
                "there, with the same Python and packages"
            )


def _version() -> str:
    return __version__
