"""Quantise an exported ONNX file to int8: onnxruntime's static QDQ form, from the ranges of values on real images.

Weights are int8 per output channel, activations uint8 with the smallest and the largest value seen (MinMax). Signed
activations, onnxruntime's default, were measured slower than float32. What comes before the first convolution, and the
softmax with its temperature, stay float32. Biases and sums are int32, as in integer arithmetic.

Shapes: N images, S pixels a side, C channels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from resnetctl.deploy.onnx_card import INPUT, LOGITS
from resnetctl.deploy.onnx_writer import quiet, seal
from resnetctl.errors import WorkFailed

LAYERS = ("Conv", "Gemm", "MatMul")  # operators with weights
CALIBRATION_BATCH = 32  # images; the ranges of values do not depend on it


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """An exported model with the ranges of its values on the calibration images; it makes int8 files from them.

    Attributes:
        data: the bytes of the float32 file.
        tensors: onnxruntime's ranges by name of the value.
        reduce_range: use 7 of 8 bits of the weights: without VNNI instructions, sums of 8-bit products overflow.
    """

    data: bytes
    tensors: Any
    reduce_range: bool

    @cached_property
    def layers(self) -> Mapping[str, str]:
        """The name of the node for each layer with weights, by the layer's name: `layer1.0.conv1`."""
        return {name: node.name for name, node in _layers(onnx.load_from_string(self.data).graph)}

    @cached_property
    def grouped(self) -> tuple[str, ...]:
        """The names of grouped and depthwise convolutions, for which int8 is often slower than float32."""
        graph = onnx.load_from_string(self.data).graph
        return tuple(name for name, node in _layers(graph) if _attribute(node, "group", 1) > 1)

    def quantised(self, *, floats: Collection[str] = (), metadata: Mapping[str, str] | None = None) -> bytes:
        """Return the int8 file.

        Args:
            floats: names of layers that stay float32.
            metadata: entries to replace or add; the others are those of the float32 file.
        """
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
        from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

        source = onnx.load_from_string(self.data)
        properties = {item.key: item.value for item in source.metadata_props} | dict(metadata or {})
        outside = [*_without_weights(source.graph), *_with_followers(source.graph, {self.layers[n] for n in floats})]
        with quiet():
            quantizer = QDQQuantizer(
                source,
                per_channel=True,
                reduce_range=self.reduce_range,
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QUInt8,
                tensors_range=self.tensors,
                nodes_to_quantize=[],
                nodes_to_exclude=outside,
                op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry}),
                extra_options={},
            )
            try:
                quantizer.quantize_model()
            except Exception as error:  # onnxruntime's errors share no base
                raise WorkFailed(f"onnxruntime cannot quantise this network: {error}") from error
        quantizer.model.topological_sort()
        proto = quantizer.model.model
        _tidy(proto)
        onnx.helper.set_model_props(proto, properties)
        return seal(proto)


def calibrate(data: bytes, images: NDArray[np.uint8], *, reduce_range: bool) -> Ranges:
    """Return the ranges of all values of a float32 file on images `(N, S, S, C)` uint8.

    Raises:
        WorkFailed: onnxruntime cannot run the network.
    """
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "float.onnx"
        path.write_bytes(data)
        try:
            calibrator = create_calibrator(
                path,
                augmented_model_path=str(Path(folder) / "augmented.onnx"),
                calibrate_method=CalibrationMethod.MinMax,
                providers=["CPUExecutionProvider"],
            )
            calibrator.collect_data(_Reader(_batches(images)))
            tensors = calibrator.compute_data()
        except Exception as error:  # onnxruntime's errors share no base
            raise WorkFailed(f"onnxruntime cannot calibrate this network: {error}") from error
    return Ranges(data=data, tensors=tensors, reduce_range=reduce_range)


class _Reader:
    """The images in the form that onnxruntime's calibration asks for, one batch at a time."""

    def __init__(self, batches: Iterator[dict[str, NDArray[np.float32]]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


def _batches(images: NDArray[np.uint8]) -> Iterator[dict[str, NDArray[np.float32]]]:
    for start in range(0, len(images), CALIBRATION_BATCH):
        pixels = images[start : start + CALIBRATION_BATCH].transpose(0, 3, 1, 2)
        yield {INPUT: np.ascontiguousarray(pixels).astype(np.float32) / np.float32(255)}


def _layers(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.NodeProto]]:
    """Yield the layers with weights, named after their weight as in the state dict."""
    constants = {item.name for item in graph.initializer}
    for node in graph.node:
        if node.op_type in LAYERS and len(node.input) > 1 and node.input[1] in constants:
            yield node.input[1].removeprefix("model.").removesuffix(".weight"), node


def _without_weights(graph: onnx.GraphProto) -> list[str]:
    """Return the names of the nodes that stay float32: those before the first layer, after the logits, every softmax.

    What follows the logits is the division by the temperature.
    """
    inside: set[str] = set()
    kept = []
    layers = {node.name for _, node in _layers(graph)}
    for node in graph.node:
        if node.name in layers or inside.intersection(node.input):
            inside.update(set(node.output) - {LOGITS})
            if node.op_type not in ("Softmax", "LogSoftmax"):
                continue
        kept.append(node.name)
    return kept


def _with_followers(graph: onnx.GraphProto, names: Collection[str]) -> list[str]:
    """Return the named layers and the nodes without weights that read their output: sums, activations.

    Such a node would otherwise round the layer's output to 8 bits.
    """
    outputs = {output for node in graph.node if node.name in names for output in node.output}
    layers = {node.name for _, node in _layers(graph)}
    followers = [node for node in graph.node if outputs.intersection(node.input) and node.name not in layers]
    return [*names, *(node.name for node in followers)]


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((item.i for item in node.attribute if item.name == name), default)


def _tidy(proto: onnx.ModelProto) -> None:
    """Remove what the quantiser leaves and no node uses: imports of operator sets, and constants."""
    domains = {node.domain for node in proto.graph.node}
    del proto.graph.value_info[:]
    kept = [item for item in proto.opset_import if item.domain in domains]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
    used = {name for node in proto.graph.node for name in node.input}
    constants = [item for item in proto.graph.initializer if item.name in used]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(sorted(constants, key=lambda item: item.name))
