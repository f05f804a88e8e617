"""A graph as data: the same calls give the same names, and equal constants are stored once."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from resnetctl.deploy.raw.graph import TYPES, Graph, reshaped, sliced
from resnetctl.deploy.raw.writer import protos


def small() -> Graph:
    graph = Graph("g")
    x = graph.value("x", np.float64)
    y = (1.0 - x * 2.0) / 2.0
    y.op("Less", 2.0).cast(np.float32).op("Identity", output="y")
    return graph


def test_arithmetic_becomes_operators_in_order() -> None:
    steps = small().steps
    assert [step.kind for step in steps] == ["Mul", "Sub", "Div", "Less", "Cast", "Identity"]
    assert steps[1].inputs == ("g/constant_1", "g/Mul_0")
    assert steps[-1].output == "y"


def test_numbers_take_the_type_of_the_value_beside_them() -> None:
    constants = small().constants
    assert {array.dtype.name for array in constants.values()} == {"float64"}
    assert [float(array) for array in constants.values()] == [2.0, 1.0]


def test_truth_values_and_shapes_have_their_own_type() -> None:
    x = Graph("g").value("x", np.float32)
    assert x.op("Less", 1.0).dtype == np.dtype(bool)
    assert x.op("Shape").dtype == np.int64
    assert x.cast(np.uint8).dtype == np.uint8


def test_the_same_calls_give_the_same_graph() -> None:
    assert small().steps == small().steps


def test_a_name_that_users_should_see_is_kept() -> None:
    graph = Graph("g")
    x = graph.value("x", np.uint8)
    reshaped(x, 2, 3, name="g/image_is_odd")
    sliced(x, (0, 1), axis=0)
    assert [step.name for step in graph.steps] == ["g/Concat_0", "g/image_is_odd", "g/Slice_2"]
    assert graph.steps[1].attributes == {"allowzero": 1}


def test_a_graph_computes_what_numpy_computes() -> None:
    graph = Graph("g")
    x = graph.value("x", np.float64)
    (3.0 / (x + 1.5) - x * x).op("Identity", output="y")
    nodes, constants = protos(graph)
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n"])],
            [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n"])],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", 20)],
    )
    values = np.linspace(0, 4, 9)
    (result,) = ReferenceEvaluator(model).run(None, {"x": values})
    assert result == pytest.approx(3.0 / (values + 1.5) - values * values)


@pytest.mark.parametrize(
    ("first", "second", "is_shared"),
    [
        ((1, np.int64), (1, np.int64), True),
        ((1, np.int64), (1, np.float32), False),
        ((1, np.int64), ([1], np.int64), False),
        ((0.0, np.float32), (-0.0, np.float32), False),
        (([1, 2], np.int64), ([[1, 2]], np.int64), False),
    ],
)
def test_constants_are_shared_by_type_shape_and_bytes(first: Any, second: Any, is_shared: bool) -> None:
    graph = Graph("g")
    one, two = (graph.constant(numbers, dtype) for numbers, dtype in (first, second))
    assert (one.name == two.name) is is_shared
    assert len(graph.constants) == (1 if is_shared else 2)
    assert (one.dtype, two.dtype) == (np.dtype(first[1]), np.dtype(second[1]))


def test_sides_may_be_numbers_or_values_and_attributes_become_tuples() -> None:
    graph = Graph("g")
    x = graph.value("x", np.uint8)
    side = sliced(x.op("Shape"), (0, 1), axis=0)
    result = reshaped(x, side, 4)
    assert result.dtype == np.uint8
    assert graph.steps[-2].inputs[0] == side.name
    assert x.op("Transpose", perm=[1, 0]).dtype == np.uint8
    assert graph.steps[-1].attributes == {"perm": (1, 0)}


def test_only_known_types_can_be_cast_to() -> None:
    x = Graph("g").value("x", np.uint8)
    for name, number in TYPES.items():
        assert x.cast(name).dtype == np.dtype(name)
        assert x.graph.steps[-1].attributes == {"to": number}
        assert helper.np_dtype_to_tensor_dtype(np.dtype(name)) == number
    with pytest.raises(KeyError):
        x.cast(np.int8)
