"""Mend the journal of Optuna studies after a process was killed while it wrote."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Final, NamedTuple

from optuna.storages.journal import JournalFileSymlinkLock
from optuna.storages.journal._file import get_lock_file

from speech_emotion.runtime import replacing

__all__ = ["mend_journal"]

ENTRY: Final = b'{"op_code"'
"""Beginning of every entry."""
DAMAGED: Final = ".damaged"

logger = logging.getLogger(__name__)


def mend_journal(path: Path) -> None:
    """Keep the whole entries of a journal; the journal as it was is kept beside it.

    An entry is one line. A process that is killed leaves a part of one, to which the next process
    appends its own. An entry that is damaged otherwise ends the journal, because later entries refer to
    the number of the entries before them.

    Args:
        path: The journal; a missing or whole one is left alone.
    """
    if not path.is_file() or not _read(path).lost:
        return
    with get_lock_file(JournalFileSymlinkLock(str(path))):
        found = _read(path)  # another process may have mended it, or have finished its entry
        if not found.lost:
            return
        damaged = path.with_name(path.name + DAMAGED)
        shutil.copy2(path, damaged)
        with replacing(path) as partial:
            Path(partial).write_bytes(b"".join(found.whole))
    logger.warning(
        "%s was damaged, because a process was killed while writing it: %d entries are whole and kept, %d "
        "are lost; interrupted trials are tried again. As it was: %s, which can be deleted",
        path,
        len(found.whole),
        found.lost,
        damaged,
    )


class _Journal(NamedTuple):
    whole: list[bytes]
    lost: int


def _read(path: Path) -> _Journal:
    lines = path.read_bytes().splitlines(keepends=True)
    whole: list[bytes] = []
    torn = 0
    for number, line in enumerate(lines):
        if _is_entry(line):
            whole.append(line)
        elif appended := _appended(line):
            whole.append(appended)
            torn += 1
        else:
            return _Journal(whole, torn + len(lines) - number)
    return _Journal(whole, torn)


def _is_entry(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _appended(line: bytes) -> bytes | None:
    """Return the whole entry behind a part of one."""
    start = line.rfind(ENTRY)
    return line[start:] if start > 0 and _is_entry(line[start:]) else None
