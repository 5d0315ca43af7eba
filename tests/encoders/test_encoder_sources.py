"""Encoders in folders: checkpoints, saved encoders, ONNX files with a card, and what can be wrong."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

from speech_emotion.encoders import (
    EncoderMissing,
    SpeechEncoder,
    UnsupportedCheckpoint,
    find_encoder,
)

STEP, WIDTH = 320, 6


def write_onnx(path, *, inner_outputs=True, external=False):
    """Write an encoder of waveforms: frames of 20 ms, projected twice."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(STEP, WIDTH)).astype(np.float32) / 10
    second = rng.normal(size=(WIDTH, WIDTH)).astype(np.float32)
    third = rng.normal(size=(WIDTH, 2)).astype(np.float32)
    arrays = {"shape": np.array([1, -1, STEP]), "first": first, "second": second, "third": third}
    arrays["pads"] = np.array([0, 0, 0, 0])
    nodes = [
        helper.make_node("Reshape", ["samples", "shape"], ["frames"]),
        helper.make_node("MatMul", ["frames", "first"], ["projected"]),
        helper.make_node("Tanh", ["projected"], ["hidden_1"]),
        helper.make_node("MatMul", ["hidden_1", "second"], ["hidden_2"]),
        helper.make_node("MatMul", ["hidden_2", "third"], ["logits"]),
    ]
    names = ("hidden_1", "hidden_2", "logits") if inner_outputs else ("logits",)
    outputs = [
        helper.make_tensor_value_info(
            name, TensorProto.FLOAT, [1, "steps", 2 if name == "logits" else WIDTH]
        )
        for name in names
    ]
    source = helper.make_tensor_value_info("samples", TensorProto.FLOAT, [1, "n"])
    tensors = [numpy_helper.from_array(values, name) for name, values in arrays.items()]
    graph = helper.make_graph(nodes, "own", [source], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(
        model,
        path,
        save_as_external_data=external,
        size_threshold=0,
        location=f"{path.name}.data",
    )
    hidden = [lambda samples: np.tanh(samples.reshape(-1, STEP) @ first)]
    hidden.append(lambda samples: hidden[0](samples) @ second)
    return hidden


def write_card(path, **changes):
    card = {
        "name": "acme/own-encoder",
        "input": "waveform",
        "input_name": "samples",
        "layers": {"1": "hidden_1", "2": "hidden_2"},
        "width": WIDTH,
        "license": "proprietary",
    } | changes
    card = {key: value for key, value in card.items() if value is not None}
    path.write_text(json.dumps(card))


@pytest.fixture
def own(tmp_path):
    """A folder with an encoder of waveforms."""
    folder = tmp_path / "own"
    write_onnx(folder / "encoder.onnx")
    write_card(folder / "encoder.json")
    return folder


def test_own_onnx_file(own, noise):
    hidden = write_onnx(own / "encoder.onnx")
    encoder = find_encoder(str(own))
    samples = noise(1.0)
    expected = np.stack([layer(samples) for layer in hidden])
    np.testing.assert_allclose(encoder.encode(samples), expected, rtol=1e-4, atol=1e-5)
    assert (encoder.layers, encoder.card.slug) == ([1, 2], "own_encoder")
    assert (encoder.card.license, encoder.card.source) == ("proprietary", "encoder.onnx")
    # The same by the name of the file, with its card beside it.
    write_onnx(own.parent / "acme.onnx")
    write_card(own.parent / "acme.json")
    again = find_encoder(str(own.parent / "acme.onnx"))
    np.testing.assert_array_equal(again.encode(samples), encoder.encode(samples))
    assert again.digest == encoder.digest


def test_waveforms_are_normalized_if_the_card_says_so(own, noise):
    plain = find_encoder(str(own))
    write_card(own / "encoder.json", normalize=True)
    encoder = find_encoder(str(own))
    samples = 0.2 * noise(1.0) + 0.3
    scaled = (samples - samples.mean()) / samples.std()
    np.testing.assert_allclose(encoder.encode(samples), plain.encode(scaled), atol=1e-2)
    assert np.abs(plain.encode(samples) - plain.encode(scaled)).max() > 1
    assert encoder.digest != plain.digest


def test_inner_tensors_can_be_layers(own, noise):
    expected = find_encoder(str(own), layers=[1]).encode(noise(1.0))
    write_onnx(own / "encoder.onnx", inner_outputs=False)
    write_card(own / "encoder.json", layers={"1": "hidden_1"})
    np.testing.assert_array_equal(find_encoder(str(own)).encode(noise(1.0)), expected)


def test_weights_of_higher_layers_are_dropped(own):
    def weights(encoder):
        model = onnx.load_from_string(encoder.model)
        return {tensor.name for tensor in model.graph.initializer}

    assert weights(find_encoder(str(own))) == {"shape", "first", "second"}
    assert weights(find_encoder(str(own), layers=[1])) == {"shape", "first"}


def test_weights_may_be_in_a_file_of_their_own(own, noise):
    expected = find_encoder(str(own)).encode(noise(1.0))
    write_onnx(own / "encoder.onnx", external=True)
    data = own / "encoder.onnx.data"
    assert data.stat().st_size > STEP * WIDTH * 4
    encoder = find_encoder(str(own))
    encoder.save(own.parent / "saved")
    loaded = SpeechEncoder.load(own.parent / "saved")
    np.testing.assert_array_equal(loaded.encode(noise(1.0)), expected)
    data.unlink()
    with pytest.raises(ValueError, match=r"encoder\.onnx cannot be read"):
        find_encoder(str(own))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"layers": {"4": "hidden_4"}},
            r"no tensor 'hidden_4' for layer 4; its outputs are hidden_1, hidden_2, logits",
        ),
        ({"width": 7}, r"layer 1 has 6 coefficients, its card says 7"),
        ({"input_name": None}, r"has the inputs samples, its card names 'input': set input_name"),
        ({"name": None}, r"encoder\.json is not a valid card: name: Field required"),
        ({"layers": {}}, r"not a valid card: layers: Dictionary should have at least 1 item"),
        ({"layers": {"x": "hidden_1"}}, r"not a valid card: layers\.x"),
        (
            {"input": "spectrum"},
            r"not a valid card: input: Input should be 'log_mel' or 'waveform'",
        ),
        ({"input": "log_mel", "sample_rate": 8000}, r"log_mel is defined at 16000 Hz"),
        ({"widht": 6}, r"not a valid card: widht: Extra inputs are not permitted"),
    ],
)
def test_cards_that_do_not_fit(own, changes, message):
    write_card(own / "encoder.json", **changes)
    with pytest.raises(ValueError, match=message):
        find_encoder(str(own))


