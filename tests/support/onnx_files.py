"""A small ONNX file, and functions that make it harmful in every known way."""

import hashlib
import json

import numpy as np
import onnx
from onnx import TensorProto, helper
from support.trained import card

from resnetctl.deploy.onnx_card import CARD_KEY, DIGEST_KEY
from resnetctl.spec import WeightsCard


def small_model(described: WeightsCard | None = None, *, sealed: bool = True) -> onnx.ModelProto:
    """Return a linear classifier with the interface of an export, built without torch."""
    weight = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["pixel_values"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    inputs = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 1, 8, 8])]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("logits", "probabilities")
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [onnx.numpy_helper.from_array(weight, "weight")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {CARD_KEY: json.dumps((described or card()).to_json())})
    if sealed:
        digest = hashlib.sha256(model.SerializeToString()).hexdigest()
        add_property(model, DIGEST_KEY, digest)
    return model


def add_property(model: onnx.ModelProto, key: str, value: str) -> None:
    model.metadata_props.add(key=key, value=value)


def external(tensor: TensorProto) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def external_initializer(model: onnx.ModelProto) -> None:
    external(model.graph.initializer[0])


def external_keys_only(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def external_location_only(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def external_memory(model: onnx.ModelProto) -> None:
    """Mark weights as lying at an address of onnxruntime's process."""
    for key, value in (("location", "*/_ORT_MEM_ADDR_/*"), ("offset", "4096"), ("length", "768")):
        model.graph.initializer[0].external_data.add(key=key, value=value)
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def external_attribute(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [0.0])
    external(tensor)
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def external_sparse(model: onnx.ModelProto) -> None:
    external(model.graph.sparse_initializer.add().values)


def external_in_subgraph(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [], [helper.make_tensor("t", TensorProto.FLOAT, [1], [0.0])])
    external(body.initializer[0])
    model.graph.node.append(helper.make_node("If", ["flat"], ["c"], then_branch=body, else_branch=body))


def external_in_function(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [0.0])
    external(tensor)
    node = helper.make_node("Constant", [], ["c"], value=tensor)
    model.functions.append(helper.make_function("", "f", [], ["c"], [node], [helper.make_opsetid("", 20)]))


def loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["n", "", "x"], ["c"], body=body))


def foreign_node(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "evil.example"


def foreign_opset(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("evil.example", 1))


def function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("", "f", [], [], [], [helper.make_opsetid("", 20)]))


def training(model: onnx.ModelProto) -> None:
    model.training_info.add()


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().dims.append(10**12)


def devices(model: onnx.ModelProto) -> None:
    model.configuration.add(name="elsewhere")


EXTERNAL = (
    external_initializer,
    external_keys_only,
    external_location_only,
    external_memory,
    external_attribute,
    external_sparse,
    external_in_subgraph,
    external_in_function,
)
HARMS = (*EXTERNAL, loop, foreign_node, foreign_opset, function, training, sparse, devices)
