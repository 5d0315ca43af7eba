"""Keep phone numbers, passwords and keys out of logs, messages and MLflow."""

from __future__ import annotations

import logging
import re
from typing import Final

__all__ = ["RedactingFormatter", "hide_secrets", "redact", "redact_handlers"]

NUMBER: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:\+|00)\d[\d ()/.-]{6,18}\d(?![0-9])"  # +49 170 1234567, 0049…
    r"|(?<![0-9A-Za-z.+-])0\d{8,14}(?![0-9])"  # 01701234567
)
SECRETS: Final = (
    re.compile(r"(://[^\s:/@]*:)(?!\d+/)[^\s@]+(?=@)"),  # scheme://user:password@host
    re.compile(r"(https?://)[^\s/@:]+(?=@)"),  # https://token@host
    re.compile(  # password=…, "secret_key": …, X-Amz-Signature=…
        r"([\w-]*(?:password|passwd|secret|token|signature|credential|api_?key|access_?key|account_?key)"
        r"[\w-]*[\"']?\s*[=:]\s*[\"']?|[?&]sig=)[^\s&,;\"'}]+",
        re.I,
    ),
    re.compile(r"()\bA[KS]IA[0-9A-Z]{16}\b"),
)


def hide_secrets(text: str) -> str:
    """Replace passwords and keys in URLs, query strings and settings.

    Example:
        >>> hide_secrets("postgresql://a:b@host/c?password=d, s3://bucket/x?X-Amz-Signature=e")
        'postgresql://a:***@host/c?password=***, s3://bucket/x?X-Amz-Signature=***'
    """
    for pattern in SECRETS:
        text = pattern.sub(r"\g<1>***", text)
    return text


def redact(text: str) -> str:
    """Replace phone numbers, and what :func:`hide_secrets` replaces.

    Example:
        >>> redact("calls/+491701234567_x.wav: no sound; postgresql://a:b@host/c")
        'calls/[number]_x.wav: no sound; postgresql://a:***@host/c'
    """
    return NUMBER.sub("[number]", hide_secrets(text))


class RedactingFormatter(logging.Formatter):
    """A formatter whose lines, tracebacks included, pass :func:`redact`.

    Args:
        inner: Formatter of the lines.
    """

    def __init__(self, inner: logging.Formatter | None = None):
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        return redact(self._inner.format(record))


def redact_handlers(*loggers: str) -> None:
    """Redact what the handlers of loggers write; the root logger has the name ``""``."""
    for name in loggers:
        for handler in logging.getLogger(name).handlers:
            if not isinstance(handler.formatter, RedactingFormatter):
                handler.setFormatter(RedactingFormatter(handler.formatter))