def test_width_of_inner_tensors_is_checked(own, noise):
    write_onnx(own / "encoder.onnx", inner_outputs=False)
    write_card(own / "encoder.json", layers={"1": "hidden_1"}, width=7)
    with pytest.raises(ValueError, match="7"):
        find_encoder(str(own)).encode(noise(0.5))


def test_tensors_that_are_no_layers(own, noise):
    write_card(own / "encoder.json", layers={"1": "shape"})
    with pytest.raises(ValueError, match="no tensor 'shape' for layer 1"):
        find_encoder(str(own))


def test_card_is_missing_or_no_json(own):
    (own / "encoder.json").write_text("{")
    with pytest.raises(ValueError, match=r"encoder\.json is not a valid card: file: Invalid JSON"):
        find_encoder(str(own))
    (own / "encoder.json").unlink()
    with pytest.raises(EncoderMissing, match=r"has no card: describe it in .*encoder\.json"):
        find_encoder(str(own))


def test_requested_layers_must_be_on_the_card(own):
    with pytest.raises(UnsupportedCheckpoint, match=r"describes no layer 3; it has \[1, 2\]"):
        find_encoder(str(own), layers=[1, 3])


def test_damaged_onnx_files(own):
    content = (own / "encoder.onnx").read_bytes()
    (own / "encoder.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"encoder\.onnx cannot be read"):
        find_encoder(str(own))
    write_card(own / "encoder.json", sha256="0" * 64)
    with pytest.raises(EncoderMissing, match="is damaged: its SHA-256 is not that of"):
        find_encoder(str(own))


def test_graph_that_onnx_runtime_refuses(own, noise):
    encoder = find_encoder(str(own))
    broken = SpeechEncoder(encoder.model[:-40], encoder.card)
    with pytest.raises(ValueError, match="acme/own-encoder: ONNX Runtime cannot load the graph"):
        broken.encode(noise(0.5))
    with pytest.raises(ValueError, match="ONNX Runtime cannot load the graph"):
        broken.check()


def test_saved_encoders_are_the_same(write_checkpoint, tmp_path, noise):
    encoder = find_encoder(str(write_checkpoint("acme-whisper")))
    folder = tmp_path / "model" / "encoder"
    encoder.save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["encoder.json", "encoder.onnx"]
    for loaded in (SpeechEncoder.load(folder), find_encoder(str(folder))):
        np.testing.assert_array_equal(loaded.encode(noise(0.5)), encoder.encode(noise(0.5)))
        assert loaded.digest == encoder.digest
        assert loaded.card.name == "acme-whisper"
        assert loaded.layers == encoder.layers
    # Saving again replaces what was there.
    find_encoder(str(folder), layers=[1]).save(folder)
    assert SpeechEncoder.load(folder).layers == [1]


def test_damaged_saved_encoders_are_refused(write_checkpoint, tmp_path):
    folder = tmp_path / "encoder"
    find_encoder(str(write_checkpoint())).save(folder)
    content = bytearray((folder / "encoder.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "encoder.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"SHA-256 differs"):
        SpeechEncoder.load(folder)
    with pytest.raises(EncoderMissing, match="is damaged"):
        find_encoder(str(folder))
    (folder / "encoder.onnx").unlink()
    with pytest.raises(EncoderMissing, match=r"holds no encoder: encoder\.onnx is missing"):
        SpeechEncoder.load(folder)


def test_digest_tells_encoders_and_layers_apart(write_checkpoint, make_weights):
    weights = make_weights()
    weights["conv1.bias"] = weights["conv1.bias"] + np.float16(0.5)
    digests = {
        find_encoder(str(write_checkpoint("a"))).digest,
        find_encoder(str(write_checkpoint("b")), layers=[1]).digest,
        find_encoder(str(write_checkpoint("c", weights=weights))).digest,
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "wav2vec2"}, "model_type is 'wav2vec2', expected 'whisper'; export other"),
        ({"model_type": None}, "model_type is None"),
        ({"d_model": None, "encoder_layers": None}, "config.json has no d_model, encoder_layers"),
        ({"max_source_positions": None}, "config.json has no max_source_positions"),
        ({"encoder_layers": "2"}, "encoder_layers is '2', expected a positive integer"),
        ({"encoder_layers": 3}, r"weight layers\.2\.self_attn_layer_norm\.weight is missing"),
        ({"encoder_attention_heads": 3}, "d_model 16 is no multiple of encoder_attention_heads 3"),
        ({"activation_function": "relu"}, "activation_function is 'relu', expected 'gelu'"),
        (
            {"encoder_ffn_dim": 64},
            r"weight layers\.0\.fc1\.weight has shape \(32, 16\), expected \(64, 16\)",
        ),
        ({"num_mel_bins": 128}, r"weight conv1\.weight has shape \(16, 80, 3\)"),
        ({"max_source_positions": 400}, r"embed_positions\.weight has shape \(200, 16\)"),
    ],
)
def test_configurations_that_do_not_fit(write_checkpoint, changes, message):
    # Layer 3 of three layers is above the default ones.
    layers = [3] if changes.get("encoder_layers") == 3 else None
    with pytest.raises(UnsupportedCheckpoint, match=message):
        find_encoder(str(write_checkpoint(**changes)), layers=layers)


