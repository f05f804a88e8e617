"""A graph as data: the same calls give the same names, and equal constants are stored once."""

import numpy as np

from resnetctl.deploy.raw.graph import Graph, reshaped, sliced


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
