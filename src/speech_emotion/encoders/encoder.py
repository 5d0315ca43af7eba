"""Run a pretrained speech encoder with ONNX Runtime."""

from __future__ import annotations

import hashlib
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from speech_emotion.audio import AudioError
from speech_emotion.encoders.card import EncoderCard
from speech_emotion.encoders.log_mel import log_mel

__all__ = ["EncoderMissing", "SpeechEncoder", "read_card"]

MODEL: Final = "encoder.onnx"
CARD: Final = "encoder.json"
SHORTEST_S: Final = 0.1
"""Shorter sounds are padded with zeros at the end."""
OVERLAP_S: Final = 1.0
"""Context on both sides of a chunk of a long sound, whose frames are dropped."""
N_AXES: Final = 3
"""Axes of a layer: recording, step, coefficient."""


NOT_IN_DIGEST: Final = {"license", "source", "revision", "parameters", "sha256"}
"""Entries of the card that do not change what is computed."""


class EncoderMissing(RuntimeError):
    """The package that runs encoders, or the encoder itself, is not installed."""


class SpeechEncoder:
    """A pretrained speech encoder: hidden states of some layers for every 20 ms of sound.

    The graph is loaded on first use and runs on one thread, because recordings run in parallel. The
    object holds the bytes of the graph, so it can be sent to other processes.

    Args:
        model: Content of the ONNX file.
        card: Its description.

    Examples:
        >>> encoder = SpeechEncoder.load(Path("data/full/06_models/encoder"))  # doctest: +SKIP
        >>> encoder.encode(samples).shape  # doctest: +SKIP
        (4, 150, 512)
    """

    def __init__(self, model: bytes, card: EncoderCard):
        self.model, self.card = model, card

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "card": self.card}

    @property
    def layers(self) -> list[int]:
        """Numbers of the layers, in increasing order."""
        return sorted(self.card.layers)

    @cached_property
    def digest(self) -> str:
        """Digest of the graph with its weights, and of how it is used."""
        content = hashlib.sha256(self.model)
        content.update(self.card.model_dump_json(exclude=NOT_IN_DIGEST).encode())
        return content.hexdigest()

    def encode(self, samples: np.ndarray) -> np.ndarray:
        """Compute the hidden states of a sound at its own length.

        Args:
            samples: Shape ``(n_samples,)``, at :attr:`EncoderCard.sample_rate`. Sounds longer than
                :attr:`EncoderCard.max_s` are encoded in chunks with one second of context on both sides.

        Returns:
            float32 array ``(n_layers, n_steps, width)``, layers in increasing order.

        Raises:
            AudioError: If the samples are not one-dimensional or not finite.
        """
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim != 1:
            raise AudioError("samples", f"have shape {samples.shape}; average the channels first")
        if not np.isfinite(samples).all():
            raise AudioError("samples", "contain NaN or infinite values")
        rate, step = self.card.sample_rate, round(self.card.step_s * self.card.sample_rate)
        longest = round(self.card.max_s * rate)
        if len(samples) <= longest:
            return self._run(samples)
        overlap = round(OVERLAP_S * rate) // step * step
        inner = (longest - 2 * overlap) // step * step
        chunks = []
        for start in range(0, len(samples), inner):
            first = max(start - overlap, 0)
            states = self._run(samples[first : start + inner + overlap])
            skipped = (start - first) // step
            chunks.append(states[:, skipped : skipped + inner // step])
        return np.concatenate(chunks, axis=1)

    def _run(self, samples: np.ndarray) -> np.ndarray:
        shortest = round(SHORTEST_S * self.card.sample_rate)
        if len(samples) < shortest:
            samples = np.pad(samples, (0, shortest - len(samples)))
        if self.card.input == "log_mel":
            source = log_mel(samples, self.card.n_mels)
        else:
            source = _normalized(samples) if self.card.normalize else samples
        names = [self.card.layers[layer] for layer in self.layers]
        outputs = self._session.run(names, {self.card.input_name: source[np.newaxis]})
        for name, states in zip(names, outputs, strict=True):
            if states.ndim != N_AXES or states.shape[2] != self.card.width:
                raise ValueError(
                    f"{self.card.name}: tensor {name!r} has shape {states.shape}, its card says "
                    f"(1, n_steps, {self.card.width})"
                )
        return np.concatenate(outputs)

    def check(self) -> None:
        """Load the graph and compare it with its card.

        Raises:
            ValueError: If the graph is damaged, or has not the input, layers and widths of the card.
            EncoderMissing: If ONNX Runtime is not installed.
        """
        _ = self._session

    @cached_property
    def _session(self) -> Any:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise EncoderMissing(
                "ONNX Runtime runs speech encoders and is not installed: pip install onnxruntime"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                self.model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors have no public base class
            raise ValueError(
                f"{self.card.name}: ONNX Runtime cannot load the graph: {error}"
            ) from None
        self._check(session)
        return session

    def _check(self, session: Any) -> None:
        """Compare the graph with its card."""
        inputs = [entry.name for entry in session.get_inputs()]
        widths = {
            entry.name: entry.shape[-1] if entry.shape else None for entry in session.get_outputs()
        }
        if inputs != [self.card.input_name]:
            raise ValueError(
                f"{self.card.name}: the graph has the inputs {', '.join(inputs)}, its card names "
                f"{self.card.input_name!r}: set input_name"
            )
        for layer, name in self.card.layers.items():
            if name not in widths:
                raise ValueError(
                    f"{self.card.name}: the graph has no output {name!r} for layer {layer}; its outputs "
                    f"are {', '.join(widths)}"
                )
            if isinstance(widths[name], int) and widths[name] != self.card.width:
                raise ValueError(
                    f"{self.card.name}: layer {layer} has {widths[name]} coefficients, its card says "
                    f"{self.card.width}"
                )

    def save(self, folder: Path) -> None:
        """Save graph and card in ``folder``, replacing its contents."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / MODEL).write_bytes(self.model)
        digest = hashlib.sha256(self.model).hexdigest()
        card = self.card.model_copy(update={"sha256": digest})
        (folder / CARD).write_text(card.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> SpeechEncoder:
        """Load an encoder that :meth:`save` saved, or an ONNX file with a card of the user's.

        Raises:
            EncoderMissing: If ``folder`` has no graph or no card.
            ValueError: If the card is invalid, or the graph does not have the card's digest.
        """
        folder = Path(folder)
        for name in (MODEL, CARD):
            if not (folder / name).is_file():
                raise EncoderMissing(f"{folder} holds no encoder: {name} is missing")
        card = read_card(folder / CARD)
        model = (folder / MODEL).read_bytes()
        if card.sha256 and hashlib.sha256(model).hexdigest() != card.sha256:
            raise ValueError(
                f"{folder / MODEL} is not the file that {CARD} describes (its SHA-256 differs): copy the "
                "folder again"
            )
        return cls(model, card)


def read_card(path: Path) -> EncoderCard:
    """Read a card.

    Raises:
        ValueError: If it is not valid; the message names the file and the entries.
    """
    try:
        return EncoderCard.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, entry['loc'])) or 'file'}: {entry['msg']}"
            for entry in error.errors()
        )
        raise ValueError(f"{path} is not a valid card: {problems}") from None


def _normalized(samples: np.ndarray) -> np.ndarray:
    return (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
