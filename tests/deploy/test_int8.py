"""An int8 file computes nearly the same, is small, deterministic, and what the strict reader accepts."""

import dataclasses
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from support.trained import ARCH, IMAGE, card, network

from resnetctl.deploy.int8 import Ranges, calibrate
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.deploy.onnx_writer import to_bytes
from resnetctl.models.resnet import build

LAYERS = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2", "fc"]


def pictures(count: int = 40) -> NDArray[np.uint8]:
    return np.random.default_rng(4).integers(0, 256, (count, 8, 8, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def float_file() -> bytes:
    return to_bytes(network(), card(), weights_sha256="ab", gate={"kind": "real"})


@pytest.fixture(scope="module")
def ranges(float_file: bytes) -> Ranges:
    return calibrate(float_file, pictures(), reduce_range=True)


def operators(data: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(data).graph.node)


def test_the_strict_reader_takes_the_file_and_its_logits_are_close(float_file: bytes, ranges: Ranges) -> None:
    images = pictures(200)
    before = from_bytes(float_file, "float").logits(images)
    after = from_bytes(ranges.quantised(), "int8").logits(images)
    assert np.abs(before - after).max() < 0.2 * np.abs(before).max()
    assert np.abs(before - after).max() > 0


def test_weights_are_stored_in_one_byte(ranges: Ranges) -> None:
    graph = onnx.load_from_string(ranges.quantised()).graph
    stored = {item.name: item for item in graph.initializer if "weight" in item.name and len(item.dims) > 1}
    assert len(stored) == len(LAYERS)
    assert {item.data_type for item in stored.values()} == {onnx.TensorProto.INT8}
    scales = {item.name: list(item.dims) for item in graph.initializer if item.name.endswith("conv2.weight_scale")}
    assert all(len(dims) == 1 for dims in scales.values())  # one scale for each channel
    assert scales


def test_the_same_inputs_give_the_same_bytes(float_file: bytes, ranges: Ranges) -> None:
    assert ranges.quantised() == ranges.quantised()
    assert calibrate(float_file, pictures(), reduce_range=True).quantised() == ranges.quantised()
    assert calibrate(float_file, pictures(), reduce_range=False).quantised() != ranges.quantised()


def test_layers_have_the_names_of_their_modules(ranges: Ranges) -> None:
    assert list(ranges.layers) == LAYERS
    assert ranges.grouped == ()


def test_a_layer_in_float32_and_the_sum_after_it_are_not_rounded(ranges: Ranges) -> None:
    files = [ranges.quantised(floats=floats) for floats in (LAYERS, ["layer1.0.conv2"], [])]
    counts = [operators(data)["QuantizeLinear"] for data in files]
    assert counts == sorted(set(counts))
    stored = {item.name: item.data_type for item in onnx.load_from_string(files[1]).graph.initializer}
    assert stored["model.layer1.0.conv2.weight"] == onnx.TensorProto.FLOAT


def test_normalisation_and_softmax_stay_float32(ranges: Ranges) -> None:
    graph = onnx.load_from_string(ranges.quantised()).graph
    producers = {output: node.op_type for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type in ("Sub", "Div", "Softmax"):
            assert "DequantizeLinear" not in [producers.get(name) for name in node.input] or node.op_type == "Softmax"
    assert not any(node.op_type == "QuantizeLinear" and node.input[0] == "pixel_values" for node in graph.node)


def test_unused_operator_sets_and_constants_are_removed_and_metadata_kept(ranges: Ranges) -> None:
    proto = onnx.load_from_string(ranges.quantised(metadata={"resnetctl.gate": "{}"}))
    assert [item.domain for item in proto.opset_import] == [""]
    used = {name for node in proto.graph.node for name in node.input}
    assert {item.name for item in proto.graph.initializer} <= used
    entries = {item.key: item.value for item in proto.metadata_props}
    assert (entries["resnetctl.gate"], entries["sha256.weights"]) == ("{}", "ab")


def test_grouped_convolutions_are_found() -> None:
    net = build(ARCH, classes=3, image=IMAGE).eval()
    net.layer1[0].conv2 = torch.nn.Conv2d(4, 4, 3, padding=1, groups=4)  # type: ignore[union-attr]
    data = to_bytes(net, dataclasses.replace(card()), weights_sha256="", gate={})
    assert calibrate(data, pictures(), reduce_range=True).grouped == ("layer1.0.conv2",)
