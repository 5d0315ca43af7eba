"""Decode what libsndfile cannot read with PyAV, which bundles the decoders of FFmpeg.

PyAV is an extra: ``pip install speech-emotion[codecs]``.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any, BinaryIO, Final

import numpy as np

__all__ = ["CODEC_SUFFIXES", "EXTRA", "CodecError", "CodecReader", "has_codecs"]

CODEC_SUFFIXES: Final = (
    *(".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".aac", ".ac3"),
    *(".amr", ".awb", ".wma", ".wmv", ".asf", ".webm", ".weba", ".mka", ".mkv"),
    *(".g722", ".g723", ".g729", ".spx", ".wv", ".avi", ".flv", ".mpg", ".mpeg"),
)
"""Suffixes of files that are read with PyAV only, in lower case."""

EXTRA: Final = "install the extra speech-emotion[codecs], or convert it to WAV or FLAC"

HEADERLESS: Final = {".g722": "g722", ".g723": "g723_1", ".g729": "g729"}
"""FFmpeg's format of files whose content does not show it."""

FORMATS: Final = (
    "aac,ac3,aiff,amr,amrnb,amrwb,asf,au,avi,caf,eac3,flac,flv,g722,g723_1,g729,gsm,matroska,webm,mov,mp4,"
    "m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,nistsphere,ogg,tta,voc,w64,wav,wv"
)
"""Formats that hold sound. Others, as playlists, would make FFmpeg open further files."""

EXACT: Final = {"mov", "matroska", "asf"}
"""Formats whose header gives the length; that of others is an estimate."""


class CodecError(ValueError):
    """PyAV cannot decode a file."""


def has_codecs() -> bool:
    """Return whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


class CodecReader:
    """Decode the sound track of a file block by block.

    Args:
        file: The file; read from its beginning.
        suffix: Suffix of its name in lower case, which tells formats without a header.

    Attributes:
        sample_rate: Rate in Hz.
        channels: Number of channels.
        frames: Samples per channel by the header; ``None`` if it does not say.
        format: Name of the format.

    Raises:
        CodecError: If it contains no sound that PyAV can decode.
    """

    def __init__(self, file: BinaryIO, suffix: str = ""):
        import av

        self._errors = (av.error.FFmpegError, ValueError, OverflowError, MemoryError)
        file.seek(0)
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "pipe"}
        try:
            self._container: Any = av.open(
                file,
                format=HEADERLESS.get(suffix),
                container_options=options,
                metadata_errors="replace",
            )
        except self._errors as error:
            raise CodecError(_text(error)) from error
        try:
            self._open_track()
        except self._errors as error:
            self.close()
            raise CodecError(_text(error)) from error
        except BaseException:
            self.close()
            raise

    def _open_track(self) -> None:
        import av

        tracks = self._container.streams.audio
        if len(tracks) != 1:
            count = (
                f"{len(tracks)} sound tracks; extract the one to read"
                if tracks
                else "no sound track"
            )
            raise CodecError(f"has {count}")
        self._resampler = av.AudioResampler(format="flt")
        self._frames = self._container.decode(tracks[0])
        first = next(self._frames, None)
        if first is None:
            raise CodecError("its sound track is empty")
        # Of the first frame: headers of some codecs give half the rate.
        self.sample_rate, self.channels = int(first.sample_rate), int(first.layout.nb_channels)
        self.format = f"{tracks[0].codec_context.name} in {self._container.format.name}"
        self.frames = self._declared(tracks[0])
        self._rest = self._convert(first)

    def _declared(self, track: Any) -> int | None:
        if not EXACT.intersection(self._container.format.name.split(",")):
            return None
        if track.duration is not None:
            return int(track.duration * track.time_base * self.sample_rate)
        if self._container.duration and not self._container.streams.video:
            return int(self._container.duration / 1e6 * self.sample_rate)
        return None

    def _convert(self, frame: Any) -> np.ndarray:
        if frame.sample_rate != self.sample_rate or frame.layout.nb_channels != self.channels:
            raise CodecError("its sample rate or number of channels changes")
        frame.pts = None  # gaps in the timestamps are no samples
        parts = [part.to_ndarray() for part in self._resampler.resample(frame)]
        return np.concatenate(parts, axis=1).reshape(-1, self.channels)

    def read(self, size: int) -> np.ndarray:
        """Return the next samples, shape ``(n_samples, n_channels)``, at most ``size``; none at the end.

        Raises:
            CodecError: If they cannot be decoded.
        """
        parts, missing = [self._rest], size - len(self._rest)
        while missing > 0:
            try:
                frame = next(self._frames, None)
                part = None if frame is None else self._convert(frame)
            except self._errors as error:
                raise CodecError(_text(error)) from error
            if part is None:
                break
            parts.append(part)
            missing -= len(part)
        samples = np.concatenate(parts)
        self._rest = samples[size:]
        return samples[:size]

    def skip(self, size: int) -> None:
        """Decode and drop samples, because timestamps are not exact enough to jump."""
        while size > 0 and len(dropped := self.read(min(size, 1 << 18))):
            size -= len(dropped)

    def close(self) -> None:
        """Close the container, not the file."""
        self._container.close()


def _text(error: BaseException) -> str:
    """Return the message of an error of FFmpeg without numbers and file names."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def suffix_of(path: object) -> str:
    """Return the suffix of a path in lower case; empty for an open file."""
    return (
        os.path.splitext(os.fspath(path))[1].lower() if isinstance(path, str | os.PathLike) else ""
    )
