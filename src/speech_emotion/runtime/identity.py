"""Names of processes, by which others tell whether they have ended."""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["has_ended", "is_here", "process_name"]


def process_name(number: int | None = None) -> str:
    """Name a process by machine, number and start, because numbers are used again.

    Args:
        number: Number of the process; by default that of this one.

    Example:
        >>> has_ended(process_name()), is_here(process_name()), is_here("elsewhere 17 1")
        (False, True, False)
    """
    number = os.getpid() if number is None else number
    return f"{socket.gethostname()} {number} {_started(number)}"


def is_here(name: str) -> bool:
    """Whether a process is one of this machine."""
    host, number, _ = _parts(name)
    return host == socket.gethostname() and number.isdigit()


def has_ended(name: str) -> bool:
    """Whether a process was on this machine and has ended; of others nothing is known.

    Args:
        name: From :func:`process_name`.
    """
    if not is_here(name):
        return False
    _, number, started = _parts(name)
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return bool(started) and _started(int(number)) != started


def _parts(name: str) -> tuple[str, str, str]:
    host, number, started = (*name.split(" "), "", "")[:3]
    return host, number, started


def _started(number: int) -> str:
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[19]
