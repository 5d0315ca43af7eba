"""Call a function many times in parallel, on the cores of this machine or on a cluster."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from multiprocessing import parent_process
from typing import Any, Protocol, TypeAlias, TypeVar

from threadpoolctl import ThreadpoolController

__all__ = [
    "Engine",
    "WorkerLost",
    "as_completed",
    "fan_out",
    "on_one_thread",
    "running_on",
    "workers",
]

Calls: TypeAlias = Iterable[tuple[Any, ...]]
Key = TypeVar("Key", bound=Hashable)


class Engine(Protocol):
    """Runs calls elsewhere, for example on a cluster."""

    def workers(self) -> int:
        """Return the number of calls that run at the same time, at least 1."""

    def fan_out(
        self, function: Callable[..., Any], calls: Calls, shared: tuple[Any, ...]
    ) -> Iterator[Any]:
        """Yield ``function(*call, *shared)`` for each call, in the order of the calls."""

    def as_completed(
        self,
        function: Callable[..., Any],
        calls: Iterable[tuple[Key, tuple[Any, ...]]],
        shared: tuple[Any, ...],
    ) -> Iterator[tuple[Key, Any]]:
        """Yield key and result of each call as it finishes, see :func:`as_completed`."""


WATCH_S = 2.0
"""Seconds after which a worker notices that its parent has ended."""


LOST_ALONE = "its worker was killed, probably because memory ran out; the next run tries it again"


class WorkerLost(RuntimeError):
    """A worker process ended during its work."""


# Global to the process, because Kedro can run nodes in threads.
_engines: list[Engine] = []


def fan_out(
    function: Callable[..., Any], calls: Calls, *, shared: tuple[Any, ...] = (), n_jobs: int = -1
) -> Iterator[Any]:
    """Yield ``function(*call, *shared)`` for each call, in the order of the calls.

    Each call runs on one thread, so that processes do not compete for cores, and results do not depend
    on the number of processes.

    Args:
        function: Function at the top level of a module, so that other processes can import it.
        calls: Arguments of each call.
        shared: Further arguments, the same for all calls; put large objects here.
        n_jobs: Processes on this machine, -1 for one per core. Unused inside :func:`running_on`; in a
            process of another pool, calls run in that process.

    Example:
        >>> list(fan_out(pow, [(2, 3), (3, 2)], n_jobs=1))
        [8, 9]
    """
    if _engines:
        yield from _engines[-1].fan_out(function, calls, shared)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = Parallel(n_jobs=_processes(n_jobs), return_as="generator")
    parent = os.getpid()
    jobs = (delayed(_in_worker)(parent, function, *call, *shared) for call in calls)
    try:
        yield from parallel(jobs)
    except TerminatedWorkerError as error:
        raise WorkerLost(
            "A worker process was killed, probably because memory ran out. What was finished is kept: run "
            "the command again, with fewer processes (n_jobs) if it happens again"
        ) from error


def as_completed(
    function: Callable[..., Any],
    calls: Iterable[tuple[Key, tuple[Any, ...]]],
    *,
    shared: tuple[Any, ...] = (),
    n_jobs: int = -1,
) -> Iterator[tuple[Key, Any]]:
    """Yield key and result of each call as it finishes, so that a long call holds up no other.

    The result of a call that ended its worker, even alone, is a :class:`WorkerLost`; the other calls go on.

    Args:
        function: As for :func:`fan_out`.
        calls: Key and arguments of each call.
        shared: As for :func:`fan_out`.
        n_jobs: As for :func:`fan_out`.

    Example:
        >>> sorted(as_completed(pow, [("a", (2, 3)), ("b", (3, 2))], n_jobs=1))
        [('a', 8), ('b', 9)]
    """
    if _engines:
        yield from _engines[-1].as_completed(function, calls, shared)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parent, processes = os.getpid(), _processes(n_jobs)
    started: dict[Key, Any] = {}
    remaining = iter(calls)

    def jobs() -> Iterator[Any]:
        for key, arguments in remaining:
            started[key] = delayed(_keyed)(key, parent, function, *arguments, *shared)
            yield started[key]

    while True:
        try:
            for key, result in Parallel(n_jobs=processes, return_as="generator_unordered")(jobs()):
                del started[key]
                yield key, result
            return
        except TerminatedWorkerError:
            suspects = list(started.items())
        for key, job in suspects:  # one at a time, to find out which call it was
            try:
                (done,) = Parallel(n_jobs=2, return_as="generator")([job])
                yield done
            except TerminatedWorkerError:
                yield key, WorkerLost(LOST_ALONE)
            del started[key]


def workers(n_jobs: int) -> int:
    """Return the number of calls that :func:`fan_out` runs at the same time."""
    from joblib import effective_n_jobs

    return _engines[-1].workers() if _engines else effective_n_jobs(_processes(n_jobs))


def _processes(n_jobs: int) -> int:
    # A process of a pool, such as Kedro's ParallelRunner, starts no further processes: the pool already
    # uses all cores, and would wait at its end for joblib's idle processes.
    return 1 if parent_process() else n_jobs


def _keyed(key: Key, parent: int, function: Callable[..., Any], *arguments: Any) -> tuple[Key, Any]:
    return key, _in_worker(parent, function, *arguments)


def _in_worker(parent: int, function: Callable[..., Any], *arguments: Any) -> Any:
    if parent != os.getpid():
        _end_with(parent)
    return on_one_thread(function, *arguments)


@cache
def _end_with(parent: int) -> None:
    """End this process soon after its parent, which may have been killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def on_one_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function with one thread for linear algebra and OpenMP."""
    with _thread_pools(len(sys.modules)).limit(limits=1):
        return function(*arguments)


@lru_cache(maxsize=1)
def _thread_pools(n_modules: int) -> ThreadpoolController:
    """Find the thread pools of this process; again when a module was imported, which may bring one."""
    return ThreadpoolController()


@contextmanager
def running_on(engine: Engine) -> Iterator[None]:
    """Run all calls of :func:`fan_out` in this process on ``engine``."""
    _engines.append(engine)
    try:
        yield
    finally:
        _engines.remove(engine)
