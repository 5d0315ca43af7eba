"""Run :func:`speech_emotion.runtime.fan_out` on a Dask cluster.

``pip install speech-emotion[dask]``, then::

    kedro run --env dask                                                # two or more processes here
    kedro run --env dask --params cluster.scheduler=tcp://10.0.0.1:8786  # a running cluster

If a worker is lost, its calls are repeated on another one. A call that ends its workers again and again, for
example because it needs more memory than they may use, is given up and reported. If nothing finishes for
long, the calls that are left are also given to a second worker, and the faster one counts. If nothing
finishes for an hour even then, they are given up and reported, so that a run always ends.

joblib's Dask backend is not used: it waits forever for a call that the scheduler gives up, and keeps large
inputs on one worker only.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from speech_emotion import __version__
from speech_emotion.config import Settings
from speech_emotion.runtime.processes import LOST_ALONE, Calls, Key, WorkerLost, on_one_thread
from speech_emotion.runtime.services import check_service

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["ClusterError", "ClusterSettings", "DaskEngine", "connect"]

AHEAD: Final = 16
"""Calls submitted ahead per worker thread: enough to keep workers busy while one call takes long."""

QUEUED: Final = 8
"""The same for calls whose results are taken as they finish; the next are submitted when half are left."""
MESSAGE: Final = 16
"""Most calls that are submitted in one message."""
COUNTED_S: Final = 5.0
"""Seconds for which the number of workers counts."""
STALLED_S: Final = 60.0
"""Seconds without any result after which calls are given to a second worker; or:"""
STALLED: Final = 3.0
"""this many times the longest call so far."""
HOPELESS_S: Final = 3600.0
"""The same for calls that are given up: the next run tries them again."""
NOTHING_HEARD: Final = "no worker finished it in time; the next run tries it again"

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
        self._counted, self._counted_at = 1, -COUNTED_S

    def workers(self) -> int:
        """Number of threads of all workers, at least 1 because workers may still be starting."""
        if (now := time.monotonic()) - self._counted_at >= COUNTED_S:
            self._counted = max(1, sum(self._client.nthreads().values()))
            self._counted_at = now
        return self._counted

    def fan_out(
        self, function: Callable[..., Any], calls: Calls, shared: tuple[Any, ...]
    ) -> Iterator[Any]:
        """Yield ``function(*call, *shared)`` in the order of the calls.

        Shared arguments are sent once, and again if all workers that had them are lost.
        """
        submit, calls = self._client.submit, iter(calls)
        copies = self._copies(shared)
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

    def _copies(self, shared: tuple[Any, ...], **options: Any) -> list[Future]:
        # Not scattered: what was scattered is lost for ever with the workers that have it.
        return [self._client.submit(_itself, value, pure=False, **options) for value in shared]

    def _next(self, left: Iterator[Any], waiting: Sized) -> Iterator[list[Any]]:
        """Yield the calls to submit now, those of a message together; ``waiting`` grows in between."""
        most = QUEUED * self.workers()
        if len(waiting) > most // 2:
            return
        while batch := list(islice(left, min(MESSAGE, most - len(waiting)))):
            yield batch

    def _map(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        copies: Sequence[Future],
        **options: Any,
    ) -> list[Future]:
        """Submit calls in one message, which takes half the time of one for each."""
        functions, *shared = ([value] * len(calls) for value in (function, *copies))
        columns = zip(*calls, strict=True)
        return self._client.map(_timed, functions, *columns, *shared, pure=False, **options)

    def as_completed(
        self,
        function: Callable[..., Any],
        calls: Iterable[tuple[Key, tuple[Any, ...]]],
        shared: tuple[Any, ...],
    ) -> Iterator[tuple[Key, Any]]:
        """Yield key and result of each call as it finishes.

        The result of a call that the scheduler gave up, or that did not finish within
        :data:`HOPELESS_S`, is a :class:`WorkerLost`.
        """
        from distributed import CancelledError, KilledWorker

        copies = self._copies(shared)
        waiting: dict[Key, tuple[tuple[Any, ...], list[Future]]] = {}
        finished: SimpleQueue[tuple[Key, Future]] = SimpleQueue()
        suspects: set[Key] = set()
        left, longest = iter(calls), 0.0
        latest = renewed = time.monotonic()

        def submit(
            batch: Sequence[tuple[Key, tuple[Any, ...]]],
            given: list[Future] = copies,
            **options: Any,
        ) -> None:
            futures = self._map(function, [call for _, call in batch], given, **options)
            for (key, call), future in zip(batch, futures, strict=True):
                waiting.setdefault(key, (call, []))[1].append(future)
                future.add_done_callback(partial(_put, finished, key))

        def refill() -> None:
            for batch in self._next(left, waiting):
                submit(batch)

        try:
            refill()
            while waiting:
                try:
                    key, future = finished.get(timeout=min(1.0, STALLED_S))
                except Empty:
                    now = time.monotonic()
                    if now - latest > max(HOPELESS_S, STALLED * longest):
                        for key in list(waiting):  # as a worker that is killed: one by one
                            self._client.cancel(waiting.pop(key)[1])
                            yield key, WorkerLost(NOTHING_HEARD)
                        latest = renewed = time.monotonic()
                        refill()
                    elif now - renewed > max(STALLED_S, STALLED * longest):
                        self._submit_again(waiting, submit, shared)
                        renewed = now
                    continue
                if key not in waiting or future not in waiting[key][1]:
                    continue  # the other worker was faster
                latest = renewed = time.monotonic()
                try:
                    seconds, result = future.result()
                    longest = max(longest, seconds)
                except (KilledWorker, CancelledError):
                    if key not in suspects:  # others that ran beside it may have ended the workers
                        suspects.add(key)
                        submit([(key, waiting.pop(key)[0])])
                        continue
                    result = WorkerLost(LOST_ALONE)
                _, futures = waiting.pop(key)
                self._client.cancel([one for one in futures if one is not future])
                refill()  # before the result is used, which may take as long as the calls in the queue
                yield key, result
        finally:
            self._client.cancel([one for _, futures in waiting.values() for one in futures])

    def _submit_again(
        self,
        waiting: dict[Any, tuple[tuple[Any, ...], list[Future]]],
        submit: Callable[..., None],
        shared: tuple[Any, ...],
    ) -> None:
        """Give each call that is not finished to another worker, once."""
        holders = {
            call: worker for worker, calls in self._client.processing().items() for call in calls
        }
        running = set(self._client.nthreads())
        copies: dict[str, list[Future]] = {}
        # The oldest last, by its priority: it is the one that may hang there, too.
        for later, (key, (call, futures)) in enumerate(reversed(list(waiting.items()))):
            holder = holders.get(futures[0].key)
            others = sorted(running - {holder})
            if len(futures) > 1 or holder is None or not others:
                continue  # without a holder, it waits for the first worker that is free
            if holder not in copies:  # the shared arguments may lie on the worker that hangs
                copies[holder] = self._copies(shared, workers=others)
            logger.warning("A call takes long, or its worker hangs: it runs on a second one, too")
            submit([(key, call)], copies[holder], workers=others, priority=-later)


def _itself(value: Any) -> Any:
    return value


def _put(finished: SimpleQueue[tuple[Any, Future]], key: Any, done: Future) -> None:
    finished.put((key, done))


def _timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    started = time.monotonic()
    result = on_one_thread(function, *arguments)
    return time.monotonic() - started, result


def connect(settings: ClusterSettings) -> Client:
    """Connect to a running scheduler, or start workers on this machine.

    Raises:
        ServiceUnreachable: If the scheduler does not answer.
        ClusterError: If Dask is not installed, no worker answers, or a worker has another version.
    """
    try:
        from dask import config
        from distributed import Client
    except ImportError as error:
        raise ClusterError("Dask is not installed: pip install 'speech-emotion[dask]'") from error
    if settings.scheduler is None:
        # No dashboard; processes with one thread each, because features and models hold the GIL.
        options = {"n_workers": settings.workers, "threads_per_worker": 1}
        # The profiler takes 2 % of a core from each worker, and only the dashboard shows its results.
        with config.set({"distributed.worker.profile.enabled": False}):
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
