"""Sounds as text: what a table or an HTTP request carries, a path or the sound itself in base64."""

from __future__ import annotations

import base64
import binascii
import io
import os
from pathlib import Path

import numpy as np
import soundfile

from speech_emotion.audio.decode import AudioError

__all__ = ["encode_sound", "open_sound"]

SIGNATURES = (b"RIFF", b"RF64", b"FORM", b"fLaC", b"OggS", b"ID3")
"""First bytes of sound files, by which base64 is told from a path."""

LONGEST_PATH = 4096


class EncodedSound(io.BytesIO):
    """The bytes of a sound file that came as text, by the name that errors give it."""

    def __str__(self) -> str:
        return "sound in base64"


def encode_sound(samples: np.ndarray, sample_rate: int) -> str:
    """Return samples ``(n_samples,)`` at a rate in Hz as ``data:audio/flac;base64,…``."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode()


def open_sound(
    entry: object, *, paths: bool = True, below: Path | None = None
) -> Path | EncodedSound:
    """Find the sound that an entry of a table means.

    Args:
        entry: ``data:audio/wav;base64,…``, the base64 of a whole sound file (WAV, AIFF, FLAC, Ogg,
            or MP3 with an ID3 tag), or a path.
        paths: Whether paths are allowed at all.
        below: Folder that paths must lie in, links followed; relative ones start there. ``None``
            allows any.

    Returns:
        The path, not yet opened, or the bytes of the file.

    Raises:
        AudioError: If it is neither, or a path that is not allowed.
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
    if len(text) > LONGEST_PATH:
        said = "no path, and not the base64 of a WAV, AIFF, FLAC, Ogg or tagged MP3 file"
        raise AudioError(_named(text), f"{said}; write data:audio/mpeg;base64,… for others")
    if not paths:
        said = "paths are not read here; send the sound as data:audio/wav;base64,…"
        raise AudioError(text, said)
    return Path(text) if below is None else _inside(text, below)


def _starts_like_sound(text: str) -> bool:
    try:
        first = base64.b64decode(text[:8], validate=True)
    except binascii.Error:
        return False
    return first.startswith(SIGNATURES)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise AudioError(_named(text), f"not base64 ({error}); encode the file anew") from error


def _inside(text: str, below: Path) -> Path:
    try:
        root = below.resolve()
        path = (root / text).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise AudioError(text, f"no usable path ({error})") from error
    if not path.is_relative_to(root):
        raise AudioError(text, "lies outside of the folder that recordings may be read from")
    return path


def _named(text: str) -> str:
    return f"{text[:12]}… ({len(text)} characters)"
