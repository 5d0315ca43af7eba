"""Who may do what: addresses to listen on, limits of requests, secrets of forms."""

from __future__ import annotations

import hmac
import ipaddress
import threading
from collections import OrderedDict, deque
from typing import Final

__all__ = ["Exposed", "RateLimit", "check_address", "is_loopback", "same_secret"]

REMEMBERED: Final = 10_000


class Exposed(ValueError):
    """The application would be open to others without a login."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address.

    Example:
        >>> [
        ...     is_loopback(host)
        ...     for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1", "")
        ... ]
        [True, True, True, False, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_address(
    host: str, *, has_login: bool, proxy_header: str | None, single_user: bool
) -> None:
    """Refuse to listen where nobody has to log in.

    Args:
        host: Address to listen on.
        has_login: Whether a user with a password exists.
        proxy_header: Header in which a reverse proxy names the user.
        single_user: Whether everybody on this machine is one user without a password.

    Raises:
        Exposed: With what to do.
    """
    if single_user and not is_loopback(host):
        raise Exposed(
            f"--single-user asks for no password, so it listens on 127.0.0.1 only, not on {host!r}: "
            "add users with speech-emotion review add-user NAME, and leave --single-user out"
        )
    if not (single_user or has_login or proxy_header):
        raise Exposed(
            "Nobody can log in yet: add the first user with speech-emotion review add-user NAME --role "
            "lead, name the header of a reverse proxy with --proxy-header, or, for yourself on this "
            "machine alone, add --single-user"
        )


def same_secret(given: str | None, expected: str) -> bool:
    """Compare a secret in constant time."""
    return given is not None and hmac.compare_digest(given.encode(), expected.encode())


class RateLimit:
    """At most some events of each key within some seconds.

    Args:
        events: Number of events.
        seconds: Length of the window.

    Example:
        >>> limit = RateLimit(2, 10.0)
        >>> [limit.wait_s("a", at) for at in (0.0, 1.0, 2.0, 10.5)]
        [0.0, 0.0, 8.0, 0.0]
    """

    def __init__(self, events: int, seconds: float):
        self._events, self._seconds = events, seconds
        self._recent: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, key: str, moment: float) -> float:
        """Return the seconds until another event is allowed; 0 if it is, which then counts.

        Args:
            key: Whose event.
            moment: Time in seconds.
        """
        with self._lock:
            times = self._recent.setdefault(key, deque())
            self._recent.move_to_end(key)
            while times and times[0] <= moment - self._seconds:
                times.popleft()
            if len(times) >= self._events:
                return times[0] + self._seconds - moment
            times.append(moment)
            while len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)
            return 0.0

    def give_back(self, key: str) -> None:
        """Forget the last event of a key."""
        with self._lock:
            if times := self._recent.get(key):
                times.pop()

    def forget(self, key: str) -> None:
        """Forget the events of a key."""
        with self._lock:
            self._recent.pop(key, None)
