"""Sounds in tables and HTTP requests: a path, or the sound file itself in base64."""

from __future__ import annotations

import base64
import binascii
import io
import os
from pathlib import Path

import numpy as np
import soundfile

from speech_emotion.audio.decode import AudioError
from speech_emotion.runtime import is_url

__all__ = ["encode_sound", "open_sound"]

SIGNATURES = (b"RIFF", b"RF64", b"FORM", b"fLaC", b"OggS", b"ID3")
"""First bytes of sound files, which distinguish base64 from a path."""

MAX_PATH_LENGTH = 4096


class EncodedSound(io.BytesIO):
    """The bytes of a sound file that was given in base64; its text is its name in error messages."""

    def __str__(self) -> str:
        return "sound in base64"


def encode_sound(samples: np.ndarray, sample_rate: int) -> str:
    """Encode samples as a data URL of a FLAC file.

    Args:
        samples: Shape ``(n_samples,)``.
        sample_rate: Rate in Hz.

    Example:
        >>> encode_sound(np.zeros(100), 16000)[:22]
        'data:audio/flac;base64'
    """
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode()


def open_sound(
    entry: object, *, paths: bool = True, below: Path | None = None
) -> Path | str | EncodedSound:
    """Interpret an entry of a table as a path or an encoded sound.

    Args:
        entry: ``data:audio/wav;base64,…``, the base64 of a whole sound file (WAV, AIFF, FLAC, Ogg,
            or MP3 with an ID3 tag), or a path.
        paths: Whether paths are allowed.
        below: Folder that paths must lie in after links are resolved; relative paths start there.
            ``None`` allows any path.

    Returns:
        The path, not yet opened, a URL (only without ``below``), or the bytes of the sound file.

    Raises:
        AudioError: If the entry is neither, or a path that is not allowed.

    Example:
        >>> open_sound("calls/monday.wav")
        PosixPath('calls/monday.wav')
        >>> data = encode_sound(np.zeros(100), 16000)
        >>> str(open_sound(data, paths=False))
        'sound in base64'
    """
    if isinstance(entry, os.PathLike):
        entry = os.fspath(entry)
    if not isinstance(entry, str) or not entry.strip():
        raise AudioError(repr(entry), "neither a path nor a sound; give a path or base64")
    text = entry.strip()
    if text[:5].lower() == "data:":
        head, _, body = text.partition(",")
        if not head.lower().endswith(";base64"):
            raise AudioError(head[:40], "not base64; write data:audio/wav;base64,…")
        return EncodedSound(_decode(body))
    if _starts_like_sound(text):
        return EncodedSound(_decode(text))
    if len(text) > MAX_PATH_LENGTH:
        reason = "not a path, and not the base64 of a WAV, AIFF, FLAC, Ogg or tagged MP3 file"
        raise AudioError(_shorten(text), f"{reason}; write data:audio/mpeg;base64,… for others")
    if not paths:
        reason = "paths are not read here; send the sound as data:audio/wav;base64,…"
        raise AudioError(text, reason)
    if below is not None:
        return _inside(text, below)
    return text if is_url(text) else Path(text)


def _starts_like_sound(text: str) -> bool:
    try:
        first = base64.b64decode(text[:8], validate=True)
    except ValueError:  # not base64, or not even ASCII
        return False
    return first.startswith(SIGNATURES)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise AudioError(_shorten(text), f"not base64 ({error}); encode the file again") from error


def _inside(text: str, below: Path) -> Path:
    try:
        root = below.resolve()
        path = (root / text).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise AudioError(text, f"not a usable path ({error})") from error
    if not path.is_relative_to(root):
        raise AudioError(text, "is outside the folder from which recordings can be read")
    return path


def _shorten(text: str) -> str:
    return f"{text[:12]}… ({len(text)} characters)"
