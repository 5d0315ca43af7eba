"""Many calls of one function: on the cores of this machine, or on the cluster that a run names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from typing import Any, Protocol, TypeAlias

from threadpoolctl import threadpool_limits

__all__ = ["Engine", "fan_out", "on_one_thread", "running_on", "workers"]

Calls: TypeAlias = Iterable[tuple[Any, ...]]


class Engine(Protocol):
    """What makes calls elsewhere."""

    def workers(self) -> int:
        """Calls that are made at the same time, at least 1."""

    def fan_out(
        self, function: Callable[..., Any], calls: Calls, shared: tuple[Any, ...]
    ) -> Iterator[Any]:
        """Yield ``function(*call, *shared)`` for each call, in the order of the calls."""


# Of the process, not of a thread: a run's nodes have threads of their own.
_engines: list[Engine] = []


def fan_out(
    function: Callable[..., Any], calls: Calls, *, shared: tuple[Any, ...] = (), n_jobs: int = -1
) -> Iterator[Any]:
    """Yield ``function(*call, *shared)`` for each call, in the order of the calls.

    Each call runs on one thread, so that processes do not contend for cores, and sums have the same
    last digits however many there are.

    Args:
        function: A function of a module; other processes import it.
        calls: Arguments of each call.
        shared: Further arguments, the same for all: what is large is handed over once.
        n_jobs: Processes on this machine, -1 for one a core; unused inside :func:`running_on`, and in
            a process of another pool, which makes the calls itself.
    """
    if _engines:
        yield from _engines[-1].fan_out(function, calls, shared)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=_processes(n_jobs), return_as="generator")
    yield from parallel(delayed(on_one_thread)(function, *call, *shared) for call in calls)


def workers(n_jobs: int) -> int:
    """Calls that :func:`fan_out` makes at the same time."""
    from joblib import effective_n_jobs

    return _engines[-1].workers() if _engines else effective_n_jobs(_processes(n_jobs))


def _processes(n_jobs: int) -> int:
    # A process of a pool, Kedro's ParallelRunner for one, starts none: the pool has the cores, and at
    # its end it would wait for joblib's processes, which wait for more calls.
    return 1 if parent_process() else n_jobs


def on_one_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function with one thread for linear algebra and OpenMP."""
    with threadpool_limits(1):
        return function(*arguments)


@contextmanager
def running_on(engine: Engine) -> Iterator[None]:
    """Let ``engine`` make all calls of :func:`fan_out` in this process."""
    _engines.append(engine)
    try:
        yield
    finally:
        _engines.remove(engine)
