"""A node reads whole numbers from constants and from shapes, and nothing that images decide."""

from dataclasses import replace

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


@pytest.mark.parametrize("axes", [[4], [-5], [0, 9], [2**63 - 1]])
def test_axes_out_of_range_are_refused(axes: list[int]) -> None:
    with pytest.raises(ValueError, match="are out of range"):
        node({"sizes": axes}).axes(position=3, rank=4)


def test_axes_come_from_the_input_or_else_from_the_attribute_and_are_counted_from_the_front() -> None:
    assert node({"sizes": [-1, 0]}).axes(position=3, rank=4) == {3, 0}
    assert node({}).axes(position=1, rank=4) == {2, 3}
    assert node({"sizes": np.array([], np.int64)}).axes(position=3, rank=4) == {2, 3}


def test_absent_attributes_have_their_defaults() -> None:
    made = node({})
    assert (made.whole("antialias", 7), made.text("nearest_mode")) == (7, b"")
    assert (made.ints("pads", (1, 2)), made.ints("pads", range(0))) == ((1, 2), ())


def test_numbers_that_follow_from_shapes_win_and_negative_ones_stay() -> None:
    assert node({"sizes": [1]}, {"sizes": (-7, 0)}).numbers(3) == (-7, 0)
    assert node({"sizes": np.int64(5)}).numbers(3) == (5,)
    assert node({"sizes": np.array([2, 3], np.int32)}).numbers(3) == (2, 3)


def test_inputs_are_the_shapes_of_those_that_are_present() -> None:
    made = node({"scales": [1.0, 2.0]}, {"sizes": (4, 5)})
    with pytest.raises(KeyError, match="scales"):
        _ = made.inputs
    whole = replace(made, shapes={"x": (2, 3), "scales": (2,), "sizes": (2,)})
    assert whole.inputs == [(2, 3), (2,), (2,)]