def test_layers_that_do_not_exist(write_checkpoint):
    folder = str(write_checkpoint())
    for layers in ([3], [-1, 1], []):
        with pytest.raises(UnsupportedCheckpoint, match="has layers 0 to 2"):
            find_encoder(folder, layers=layers)


def test_missing_weights(write_checkpoint, make_weights):
    weights = make_weights()
    del weights["layers.1.fc2.bias"]
    folder = str(write_checkpoint(weights=weights))
    with pytest.raises(UnsupportedCheckpoint, match=r"weight layers\.1\.fc2\.bias is missing"):
        find_encoder(folder)
    # The first layer does not need it.
    assert find_encoder(folder, layers=[1]).layers == [1]


def test_checkpoints_without_a_whisper_encoder(write_checkpoint):
    folder = write_checkpoint()
    save_file({"wav2vec2.x": np.zeros(3, dtype=np.float32)}, folder / "model.safetensors")
    with pytest.raises(UnsupportedCheckpoint, match="the checkpoint has no Whisper encoder"):
        find_encoder(str(folder))


def test_truncated_weights(write_checkpoint):
    path = write_checkpoint() / "model.safetensors"
    content = path.read_bytes()
    for length in (0, 7, 100, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(EncoderMissing, match=r"model\.safetensors is damaged"):
            find_encoder(str(path.parent))
    path.unlink()
    with pytest.raises(EncoderMissing, match=r"model\.safetensors is missing"):
        find_encoder(str(path.parent))


def test_bfloat16_weights_are_read_or_refused(write_checkpoint, noise):
    folder = write_checkpoint()
    expected = find_encoder(str(folder)).encode(noise(0.5))
    path = folder / "model.safetensors"
    halves = load_file(path)
    header, blobs, offset = {}, [], 0
    for name, values in halves.items():
        bits = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        end = offset + bits.nbytes
        header[name] = {"dtype": "BF16", "shape": values.shape, "data_offsets": [offset, end]}
        blobs.append(bits.tobytes())
        offset = end
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))
    states = find_encoder(str(folder)).encode(noise(0.5))
    assert np.abs(states - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_broken_configurations(write_checkpoint, text):
    path = write_checkpoint() / "config.json"
    path.write_text(text)
    with pytest.raises(EncoderMissing, match=r"config\.json .*download it again"):
        find_encoder(str(path.parent))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("whisper-base", "There is no encoder 'whisper-base'.*OWNER/NAME"),
        ("", "holds no encoder: config.json is missing"),
        ("../nowhere/encoder", "There is no encoder"),
        ("a/b/c", "There is no encoder"),
        ("models/own.onnx", r"models/own\.onnx does not exist"),
    ],
)
def test_names_that_are_no_encoder(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EncoderMissing, match=message):
        find_encoder(name)


def test_empty_folders(tmp_path):
    with pytest.raises(EncoderMissing, match=r"expected encoder\.onnx with encoder\.json, or"):
        find_encoder(str(tmp_path))
