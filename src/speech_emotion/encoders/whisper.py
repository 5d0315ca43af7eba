"""Build the encoder of a Whisper checkpoint as an ONNX graph, without PyTorch.

Only the encoder and only the layers up to the last one in use become part of the graph. Weights stay
float16 in the file; ONNX Runtime converts them to float32 when it loads the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import onnx

__all__ = [
    "INPUT",
    "UnsupportedCheckpoint",
    "check_config",
    "encoder_weights",
    "layer_name",
    "whisper_graph",
]

INPUT: Final = "input"
OPSET: Final = 20
MICROSOFT: Final = "com.microsoft"
EPSILON: Final = 1e-5
PREFIXES: Final = ("model.encoder.", "encoder.", "")
"""Where the encoder's weights are in checkpoints of the whole model and of the encoder alone."""
SIZES: Final = (
    "d_model",
    "num_mel_bins",
    "encoder_layers",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "max_source_positions",
)
"""Entries of ``config.json`` that are needed."""


class UnsupportedCheckpoint(ValueError):
    """A checkpoint is not a Whisper model, or its weights do not fit its configuration."""


def layer_name(layer: int) -> str:
    """Return the name of the output tensor of a layer."""
    return f"layer_{layer}"


def check_config(config: Mapping[str, Any]) -> None:
    """Check that ``config.json`` describes a Whisper encoder.

    Raises:
        UnsupportedCheckpoint: If the architecture is another one, or a size is missing or impossible.
    """
    if config.get("model_type") != "whisper":
        raise UnsupportedCheckpoint(
            f"model_type is {config.get('model_type')!r}, expected 'whisper'; export other encoders "
            "to ONNX and describe them with a card"
        )
    if absent := [key for key in SIZES if key not in config]:
        raise UnsupportedCheckpoint(f"config.json has no {', '.join(absent)}")
    if wrong := [key for key in SIZES if type(config[key]) is not int or config[key] < 1]:
        raise UnsupportedCheckpoint(
            f"config.json: {wrong[0]} is {config[wrong[0]]!r}, expected a positive integer"
        )
    if config["d_model"] % config["encoder_attention_heads"]:
        raise UnsupportedCheckpoint(
            f"config.json: d_model {config['d_model']} is no multiple of encoder_attention_heads "
            f"{config['encoder_attention_heads']}"
        )
    if config.get("activation_function", "gelu") != "gelu":
        raise UnsupportedCheckpoint(
            f"config.json: activation_function is {config['activation_function']!r}, expected 'gelu'"
        )


