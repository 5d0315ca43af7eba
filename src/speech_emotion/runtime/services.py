"""Check that a server answers before any work is done that needs it."""

from __future__ import annotations

import socket
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from speech_emotion.runtime.redaction import redact

__all__ = ["ServiceUnreachable", "check_service"]

PORTS: Final = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "tcp": 8786}
TIMEOUT_S: Final = 10.0


class ServiceUnreachable(RuntimeError):
    """A server does not answer."""


def check_service(address: str, *, name: str, remedy: str, timeout_s: float = TIMEOUT_S) -> None:
    """Check that something listens at an address.

    Args:
        address: URL with a host. One of an unknown scheme without a port, and one that is reached through
            a proxy, is not checked.
        name: Name of the service, for the message.
        remedy: What to do if it does not answer.
        timeout_s: Seconds to wait.

    Raises:
        ServiceUnreachable: If nothing listens there, or does not answer in time.

    Example:
        >>> try:
        ...     check_service("http://127.0.0.1:1", name="the MLflow server", remedy="start it")
        ... except ServiceUnreachable as error:
        ...     print(error)
        the MLflow server at http://127.0.0.1:1 does not answer (Connection refused): start it
    """
    url = urlsplit(address)
    scheme = url.scheme.partition("+")[0]
    port = url.port or PORTS.get(scheme)
    if not url.hostname or port is None:
        return
    if scheme in getproxies() and not proxy_bypass(url.hostname):
        return
    try:
        socket.create_connection((url.hostname, port), timeout=timeout_s).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ServiceUnreachable(
            f"{name} at {redact(address)} does not answer ({reason}): {remedy}"
        ) from error
