"""Find recordings of calls."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pandas as pd

from speech_emotion.audio import AUDIO_SUFFIXES, find_audio
from speech_emotion.runtime import is_url

__all__ = ["find_recordings"]

logger = logging.getLogger(__name__)


def find_recordings(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """List the recordings below a folder, see :func:`speech_emotion.audio.find_audio`.

    Args:
        folder: Path of a folder, or URL in an object store (``s3://…``).

    Returns:
        Sorted by path: ``call``, the path below the folder; ``path``; ``size`` in bytes; ``version``, an
        ETag or the time of the last change; and ``reason``, why it cannot be read, else empty.

    Raises:
        FileNotFoundError: If the folder is missing or contains no recording that can be read.
    """
    if not is_url(folder) and not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: set --params recordings_dir=PATH")
    found = find_audio(folder)
    if found.recordings.empty and found.rejected.empty:
        suffixes = ", ".join(AUDIO_SUFFIXES)
        raise FileNotFoundError(
            f"{folder} contains no recording ({suffixes}): {found.describe()}. "
            "Check --params recordings_dir=PATH"
        )
    if found.recordings.empty:
        first = found.rejected.iloc[0]
        raise FileNotFoundError(
            f"{folder}: none of its {len(found.rejected)} recordings can be read; the first: "
            f"{first['name']}: {first['reason']}"
        )
    log = logger.warning if len(found.rejected) else logger.info
    log("%s: %s", folder, found.describe())
    rejected = found.rejected.drop(columns="transient").assign(size=0, version="")
    tables = [found.recordings.assign(reason=""), rejected]
    table = pd.concat([one for one in tables if len(one)], ignore_index=True)
    table = table.rename(columns={"name": "call"})[["call", "path", "size", "version", "reason"]]
    return table.sort_values("path", ignore_index=True)
