"""Put the preprocessing of the contract `raw/1` before the network of an exported file. Needs the onnx package.

The network is not touched, so it may be quantised first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from resnetctl.deploy.onnx_card import CONTRACT_KEY, CONTRACTS, IMAGE, INPUT
from resnetctl.deploy.onnx_writer import seal
from resnetctl.deploy.raw.contract import preprocessing
from resnetctl.deploy.raw.graph import Graph
from resnetctl.spec import ImageSpec

SIDES = ("batch", "height", "width", "channels")  # names of the sides of `image`, all of any length


def with_preprocessing(data: bytes, image: ImageSpec) -> bytes:
    """Return the ONNX file `data`, of the contract `float/1`, with an input of the contract `raw/1`."""
    proto = onnx.load_model_from_string(data)
    nodes, constants = protos(preprocessing(image))
    network = [*proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes, *network])
    proto.graph.initializer.extend(constants)
    del proto.graph.input[:]
    proto.graph.input.append(helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, SIDES))
    known = {item.key: item.value for item in proto.metadata_props if not item.key.startswith("Image.")}
    helper.set_model_props(proto, known | {CONTRACT_KEY: CONTRACTS["raw"], "input_range": "[0, 255]"})
    return seal(proto)


def preprocessing_alone(data: bytes, image: ImageSpec) -> bytes:
    """Return a model of the preprocessing inside a raw file: its own operators and numbers, with output `pixel_values`.

    So the gate measures the file, not what a file should be.
    """
    proto = onnx.load_model_from_string(data)
    count = len(preprocessing(image).steps)
    del proto.graph.node[count:]
    read = {name for node in proto.graph.node for name in node.input}
    kept = [item for item in proto.graph.initializer if item.name in read]
    del proto.graph.initializer[:], proto.graph.value_info[:], proto.graph.output[:]
    proto.graph.initializer.extend(kept)
    sides: list[str | int | None] = ["batch", image.channels, image.size, image.size]
    proto.graph.output.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, sides))
    alone: bytes = proto.SerializeToString(deterministic=True)
    return alone


def protos(graph: Graph) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the operators and the constants of a graph in the classes of the onnx package."""
    nodes = []
    for step in graph.steps:
        attributes: dict[str, Any] = step.attributes
        nodes.append(helper.make_node(step.kind, list(step.inputs), [step.output], name=step.name, **attributes))
    return nodes, [_tensor(name, numbers) for name, numbers in graph.constants.items()]


def _tensor(name: str, numbers: NDArray[Any]) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.ascontiguousarray(numbers) if numbers.ndim else numbers, name)
