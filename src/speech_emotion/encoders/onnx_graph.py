"""Read an ONNX file, and keep only what the layers in use need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from speech_emotion.encoders.card import EncoderCard

if TYPE_CHECKING:
    import onnx

__all__ = ["read_graph"]


def read_graph(path: Path, card: EncoderCard) -> bytes:
    """Read an ONNX file with the layers of a card as its outputs.

    Layers may be outputs or inner tensors of the graph. Nodes and weights that they do not depend on are
    dropped. Weights in files of their own become part of the graph.

    Args:
        path: The file.
        card: Its description.

    Returns:
        The serialized graph.

    Raises:
        ValueError: If the file is damaged, weights are missing, or there is no such tensor.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    _select_outputs(model, card)
    return model.SerializeToString(deterministic=True)


def _select_outputs(model: onnx.ModelProto, card: EncoderCard) -> None:
    """Replace the outputs by the layers of the card, and drop what they do not need."""
    from onnx import TensorProto, helper

    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output if name}
    known = {entry.name: entry for entry in graph.output}
    outputs = []
    for layer, name in sorted(card.layers.items()):
        if name not in producers:
            raise ValueError(
                f"{card.name}: the graph has no tensor {name!r} for layer {layer}; its outputs are "
                f"{', '.join(known)}"
            )
        outputs.append(
            known.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        )
    needed: set[str] = set()
    waiting = list(card.layers.values())
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            if name in producers:
                waiting += _sources(producers[name])
    nodes = [node for node in graph.node if needed.intersection(node.output)]
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    for field, kept in ((graph.node, nodes), (graph.initializer, weights), (graph.output, outputs)):
        copies = [type(entry).FromString(entry.SerializeToString()) for entry in kept]
        del field[:]
        field.extend(copies)


def _sources(node: onnx.NodeProto) -> Iterator[str]:
    """Return the tensors that a node reads, including those of its branches and loop bodies."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _sources(inner)
            yield from (output.name for output in graph.output)
