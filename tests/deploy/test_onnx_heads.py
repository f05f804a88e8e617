"""A file of a network with a head has the outputs of its task, and operators that a classifier may not have."""

import dataclasses
import json
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.trained import card

from resnetctl.deploy import onnx_session
from resnetctl.deploy.onnx_card import CARD_KEY, outputs_of
from resnetctl.deploy.onnx_checks import check
from resnetctl.errors import UsageError, WeightsError
from resnetctl.spec import HeadCard, WeightsCard


def described(task: str = "segment") -> WeightsCard:
    return dataclasses.replace(card(), head=HeadCard(name="any", task=task))


def segmenter(
    weights: WeightsCard | None = None, *, task: str = "segment", output: str = "classes", **argmax: int
) -> onnx.ModelProto:
    """Return a 1x1 convolution whose largest output is the class of each pixel."""
    kernel = np.random.default_rng(0).normal(size=(3, 1, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["pixel_values", "kernel"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], [output], **({"axis": 1, "keepdims": 0} | argmax)),
    ]
    inputs = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 1, 8, 8])]
    outputs = [helper.make_tensor_value_info(output, TensorProto.INT64, ["batch", 8, 8])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    properties = {CARD_KEY: json.dumps((weights or described()).to_json()), "task": task}
    helper.set_model_props(model, properties)
    return model


def test_a_segmenter_is_accepted_and_runs() -> None:
    data = segmenter().SerializeToString()
    assert check(data, "net.onnx").weights.task == "segment"
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    (classes,) = onnx_session.from_bytes(data, "net.onnx").answer(images)
    assert (classes.shape, classes.dtype) == ((5, 8, 8), np.int64)


def test_outputs_are_named_by_the_task() -> None:
    names = [[item.name for item in outputs_of(weights)] for weights in (card(), described(), described("detect"))]
    assert names == [["logits", "probabilities"], ["classes"], ["boxes", "scores", "labels"]]
    with pytest.raises(UsageError, match="no task is called 'dream'"):
        outputs_of(described("dream"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": "labels"}, "its outputs must be classes"),
        ({"keepdims": 1}, "'classes' is not"),
        ({"axis": 2}, "'classes' is not of"),
        ({"weights": described("detect"), "task": "detect"}, "its outputs must be boxes, scores, labels"),
        ({"weights": described("detect")}, "its task is 'segment', its card is of 'detect'"),
        ({"weights": card()}, "is refused"),
        ({"task": "classify"}, "its task is 'classify', its card is of 'segment'"),
        ({"weights": described("dream"), "task": "dream"}, "no task is called 'dream'"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        check(segmenter(**changes).SerializeToString(), "net.onnx")


def test_a_large_output_is_refused() -> None:
    model = segmenter()
    model.graph.node.insert(1, helper.make_node("Expand", ["logits", "wide"], ["more"]))
    model.graph.initializer.append(numpy_helper.from_array(np.int64([1, 10**9, 1, 1]), "wide"))
    with pytest.raises(WeightsError, match=r"'Expand' (does not fit|needs more memory)"):
        check(model.SerializeToString(), "net.onnx")
