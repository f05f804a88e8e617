"""The shapes of operators agree with those of the onnx package, and files that need too much are refused."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from resnetctl.deploy import onnx_checks, onnx_operators, onnx_proto

Case = tuple[str, list[tuple[int, ...]], list[list[int]], dict[str, Any]]  # operator, inputs, constants, attributes
IMAGE = (2, 6, 9, 8)
CASES: list[Case] = [
    ("Add", [IMAGE, (6, 1, 1)], [], {}),
    ("Mul", [(2, 1, 9, 1), (6, 1, 8)], [], {}),
    ("Relu", [IMAGE], [], {}),
    ("Softmax", [(2, 5)], [], {"axis": 1}),
    ("BatchNormalization", [IMAGE, (6,), (6,), (6,), (6,)], [], {}),
    ("Conv", [IMAGE, (4, 6, 3, 3)], [], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("Conv", [IMAGE, (6, 1, 3, 3), (6,)], [], {"group": 6, "dilations": [2, 1], "kernel_shape": [3, 3]}),
    ("MaxPool", [IMAGE], [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("AveragePool", [IMAGE], [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("GlobalAveragePool", [IMAGE], [], {}),
    ("ReduceMean", [IMAGE], [[2, 3]], {"keepdims": 0}),
    ("ReduceMax", [IMAGE], [[-3]], {}),
    ("ReduceSum", [IMAGE], [], {"keepdims": 0}),
    ("Gemm", [(2, 5), (7, 5), (7,)], [], {"transB": 1}),
    ("Gemm", [(5, 2), (5, 7)], [], {"transA": 1}),
    ("MatMul", [(2, 6, 9, 8), (8, 3)], [], {}),
    ("Reshape", [IMAGE], [[0, -1]], {}),
    ("Reshape", [IMAGE], [[2, 3, 2, 9, 8]], {"allowzero": 1}),
    ("Flatten", [IMAGE], [], {"axis": 2}),
    ("Squeeze", [(2, 1, 9, 1)], [[1, -1]], {}),
    ("Squeeze", [(2, 1, 9, 1)], [], {}),
    ("Unsqueeze", [(2, 6)], [[-1, 2]], {}),
    ("Transpose", [IMAGE], [], {"perm": [0, 2, 3, 1]}),
    ("Concat", [IMAGE, (2, 3, 9, 8)], [], {"axis": -3}),
    ("Slice", [IMAGE], [[0, -1], [100, 0], [2, 3], [2, -3]], {}),
    ("Pad", [IMAGE], [[0, 3, 0, 0, 0, 3, -2, 0]], {}),
]


def graph(case: Case) -> onnx.ModelProto:
    """Return a model of one operator."""
    kind, inputs, constants, attributes = case
    names = [f"x{position}" for position in range(len(inputs))]
    tensors = [numpy_helper.from_array(np.array(values, np.int64), f"c{i}") for i, values in enumerate(constants)]
    node = helper.make_node(kind, [*names, *(tensor.name for tensor in tensors)], ["y"], **attributes)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in zip(names, inputs, strict=True)
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    built = helper.make_graph([node], "g", values, [output], tensors)
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", 20)])


def inferred(model: onnx.ModelProto, inputs: list[tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    parsed = onnx_proto.parse(model.SerializeToString()).one("graph", None)
    shapes = {f"x{position}": shape for position, shape in enumerate(inputs)}
    return onnx_operators.infer(parsed, shapes, read=onnx_checks._numbers)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[2]} {case[3]}")
def test_shapes_are_those_of_the_onnx_package(case: Case) -> None:
    model = graph(case)
    theirs = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph.output[0].type.tensor_type
    assert inferred(model, case[1])["y"] == tuple(side.dim_value for side in theirs.shape.dim)


def test_a_split_has_the_shapes_of_its_parts() -> None:
    model = graph(("Split", [IMAGE], [[2, 4]], {"axis": 1}))
    model.graph.node[0].output.append("z")
    shapes = inferred(model, [IMAGE])
    assert (shapes["y"], shapes["z"]) == ((2, 2, 9, 8), (2, 4, 9, 8))


@pytest.mark.parametrize(
    "case",
    [
        ("Add", [IMAGE, (5, 1, 1)], [], {}),
        ("Conv", [IMAGE, (4, 5, 3, 3)], [], {}),
        ("Conv", [IMAGE, (4, 6, 3, 3)], [], {"pads": [10**9] * 4}),
        ("Conv", [IMAGE, (4, 6, 3, 3)], [], {"strides": [0, 1]}),
        ("AveragePool", [IMAGE], [], {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("Gemm", [(2, 5), (7, 5)], [], {}),
        ("MatMul", [(5,), (5,)], [], {}),
        ("Reshape", [IMAGE], [[10**9, 10**9]], {}),
        ("Squeeze", [IMAGE], [[1]], {}),
        ("Transpose", [IMAGE], [], {"perm": [0, 0, 1, 2]}),
        ("ReduceMean", [IMAGE], [[9]], {}),
    ],
)
def test_an_operator_that_does_not_fit_is_named(case: Case) -> None:
    with pytest.raises(ValueError, match=f"the operator '{case[0]}' does not fit its inputs"):
        inferred(graph(case), case[1])


@pytest.mark.parametrize(
    "case",
    [
        ("Pad", [IMAGE], [[0, 0, 0, 0, 0, 0, 10**9, 0]], {}),
        ("Add", [(2, 3000, 1), (1, 3000)], [], {}),
    ],
)
def test_an_operator_that_needs_too_much_memory_is_refused(case: Case) -> None:
    with pytest.raises(ValueError, match="needs more memory than"):
        inferred(graph(case), case[1])


def test_an_operator_that_needs_too_much_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    square = (2, 1, 1000, 1000)
    case: Case = ("MatMul", [square, square], [], {})
    assert inferred(graph(case), case[1])["y"] == square
    monkeypatch.setattr(
        onnx_operators, "MAX_WORK", (1 << 20, 400)
    )  # it multiplies 500 times for each value of its inputs
    with pytest.raises(ValueError, match="'MatMul' needs more time than"):
        inferred(graph(case), case[1])


def test_values_that_are_alive_at_once_count_together() -> None:
    """Each of 40 tensors is small enough by itself."""
    model = graph(("Pad", [IMAGE], [[0, 0, 0, 0, 0, 0, 20_000, 0]], {}))
    for number in range(40):
        model.graph.node.append(helper.make_node("Relu", ["y"], [f"z{number}"]))
    chained = list(model.graph.node)
    with pytest.raises(ValueError, match="memory"):
        inferred(model, [IMAGE])
    for number, node in enumerate(chained[2:]):
        node.input[0] = f"z{number}"
    assert "z39" in inferred(model, [IMAGE])


@pytest.mark.parametrize(
    "case",
    [
        ("Conv", [IMAGE, (4, 6, 3, 3)], [], {"kernel_shape": [5, 5]}),
        ("Conv", [IMAGE, (4, 6, 3, 3)], [], {"pads": [-1, 0, 0, 0]}),
        ("Conv", [IMAGE, (4, 6, 3, 3)], [], {"pads": [3, 0, 0, 0]}),
        ("Conv", [IMAGE, (4, 6, 3, 3)], [], {"dilations": [0, 1]}),
        ("Conv", [IMAGE, (4, 6, 3, 3)], [], {"strides": [1]}),
        ("MaxPool", [IMAGE], [], {}),
        ("MatMul", [(2, 5), (4, 5)], [], {}),
        ("Reshape", [IMAGE], [[-1, -1]], {}),
        ("Reshape", [IMAGE], [[0, -1, 0, 0, 0]], {}),
        ("Reshape", [IMAGE], [[-1, 0]], {"allowzero": 1}),
        ("Reshape", [IMAGE, (2,)], [], {}),
        ("Squeeze", [(2, 1)], [[5]], {}),
        ("Unsqueeze", [(2, 6)], [[4]], {}),
        ("Transpose", [IMAGE], [], {"perm": [1, 0]}),
        ("Concat", [IMAGE, IMAGE], [], {"axis": 4}),
        ("Slice", [IMAGE], [[0], [1, 2]], {}),
        ("Slice", [IMAGE], [[0], [9], [1], [0]], {}),
        ("Pad", [IMAGE], [[0, 1]], {}),
        ("Pad", [IMAGE], [[0, 0, 0, 0, 0, 0, -10, 0]], {}),
        ("ReduceSum", [IMAGE], [[-5]], {}),
    ],
)
def test_a_file_that_onnxruntime_would_refuse_or_misread_is_refused_first(case: Case) -> None:
    with pytest.raises(ValueError, match=f"the operator '{case[0]}' (does not fit its inputs|has a negative side)"):
        inferred(graph(case), case[1])


def test_an_operator_of_no_table_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="the operator 'Loop' does not fit its inputs: 'Loop'"):
        inferred(graph(("Loop", [IMAGE], [], {})), [IMAGE])


def test_a_value_that_nobody_computes_and_one_that_two_compute_are_refused() -> None:
    model = graph(("Relu", [IMAGE], [], {}))
    model.graph.node[0].input[0] = "ghost"
    with pytest.raises(ValueError, match="'Relu' does not fit its inputs: 'ghost'"):
        inferred(model, [IMAGE])
    model = graph(("Relu", [IMAGE], [], {}))
    model.graph.node.append(helper.make_node("Relu", ["x0"], ["y"]))
    with pytest.raises(ValueError, match="'Relu' has other outputs than its operator"):
        inferred(model, [IMAGE])
    model.graph.node[1].output[:] = ["z", "more"]
    with pytest.raises(ValueError, match="'Relu' has other outputs than its operator"):
        inferred(model, [IMAGE])


def test_too_many_operators_are_refused_before_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    model = graph(("Relu", [IMAGE], [], {}))
    model.graph.node.extend(helper.make_node("Relu", ["y"], [f"z{number}"]) for number in range(3))
    monkeypatch.setattr(onnx_operators, "MAX_NODES", 4)
    assert "z2" in inferred(model, [IMAGE])
    monkeypatch.setattr(onnx_operators, "MAX_NODES", 3)
    with pytest.raises(ValueError, match="it has 4 operators, the limit is 3"):
        inferred(model, [IMAGE])


def test_a_split_into_equal_parts_and_its_name_in_messages() -> None:
    model = graph(("Split", [(2, 7)], [], {"axis": 1}))
    model.graph.node[0].output.append("z")
    assert inferred(model, [(2, 7)])["y"] == (2, 4)
    model.graph.node[0].name = "cut"
    model.graph.node[0].input.append("missing")
    with pytest.raises(ValueError, match="the operator 'cut' does not fit its inputs"):
        inferred(model, [(2, 7)])
