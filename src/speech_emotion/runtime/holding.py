"""Hold a folder of results, so that a second run says who uses it instead of mixing its files with theirs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from uuid import uuid4

import fsspec

from speech_emotion.runtime.storage import is_url
from speech_emotion.runtime.writing import write_bytes

try:
    import fcntl
except ImportError:  # Windows
    fcntl: ModuleType | None = None  # type: ignore[no-redef]

__all__ = ["StoreHeld", "holding"]

NAME: Final = ".held"
RENEWED_S: Final = 60.0
"""Seconds after which the holder of a folder in an object store shows that it is alive."""
ABANDONED_S: Final = 300.0
"""Seconds without this sign after which another run may hold the folder."""
SETTLED_S: Final = 1.0
"""Seconds after which one of two that wrote at the same time reads who was the last."""


class StoreHeld(RuntimeError):
    """Another run uses the folder."""


@contextmanager
def holding(folder: str, purpose: str) -> Iterator[None]:
    """Hold a folder until the end of the block.

    On disk, the operating system releases the folder when the process ends, however it ends. In an object
    store, a holder that shows no sign of life for five minutes is taken for dead.

    Args:
        folder: Path or URL of the folder; it is created.
        purpose: What is done with it, for the message to others.

    Raises:
        StoreHeld: If another run holds it; the message names it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, holding(folder, "scoring calls"):
        ...     with holding(folder, "purging"):
        ...         pass
        Traceback (most recent call last):
            ...
        speech_emotion.runtime.holding.StoreHeld: ...: wait until it ends, then run the command again
    """
    mine = {
        "purpose": purpose,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "token": uuid4().hex,
    }
    held = _on_disk if fcntl is not None and not is_url(folder) else _by_signs_of_life
    with held(folder, mine):
        yield


def _refuse(folder: str, holder: dict[str, Any]) -> StoreHeld:
    who = (
        f"by process {holder['pid']} on {holder['host']} since {holder['since']} ({holder['purpose']})"
        if holder
        else "by another process"
    )
    return StoreHeld(f"{folder} is in use {who}: wait until it ends, then run the command again")


@contextmanager
def _on_disk(folder: str, mine: dict[str, Any]) -> Iterator[None]:
    Path(folder).mkdir(parents=True, exist_ok=True)
    assert fcntl is not None
    with Path(folder, NAME).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _refuse(folder, _parse(file.read())) from None
        # The file stays: if it were deleted, two runs could hold two files of this name.
        file.truncate(0)
        file.write(json.dumps(mine))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


@contextmanager
def _by_signs_of_life(folder: str, mine: dict[str, Any]) -> Iterator[None]:
    url = f"{folder.rstrip('/')}/{NAME}"
    files, path = fsspec.core.url_to_fs(url)

    def read() -> dict[str, Any]:
        files.invalidate_cache()
        try:
            return _parse(files.cat_file(path).decode())
        except FileNotFoundError:
            return {}

    def sign() -> None:
        write_bytes(path, json.dumps(mine | {"renewed": time.time()}).encode(), files)

    if (holder := read()) and not _is_dead(holder):
        raise _refuse(folder, holder)
    sign()
    time.sleep(SETTLED_S)
    if (holder := read()).get("token") != mine["token"]:
        raise _refuse(folder, holder)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEWED_S):
            with contextlib.suppress(Exception):  # the next sign may reach the store
                sign()

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if read().get("token") == mine["token"]:
            files.rm_file(path)


def _parse(text: str) -> dict[str, Any]:
    try:
        holder = json.loads(text)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) and {"host", "pid", "since"} <= set(holder) else {}


def _is_dead(holder: dict[str, Any]) -> bool:
    if time.time() - float(holder.get("renewed", 0)) > ABANDONED_S:
        return True
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
