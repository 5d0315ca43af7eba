"""Names from data as names of files and in MLflow."""

from __future__ import annotations

import hashlib
import re
from typing import Final

__all__ = ["safe_name"]

LONGEST: Final = 100
"""Bytes of a name."""


def safe_name(text: str, *, spaces: bool = False) -> str:
    """Return a name that is no path, and that only this text has.

    Args:
        text: Any text. It is kept if it consists of letters, digits, hyphens and single dots, and is short;
            else a digest is appended to what is left.
        spaces: Whether spaces are kept, too.

    Example:
        >>> safe_name("A07"), safe_name("j.smith"), safe_name("team 1", spaces=True)
        ('A07', 'j.smith', 'team 1')
        >>> safe_name("../x"), safe_name(".._x")
        ('x-d6b96a97', 'x-2abb4c64')
    """
    name = re.sub(r"[^\w .-]" if spaces else r"[^\w.-]", "_", text)
    name = re.sub(r"\.{2,}", "_", name).strip("._ ")
    name = name.encode()[:LONGEST].decode(errors="ignore")
    if name == text:
        return name
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("-")
