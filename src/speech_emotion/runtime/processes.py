"""Call a function many times in parallel, on the cores of this machine or on a cluster."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing import parent_process
from typing import Any, Protocol, TypeAlias

from threadpoolctl import threadpool_limits

__all__ = ["Engine", "WorkerLost", "fan_out", "on_one_thread", "running_on", "workers"]

Calls: TypeAlias = Iterable[tuple[Any, ...]]


class Engine(Protocol):
    """Runs calls elsewhere, for example on a cluster."""

    def workers(self) -> int:
        """Return the number of calls that run at the same time, at least 1."""

    def fan_out(
        self, function: Callable[..., Any], calls: Calls, shared: tuple[Any, ...]
    ) -> Iterator[Any]:
        """Yield ``function(*call, *shared)`` for each call, in the order of the calls."""


WATCH_S = 2.0
"""Seconds after which a worker notices that its parent has ended."""


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


def workers(n_jobs: int) -> int:
    """Return the number of calls that :func:`fan_out` runs at the same time."""
    from joblib import effective_n_jobs

    return _engines[-1].workers() if _engines else effective_n_jobs(_processes(n_jobs))


def _processes(n_jobs: int) -> int:
    # A process of a pool, such as Kedro's ParallelRunner, starts no further processes: the pool already
    # uses all cores, and would wait at its end for joblib's idle processes.
    return 1 if parent_process() else n_jobs


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
    with threadpool_limits(1):
        return function(*arguments)


@contextmanager
def running_on(engine: Engine) -> Iterator[None]:
    """Run all calls of :func:`fan_out` in this process on ``engine``."""
    _engines.append(engine)
    try:
        yield
    finally:
        _engines.remove(engine)
