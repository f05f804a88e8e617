"""The operators of detectors and segmenters have the shapes of the onnx package, or their largest, and are bounded."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from resnetctl.deploy import onnx_checks, onnx_head_operators, onnx_operators, onnx_proto

Inputs = dict[str, tuple[int, ...]]
Constants = dict[str, Any]
IMAGE = (2, 6, 9, 8)


def graph(kind: str, inputs: Inputs, constants: Constants, *, order: str = "", **attributes: Any) -> onnx.ModelProto:
    """Return a model of one operator; `order` lists its inputs, "-" for one that is left out."""
    names = ["" if name == "-" else name for name in (order.split() or [*inputs, *constants])]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    outputs = ["y", "z"] if kind == "TopK" else ["y"]
    made = helper.make_node(kind, names, outputs, **attributes)
    values = [
        helper.make_tensor_value_info(name, TensorProto.BOOL if name == "c" else TensorProto.FLOAT, shape)
        for name, shape in inputs.items()
    ]
    kinds = {"Shape": TensorProto.INT64, "ArgMax": TensorProto.INT64, "NonMaxSuppression": TensorProto.INT64}
    types = [kinds.get(kind, TensorProto.BOOL if kind == "Greater" else TensorProto.FLOAT), TensorProto.INT64]
    results = [helper.make_tensor_value_info(*pair, None) for pair in zip(outputs, types, strict=False)]
    built = helper.make_graph([made], "g", values, results, tensors)
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def inferred(model: onnx.ModelProto, inputs: Inputs) -> dict[str, tuple[int, ...]]:
    parsed = onnx_proto.parse(model.SerializeToString()).one("graph", None)
    return onnx_operators.infer(parsed, inputs, read=onnx_checks._numbers)


CASES: list[tuple[str, Inputs, Constants, dict[str, Any]]] = [
    ("Where", {"c": (2, 1, 9, 1), "x": IMAGE}, {"n": np.float32(0)}, {}),
    ("Greater", {"x": IMAGE, "n": (8,)}, {}, {}),
    ("Floor", {"x": IMAGE}, {}, {}),
    ("CumSum", {"x": IMAGE}, {"axis": np.int64(1)}, {}),
    ("Shape", {"x": IMAGE}, {}, {}),
    ("Shape", {"x": IMAGE}, {}, {"start": 1, "end": -1}),
    ("Expand", {"x": (2, 1, 9, 1)}, {"shape": [6, 1, 8]}, {}),
    ("Gather", {"x": IMAGE}, {"index": [[0, 3, 1]]}, {"axis": 1}),
    ("Gather", {"x": IMAGE}, {"index": np.int64(2)}, {"axis": -1}),
    ("GatherElements", {"x": (2, 6)}, {"index": [[0, 0, 1, 5], [1, 2, 3, 4]]}, {"axis": 1}),
    ("GatherND", {"x": IMAGE}, {"index": [[[0, 1]], [[1, 5]]]}, {}),
    ("ScatterElements", {"x": (7,)}, {"index": [0, 3], "updates": np.ones(2, np.float32)}, {}),
    ("TopK", {"x": IMAGE}, {"count": [4]}, {"axis": 1}),
    ("ArgMax", {"x": IMAGE}, {}, {"axis": 1, "keepdims": 0}),
    ("ArgMax", {"x": IMAGE}, {}, {"axis": -1}),
    ("Resize", {"x": IMAGE}, {"sizes": [2, 6, 18, 4]}, {"order": "x - - sizes", "mode": "linear"}),
    ("Resize", {"x": IMAGE}, {"scales": np.float32([1, 1, 2.5, 0.5])}, {"order": "x - scales", "mode": "nearest"}),
    (
        "RoiAlign",
        {"x": IMAGE, "rois": (5, 4)},
        {"owners": [0, 1, 1, 0, 0]},
        {"output_height": 7, "output_width": 3, "sampling_ratio": 2},
    ),
]


@pytest.mark.parametrize(("kind", "inputs", "constants", "attributes"), CASES)
def test_shapes_are_those_of_the_onnx_package(
    kind: str, inputs: Inputs, constants: Constants, attributes: dict[str, Any]
) -> None:
    model = graph(kind, inputs, constants, **attributes)
    theirs = shape_inference.infer_shapes(model, strict_mode=False, data_prop=True).graph.output[0].type.tensor_type
    assert inferred(model, inputs)["y"] == tuple(side.dim_value for side in theirs.shape.dim)


@pytest.mark.parametrize(("kind", "inputs", "constants", "attributes"), CASES)
def test_onnxruntime_gives_these_shapes(
    kind: str, inputs: Inputs, constants: Constants, attributes: dict[str, Any]
) -> None:
    model = graph(kind, inputs, constants, **attributes)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {name: np.ones(shape, bool if name == "c" else np.float32) for name, shape in inputs.items()}
    assert session.run(None, feed)[0].shape == inferred(model, inputs)["y"]


def test_a_suppression_has_its_largest_shape_and_its_work_grows_with_the_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    constants = {"most": np.int64([9]), "iou": np.float32([0.5])}
    inputs = {"boxes": (1, 40, 4), "scores": (1, 3, 40)}
    model = graph("NonMaxSuppression", inputs, constants)
    assert inferred(model, inputs)["y"] == (120, 3)
    monkeypatch.setattr(onnx_operators, "MAX_WORK", (1 << 20, 400))
    many = {"boxes": (1, 4000, 4), "scores": (1, 1, 4000)}
    with pytest.raises(ValueError, match="'NonMaxSuppression' needs more time"):
        inferred(graph("NonMaxSuppression", many, constants), many)


def test_shapes_follow_from_the_batch_through_shape_and_concat() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "sides"], ["wanted"], axis=0),
        helper.make_node("Expand", ["row", "wanted"], ["y"]),
    ]
    tensors = [
        numpy_helper.from_array(np.int64([4]), "sides"),
        numpy_helper.from_array(np.zeros((1, 4), np.float32), "row"),
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGE)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph(nodes, "g", [value], [output], tensors))
    assert inferred(model, {"x": IMAGE})["y"] == (2, 4)
    model.graph.node[0].op_type = "Relu"  # numbers that the image decides
    del model.graph.node[0].attribute[:]
    with pytest.raises(ValueError, match="'Expand' does not fit its inputs"):
        inferred(model, {"x": (1,)})


@pytest.mark.parametrize(
    ("kind", "inputs", "constants", "attributes"),
    [
        ("Expand", {"x": IMAGE}, {"shape": [5, 1, 1, 1]}, {}),
        ("Gather", {"x": IMAGE, "index": (3,)}, {}, {"axis": 4}),
        ("GatherElements", {"x": (2, 6), "index": (3, 6)}, {}, {"axis": 1}),
        ("GatherElements", {"x": (2, 6), "index": (6,)}, {}, {}),
        ("GatherND", {"x": (2, 6), "index": (3, 3)}, {}, {}),
        ("GatherND", {"x": (2, 6), "index": (2, 1)}, {}, {"batch_dims": 1}),
        ("ScatterElements", {"x": (7,), "index": (3,), "updates": (2,)}, {}, {}),
        ("ScatterElements", {"x": (7,), "index": (3, 1), "updates": (3, 1)}, {}, {}),
        ("TopK", {"x": IMAGE}, {"count": [7]}, {"axis": 1}),
        ("TopK", {"x": IMAGE}, {"count": [-1]}, {"axis": 1}),
        ("TopK", {"x": IMAGE, "count": (1,)}, {}, {"axis": 1}),
        ("ArgMax", {"x": IMAGE}, {}, {"axis": 4}),
        ("Resize", {"x": IMAGE}, {"sizes": [2, 7, 9, 8]}, {"order": "x - - sizes"}),
        ("Resize", {"x": IMAGE}, {"sizes": [9, 8]}, {"order": "x - - sizes", "axes": [2, 3]}),
        ("Resize", {"x": IMAGE}, {"sizes": [2, 6, 1, 1]}, {"order": "x - - sizes", "antialias": 1}),
        ("Resize", {"x": IMAGE, "sizes": (4,)}, {}, {"order": "x - - sizes"}),
        ("NonMaxSuppression", {"boxes": (1, 40, 4), "scores": (1, 3, 41)}, {}, {}),
        ("NonMaxSuppression", {"boxes": (1, 40, 5), "scores": (1, 3, 40)}, {}, {}),
        ("RoiAlign", {"x": IMAGE, "rois": (5, 4), "owners": (5,)}, {}, {"output_height": 7}),
        ("RoiAlign", {"x": IMAGE, "rois": (5, 4), "owners": (4,)}, {}, {"sampling_ratio": 2}),
    ],
)
def test_what_does_not_fit_or_has_no_bound_is_refused(
    kind: str, inputs: Inputs, constants: Constants, attributes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=f"the operator '{kind}' does not fit its inputs"):
        inferred(graph(kind, inputs, constants, **attributes), inputs)


@pytest.mark.parametrize(
    ("kind", "inputs", "constants", "attributes"),
    [
        ("Expand", {"x": (2, 1)}, {"shape": [2, 10**9]}, {}),
        ("Resize", {"x": IMAGE}, {"sizes": [2, 6, 10**5, 10**5]}, {"order": "x - - sizes"}),
        ("RoiAlign", {"x": IMAGE, "rois": (5, 4), "owners": (5,)}, {}, {"output_height": 10**9, "sampling_ratio": 1}),
    ],
)
def test_what_needs_too_much_memory_is_refused(
    kind: str, inputs: Inputs, constants: Constants, attributes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=f"'{kind}' needs more memory"):
        inferred(graph(kind, inputs, constants, **attributes), inputs)


def test_a_classifier_may_have_none_of_them() -> None:
    assert not set(onnx_head_operators.RULES) & set(onnx_operators.RULES)
    model = onnx_proto.parse(graph("Floor", {"x": IMAGE}, {}).SerializeToString())
    assert list(onnx_checks.dangers(model)) == ["the operator 'Floor', which no export needs"]
    assert list(onnx_checks.dangers(model, known=onnx_head_operators.RULES)) == []


@pytest.mark.parametrize("scale", [np.inf, -np.inf, np.nan, 1e30, -1.0])
def test_a_resize_by_a_scale_that_is_no_scale_is_refused(scale: float) -> None:
    scales = np.float32([1, 1, scale, 1])
    model = graph("Resize", {"x": IMAGE}, {"scales": scales}, order="x - scales")
    with pytest.raises(ValueError, match=r"the operator 'Resize' (does not fit|has a negative|needs more memory)"):
        inferred(model, {"x": IMAGE})


@pytest.mark.parametrize(
    ("kind", "constants", "attributes"),
    [
        ("Expand", {"shape": [2**63 - 1, 1, 1, 1, 1]}, {}),
        ("Resize", {"sizes": [2, 6, 2**63 - 1, 2**63 - 1]}, {"order": "x - - sizes"}),
        ("Gather", {"index": np.zeros((9, 9), np.int64)}, {"axis": -5}),
        ("TopK", {"count": [1, 2]}, {"axis": 1}),
        ("TopK", {"count": [2**63 - 1]}, {"axis": 1}),
        ("Expand", {"shape": [0.5]}, {}),
    ],
)
def test_numbers_at_the_edge_of_int64_are_refused_and_crash_nothing(
    kind: str, constants: Constants, attributes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=f"the operator '{kind}' (does not fit its inputs|needs more memory)"):
        inferred(graph(kind, {"x": IMAGE}, constants, **attributes), {"x": IMAGE})


def test_a_detail_of_the_largest_legal_size_is_allowed() -> None:
    for count in (0, 6):
        assert inferred(graph("TopK", {"x": IMAGE}, {"count": [count]}, axis=1), {"x": IMAGE})["z"] == (2, count, 9, 8)
    gathered = graph("GatherElements", {"x": (2, 6)}, {"index": np.zeros((2, 99), np.int64)}, axis=1)
    assert inferred(gathered, {"x": (2, 6)})["y"] == (2, 99)
