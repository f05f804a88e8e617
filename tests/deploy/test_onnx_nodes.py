"""A node reads whole numbers from constants and from shapes, and nothing that images decide."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

from resnetctl.deploy import onnx_checks, onnx_proto
from resnetctl.deploy.onnx_nodes import Node


def node(constants: dict[str, object], values: dict[str, tuple[int, ...]] | None = None) -> Node:
    made = helper.make_node("Resize", ["x", "", "scales", "sizes"], ["y"], mode="linear", axes=[2, 3])
    tensors = [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()]
    model = helper.make_model(helper.make_graph([made], "g", [], [], tensors))
    graph = onnx_proto.parse(model.SerializeToString()).one("graph", None)
    known = {item.one("name", ""): item for item in graph.all("initializer")}
    return Node(graph.all("node")[0], {"x": (2, 3)}, known, onnx_checks._numbers, values or {})


def test_whole_numbers_come_from_constants() -> None:
    made = node({"sizes": [4, 5], "scales": [0.5, 2.0]})
    assert made.numbers(3) == (4, 5)
    assert made.reals(2) == (0.5, 2.0)
    assert made.numbers(1) is None  # left out
    assert made.numbers(9) is None
    assert made.ints("axes", ()) == (2, 3)
    assert made.text("mode") == b"linear"


def test_whole_numbers_come_from_shapes() -> None:
    assert node({}, {"sizes": (7, 8)}).numbers(3) == (7, 8)


def test_numbers_of_a_computed_value_are_not_known() -> None:
    with pytest.raises(KeyError):
        node({}).numbers(3)
    with pytest.raises(KeyError):
        node({}).reals(2)


def test_reals_are_no_whole_numbers() -> None:
    with pytest.raises(ValueError, match="not of whole numbers"):
        node({"sizes": [0.5]}).numbers(3)
