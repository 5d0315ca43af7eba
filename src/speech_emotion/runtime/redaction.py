"""Keep phone numbers and passwords out of log files."""

from __future__ import annotations

import logging
import re
from typing import Final

__all__ = ["RedactingFormatter", "redact"]

NUMBER: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:\+|00)\d[\d ()/.-]{6,18}\d(?![0-9])"  # +49 170 1234567, 0049…
    r"|(?<![0-9A-Za-z.+-])0\d{8,14}(?![0-9])"  # 01701234567
)
PASSWORD: Final = re.compile(
    r"(://[^\s:/@]+:)[^\s@/]+(?=@)|(\bpassword\b\s*[=:]\s*)[^\s&,;]+", re.I
)


def redact(text: str) -> str:
    """Replace phone numbers, and passwords in URLs and settings.

    Example:
        >>> redact("calls/+491701234567_x.wav: no sound; postgresql://a:b@host/c?password=d")
        'calls/[number]_x.wav: no sound; postgresql://a:***@host/c?password=***'
    """
    hidden = PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", text)
    return NUMBER.sub("[number]", hidden)


class RedactingFormatter(logging.Formatter):
    """A formatter whose lines, tracebacks included, pass :func:`redact`."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        return redact(super().format(record))
