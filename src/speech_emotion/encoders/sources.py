"""Find an encoder: a folder or ONNX file on disk, or a checkpoint on the Hugging Face hub."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from speech_emotion.encoders.card import EncoderCard
from speech_emotion.encoders.encoder import (
    CARD,
    MODEL,
    EncoderMissing,
    SpeechEncoder,
    read_card,
)
from speech_emotion.encoders.onnx_graph import read_graph
from speech_emotion.encoders.whisper import (
    INPUT,
    UnsupportedCheckpoint,
    check_config,
    encoder_weights,
    layer_name,
    whisper_graph,
)

__all__ = ["KNOWN_ENCODERS", "KnownEncoder", "default_layers", "find_encoder"]

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
HUB_NAME: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*")
SHA256: Final = re.compile(r"[0-9a-f]{64}")
STEP_S: Final = 0.02
"""Seconds between successive steps of a Whisper encoder."""


class KnownEncoder(NamedTuple):
    """A published checkpoint.

    Attributes:
        revision: Commit on the hub that is downloaded by default.
        license: Licence of the weights.
        weights: Digest of the encoder's weights in float16, by which copies on disk are recognized.
    """

    revision: str
    license: str
    weights: str


KNOWN_ENCODERS: Final = {
    "openai/whisper-tiny.en": KnownEncoder(
        "87c7102498dcde7456f24cfd30239ca606ed9063",
        "MIT",
        "fd90ee4c86bf0519d7e266dc195b66889a2c5ca8934e3ca51ebd5e025754f827",
    ),
    "openai/whisper-base": KnownEncoder(
        "e37978b90ca9030d5170a5c07aadb050351a65bb",
        "MIT",
        "f3106a6c48cd87ac450d9060cc1718094aa0df2d88edb62a759a1ffc758d60c1",
    ),
}
"""Checkpoints that were measured; others work, too."""


def find_encoder(
    name: str, *, layers: Sequence[int] | None = None, revision: str | None = None
) -> SpeechEncoder:
    """Load an encoder from disk or from the Hugging Face hub.

    Args:
        name: One of

            - a folder with ``encoder.onnx`` and ``encoder.json`` (see :class:`EncoderCard`);
            - an ONNX file with its card beside it, under the same name with the suffix ``.json``;
            - a folder with a Whisper checkpoint as on the hub (``config.json``, ``model.safetensors``);
            - the name of a Whisper checkpoint on the hub, such as ``openai/whisper-base``. The library's
              cache and its offline mode (``HF_HUB_OFFLINE=1``) are respected.
        layers: Layers to use; by default those of the card, or the middle layers of a Whisper encoder
            (see :func:`default_layers`). Layers above the last one are not loaded.
        revision: Branch, tag or commit on the hub; by default a pinned commit for
            :data:`KNOWN_ENCODERS`, else ``main``.

    Raises:
        EncoderMissing: If there is no such encoder, it could not be downloaded, or the download is
            damaged.
        UnsupportedCheckpoint: If the checkpoint is not a Whisper model, or is inconsistent.
    """
    path = Path(name)
    if path.suffix == ".onnx" and not path.is_dir():
        return _from_onnx(path, path.with_suffix(".json"), layers)
    if (path / MODEL).is_file():
        return _from_onnx(path / MODEL, path / CARD, layers)
    if path.is_dir():
        settings = _read_config(path / CONFIG)
        return _from_checkpoint(settings, path / WEIGHTS, path.resolve().name, layers)
    if not HUB_NAME.fullmatch(name):
        raise EncoderMissing(
            f"There is no encoder {name!r}: it is neither a folder nor an ONNX file, and names on the "
            "Hugging Face hub have the form OWNER/NAME, such as openai/whisper-base"
        )
    if revision is None:
        revision = KNOWN_ENCODERS[name].revision if name in KNOWN_ENCODERS else "main"
    config = _fetch(name, CONFIG, revision)
    settings = _read_config(config)
    # The hub's cache stores a snapshot in a folder named after its commit.
    commit = config.parent.name
    return _from_checkpoint(settings, _fetch(name, WEIGHTS, commit), name, layers, revision=commit)


def default_layers(n_layers: int) -> list[int]:
    """Return the layers of an encoder that are used unless others are requested.

    The lower two thirds: the last layers are specialized in words and cost a third of the time.

    Examples:
        >>> default_layers(6), default_layers(4)
        ([1, 2, 3, 4], [1, 2, 3])
    """
    return list(range(1, -(-2 * n_layers // 3) + 1))


def _from_onnx(path: Path, card: Path, layers: Sequence[int] | None) -> SpeechEncoder:
    if not path.is_file():
        raise EncoderMissing(f"{path} does not exist")
    if not card.is_file():
        raise EncoderMissing(
            f"{path} has no card: describe it in {card} with at least name, input, layers and width"
        )
    described = read_card(card)
    if described.sha256 and _file_digest(path) != described.sha256:
        raise EncoderMissing(f"{path} is damaged: its SHA-256 is not that of {card}; copy it again")
    if layers is not None:
        if missing := sorted(set(layers) - set(described.layers)):
            raise UnsupportedCheckpoint(
                f"{card} describes no layer {missing[0]}; it has {sorted(described.layers)}"
            )
        used = {layer: described.layers[layer] for layer in sorted(layers)}
        described = described.model_copy(update={"layers": used})
    content = read_graph(path, described)
    source = described.source or path.resolve().name
    update = {"source": source, "sha256": ""}
    encoder = SpeechEncoder(content, described.model_copy(update=update))
    encoder.check()
    return encoder


def _from_checkpoint(
    settings: Mapping[str, Any],
    weights: Path,
    name: str,
    layers: Sequence[int] | None,
    *,
    revision: str = "",
) -> SpeechEncoder:
    arrays = _read_weights(weights)
    if layers is None:
        layers = default_layers(settings["encoder_layers"])
    layers = sorted(set(layers))
    model = whisper_graph(settings, arrays, layers)
    digest = _digest(arrays)
    published = {known.weights: title for title, known in KNOWN_ENCODERS.items()}.get(digest)
    title = published or name
    card = EncoderCard(
        name=title,
        input="log_mel",
        input_name=INPUT,
        n_mels=settings["num_mel_bins"],
        step_s=STEP_S,
        max_s=settings["max_source_positions"] * STEP_S,
        layers={layer: layer_name(layer) for layer in layers},
        width=settings["d_model"],
        license=KNOWN_ENCODERS[title].license if title in KNOWN_ENCODERS else "unknown",
        source=f"https://huggingface.co/{title}" if "/" in title else name,
        revision=revision or (KNOWN_ENCODERS[title].revision if published else ""),
        parameters=sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer),
    )
    return SpeechEncoder(model.SerializeToString(deterministic=True), card)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EncoderMissing(
            f"{path.parent} holds no encoder: {CONFIG} is missing (expected {MODEL} with {CARD}, or "
            f"{CONFIG} with {WEIGHTS})"
        ) from None
    except ValueError as error:
        raise EncoderMissing(f"{path} is not valid JSON ({error}); download it again") from None
    if not isinstance(content, dict):
        raise EncoderMissing(f"{path} is not a configuration; download it again")
    check_config(content)
    return content


def _read_weights(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise EncoderMissing(f"{path} is missing: download the checkpoint again")
    # The hub's cache links to a blob named after its digest; the blob may be a link to other storage.
    blob = Path(os.readlink(path)).name if path.is_symlink() else path.name
    if SHA256.fullmatch(blob) and _file_digest(path) != blob:
        raise EncoderMissing(
            f"{path} is damaged: its content is not that of the hub. Delete {path.resolve()} and run again"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            names = encoder_weights(list(file.keys()))
            return {name: _half(file.get_tensor(full)) for name, full in names.items()}
    except (SafetensorError, OSError) as error:
        raise EncoderMissing(f"{path} is damaged ({error}): download it again") from None


def _half(values: np.ndarray) -> np.ndarray:
    """Round weights to float16, which halves their size."""
    return np.asarray(values, dtype=np.float16)


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(name: str, file: str, revision: str) -> Path:
    """Return the path of a file in the hub's cache, after downloading it if necessary."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            GatedRepoError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ModuleNotFoundError as error:
        raise EncoderMissing(
            f"huggingface_hub downloads {name} and is not installed: pip install huggingface_hub"
        ) from error
    try:
        return Path(hf_hub_download(name, file, revision=revision))
    except GatedRepoError:
        problem = "its owner grants access on request: ask there, and set HF_TOKEN"
    except RepositoryNotFoundError:
        problem = "the hub has no such model; check the name (private models need HF_TOKEN)"
    except RevisionNotFoundError:
        problem = f"it has no revision {revision!r}; check embeddings.revision"
    except LocalEntryNotFoundError:
        problem = (
            f"{file} is not in the cache, and the hub cannot be reached. Connect to the network, unset "
            "HF_HUB_OFFLINE, or give a folder with the checkpoint"
        )
    except EntryNotFoundError:
        problem = f"it has no file {file}; only checkpoints in safetensors format can be used"
    except (
        Exception
    ) as error:  # also of the HTTP client, which differs between versions of the library
        problem = f"downloading {file} failed ({type(error).__name__}: {error}); run again"
    raise EncoderMissing(f"The encoder {name} cannot be loaded: {problem}") from None