def encoder_weights(names: Sequence[str]) -> dict[str, str]:
    """Map the encoder's names of weights to those of a checkpoint; the decoder's are left out.

    Raises:
        UnsupportedCheckpoint: If the checkpoint has no Whisper encoder.
    """
    for prefix in PREFIXES:
        if f"{prefix}conv1.weight" in names:
            return {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    raise UnsupportedCheckpoint(
        "the checkpoint has no Whisper encoder (no weight conv1.weight); export other encoders to ONNX "
        "and describe them with a card"
    )


def whisper_graph(
    config: Mapping[str, Any], weights: Mapping[str, np.ndarray], layers: Sequence[int]
) -> onnx.ModelProto:
    """Build the graph of a Whisper encoder.

    Args:
        config: Content of ``config.json``.
        weights: Arrays of the encoder, by the names of :func:`encoder_weights`.
        layers: Layers that become outputs, in increasing order: 0 is the input of the first layer,
            ``n`` the output of layer ``n``. As in transformers, the last layer is normalized.

    Returns:
        Model with the input ``input``, shape ``(n, n_mels, n_frames)``, and one output for each layer,
        shape ``(n, (n_frames + 1) // 2, width)``.

    Raises:
        UnsupportedCheckpoint: If the checkpoint is of another architecture, a weight is missing or has
            a wrong shape, or a layer does not exist.
    """
    return _Builder(config, weights, layers).build()


class _Builder:
    """Collect nodes and initializers of one graph."""

    def __init__(
        self, config: Mapping[str, Any], weights: Mapping[str, np.ndarray], layers: Sequence[int]
    ):
        check_config(config)
        self.config, self.weights, self.layers = config, weights, list(layers)
        self.width: int = config["d_model"]
        self.n_mels: int = config["num_mel_bins"]
        self.n_layers: int = config["encoder_layers"]
        if not self.layers or min(self.layers) < 0 or max(self.layers) > self.n_layers:
            raise UnsupportedCheckpoint(
                f"layers {self.layers} requested, the checkpoint has layers 0 to {self.n_layers}"
            )
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}

    def build(self) -> onnx.ModelProto:
        """Return the whole model."""
        from onnx import TensorProto, checker, helper, numpy_helper

        hidden = self._stem()
        if 0 in self.layers:
            self._node("Identity", [hidden], output=layer_name(0))
        for number in range(1, max(self.layers) + 1):
            hidden = self._layer(number - 1, hidden)
            if number in self.layers:
                if number == self.n_layers:
                    hidden = self._normalize(hidden, "layer_norm")
                self._node("Identity", [hidden], output=layer_name(number))
        outputs = [
            helper.make_tensor_value_info(
                layer_name(layer), TensorProto.FLOAT, ["n", "n_steps", self.width]
            )
            for layer in self.layers
        ]
        source = helper.make_tensor_value_info(
            INPUT, TensorProto.FLOAT, ["n", self.n_mels, "n_frames"]
        )
        tensors, casts = [], []
        for name, values in self.initializers.items():
            if values.dtype == np.float16:
                tensors.append(numpy_helper.from_array(values, f"{name}.half"))
                casts.append(
                    helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT)
                )
            else:
                tensors.append(numpy_helper.from_array(values, name))
        graph = helper.make_graph([*casts, *self.nodes], "encoder", [source], outputs, tensors)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="speech-emotion")
        model.ir_version = 10
        checker.check_model(model)
        return model

    def _stem(self) -> str:
        """Two convolutions, the second one with stride 2, and the position embeddings."""
        hidden = INPUT
        for name, channels, stride in (("conv1", self.n_mels, 1), ("conv2", self.width, 2)):
            weight = self._weight(f"{name}.weight", (self.width, channels, 3))
            bias = self._weight(f"{name}.bias", (self.width,))
            convolved = self._node(
                "Conv", [hidden, weight, bias], kernel_shape=[3], pads=[1, 1], strides=[stride]
            )
            hidden = self._node("Gelu", [convolved])
        hidden = self._node("Transpose", [hidden], perm=[0, 2, 1])
        positions = self.config["max_source_positions"]
        table = self._weight("embed_positions.weight", (positions, self.width))
        steps = self._node("Shape", [hidden], start=1, end=2)
        zero = self._constant("zero", np.array([0], dtype=np.int64))
        cut = self._node("Slice", [table, zero, steps, zero])
        return self._node("Add", [hidden, cut])

    def _layer(self, index: int, hidden: str) -> str:
        name = f"layers.{index}"
        width, inner = self.width, self.config["encoder_ffn_dim"]
        normalized = self._normalize(hidden, f"{name}.self_attn_layer_norm")
        attention = f"{name}.self_attn"
        matrices = [
            self._array(f"{attention}.{part}_proj.weight", (width, width)).T for part in "qkv"
        ]
        biases = [
            self._array(f"{attention}.q_proj.bias", (width,)),
            np.zeros(width, dtype=np.float16),  # keys have no bias
            self._array(f"{attention}.v_proj.bias", (width,)),
        ]
        attended = self._node(
            "Attention",
            [
                normalized,
                self._constant(f"{attention}.qkv.weight", np.concatenate(matrices, axis=1)),
                self._constant(f"{attention}.qkv.bias", np.concatenate(biases)),
            ],
            domain=MICROSOFT,
            num_heads=self.config["encoder_attention_heads"],
        )
        attended = self._linear(attended, f"{attention}.out_proj", width, width)
        hidden = self._node("Add", [hidden, attended])
        normalized = self._normalize(hidden, f"{name}.final_layer_norm")
        expanded = self._node("Gelu", [self._linear(normalized, f"{name}.fc1", width, inner)])
        return self._node("Add", [hidden, self._linear(expanded, f"{name}.fc2", inner, width)])

    def _linear(self, source: str, name: str, n_in: int, n_out: int) -> str:
        matrix = self._constant(
            f"{name}.weight", self._array(f"{name}.weight", (n_out, n_in)).T.copy()
        )
        product = self._node("MatMul", [source, matrix])
        return self._node("Add", [product, self._weight(f"{name}.bias", (n_out,))])

    def _normalize(self, source: str, name: str) -> str:
        scale = self._weight(f"{name}.weight", (self.width,))
        bias = self._weight(f"{name}.bias", (self.width,))
        return self._node("LayerNormalization", [source, scale, bias], axis=-1, epsilon=EPSILON)

    def _array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in self.weights:
            raise UnsupportedCheckpoint(f"weight {name} is missing; download the checkpoint again")
        values = self.weights[name]
        if values.shape != shape:
            raise UnsupportedCheckpoint(
                f"weight {name} has shape {values.shape}, expected {shape} by config.json"
            )
        return values

    def _weight(self, name: str, shape: tuple[int, ...]) -> str:
        return self._constant(name, self._array(name, shape))

    def _constant(self, name: str, values: np.ndarray) -> str:
        self.initializers[name] = np.ascontiguousarray(values)
        return name

    def _node(
        self, kind: str, inputs: list[str], *, output: str | None = None, **options: Any
    ) -> str:
        from onnx import helper

        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **options))
        return output
