"""Description of an encoder: what goes in, and which tensors come out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from speech_emotion.config import Settings

__all__ = ["EncoderCard"]


class EncoderCard(Settings):
    """Description of an encoder in ONNX format, stored as ``encoder.json`` beside ``encoder.onnx``.

    Attributes:
        name: Name in reports and in the columns of embeddings, such as ``openai/whisper-base``.
        input: ``log_mel``: log-mel spectrogram as Whisper models expect it, shape ``(1, n_mels,
            n_frames)``; ``waveform``: samples, shape ``(1, n_samples)``.
        input_name: Name of the input tensor.
        sample_rate: Sample rate in Hz.
        n_mels: Mel bands of the input ``log_mel``.
        normalize: Whether a waveform is scaled to zero mean and unit variance.
        step_s: Seconds between successive frames of the layers.
        max_s: Longest input in seconds; longer sounds are encoded in overlapping chunks.
        layers: Name of the output tensor, shape ``(1, n_steps, width)``, of each layer in use.
        width: Number of coefficients of a layer.
        license: Licence of the weights.
        source: Where the weights are from: address, or name of the folder.
        revision: Revision of the source, if it has one.
        parameters: Number of parameters of the part in use.
        sha256: Digest of ``encoder.onnx``; empty if it was not computed.

    Examples:
        >>> card = EncoderCard(name="mine", layers={4: "hidden_4"}, width=768, input="waveform")
        >>> card.slug
        'mine'
    """

    name: str = Field(min_length=1)
    input: Literal["log_mel", "waveform"]
    input_name: str = "input"
    sample_rate: int = Field(16000, ge=8000)
    n_mels: int = Field(80, ge=1)
    normalize: bool = False
    step_s: float = Field(0.02, gt=0)
    max_s: float = Field(30.0, ge=2)
    layers: dict[int, str] = Field(min_length=1)
    width: int = Field(ge=1)
    license: str = "unknown"
    source: str = ""
    revision: str = ""
    parameters: int = 0
    sha256: str = ""

    @model_validator(mode="after")
    def _mel_rate(self) -> EncoderCard:
        if self.input == "log_mel" and self.sample_rate != 16000:
            raise ValueError(f"sample_rate is {self.sample_rate}; log_mel is defined at 16000 Hz")
        return self

    @property
    def title(self) -> str:
        """Name, layers, size and licence for people."""
        layers = ", ".join(map(str, sorted(self.layers)))
        millions = (
            f"{self.parameters / 1e6:.1f} M parameters" if self.parameters else "size unknown"
        )
        return f"{self.name}, layers {layers}, {millions}, license {self.license}"

    @property
    def slug(self) -> str:
        """Short name for columns: the last part of ``name`` with underscores."""
        last = self.name.rstrip("/").rsplit("/", 1)[-1]
        return "".join(letter if letter.isalnum() else "_" for letter in last.lower())
