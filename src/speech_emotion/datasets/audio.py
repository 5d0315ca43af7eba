"""Sound files."""

from __future__ import annotations

import base64
import io
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import fsspec
import numpy as np
import soundfile
from kedro.io import AbstractDataset
from kedro.io.core import get_filepath_str, get_protocol_and_path
from kedro_datasets._typing import ImagePreview

from speech_emotion.runtime import write_bytes

__all__ = ["AudioDataset", "Sound"]


class Sound(NamedTuple):
    """Samples, shape ``(n_samples,)`` or ``(n_samples, n_channels)``, and their rate in Hz."""

    samples: np.ndarray
    sample_rate: int


class AudioDataset(AbstractDataset[Sound, Sound]):
    """Save and load one sound file with soundfile, on any file system of fsspec.

    The preview in kedro-viz is the spectrogram.

    Example:
        >>> dataset = AudioDataset(filepath="tone.wav")  # doctest: +SKIP
        >>> dataset.save(Sound(np.zeros(16_000, dtype="float32"), 16_000))  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        filepath: str,
        save_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        """Store the sound at ``filepath``; its suffix chooses the format.

        Args:
            filepath: Path or URL of the file.
            save_args: Options of ``soundfile.write``, ``subtype`` for example.
            credentials: Options of the file system.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        protocol, path = get_protocol_and_path(filepath)
        self._protocol = protocol
        self._path = get_filepath_str(PurePosixPath(path), protocol)
        self._fs = fsspec.filesystem(protocol, **(credentials or {}))
        self._save_args = save_args or {}
        self.metadata = metadata

    def save(self, data: Sound) -> None:
        """Write the samples."""
        buffer = io.BytesIO()
        soundfile.write(
            buffer,
            data.samples,
            data.sample_rate,
            format=str(self._path).rsplit(".", 1)[-1].upper(),
            **self._save_args,
        )
        write_bytes(self._path, buffer.getvalue(), self._fs)

    def load(self) -> Sound:
        """Read all samples as float32."""
        with self._fs.open(self._path, "rb") as file:
            samples, sample_rate = soundfile.read(io.BytesIO(file.read()), dtype="float32")
        return Sound(samples, sample_rate)

    def preview(self) -> ImagePreview:
        """Draw the spectrogram as a base64 PNG for kedro-viz."""
        from matplotlib.figure import Figure

        sound = self.load()
        figure = Figure(figsize=(6, 3), layout="constrained")
        axes = figure.add_subplot(xlabel="seconds", ylabel="Hz")
        samples = sound.samples if sound.samples.ndim == 1 else sound.samples.mean(axis=1)
        with np.errstate(divide="ignore"):  # digital silence lies below the floor of the colours
            axes.specgram(samples, NFFT=512, Fs=sound.sample_rate, noverlap=256, vmin=-140)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        return ImagePreview(base64.b64encode(buffer.getvalue()).decode())

    def _exists(self) -> bool:
        return self._fs.exists(self._path)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._path, "protocol": self._protocol, "save_args": self._save_args}
