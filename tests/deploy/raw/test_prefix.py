"""The strict reader accepts one preprocessing: the one that the card asks for. Any other is refused, and named."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from support.raw_files import raw_file

from resnetctl.deploy.onnx_card import CARD_KEY, CONTRACT_KEY, DIGEST_KEY
from resnetctl.deploy.onnx_checks import check
from resnetctl.deploy.onnx_operators import RULES
from resnetctl.deploy.raw.contract import preprocessing
from resnetctl.deploy.raw.prefix import OPERATORS
from resnetctl.errors import WeightsError
from resnetctl.spec import ImageSpec

Change = Callable[[onnx.ModelProto], None]


def refused(change: Change) -> str:
    model = onnx.load_model_from_string(raw_file())
    change(model)
    kept = {item.key: item.value for item in model.metadata_props if item.key != DIGEST_KEY}
    helper.set_model_props(model, kept)
    with pytest.raises(WeightsError) as caught:
        check(model.SerializeToString(), "")
    return " ".join([caught.value.message, *caught.value.problems])


def test_a_raw_file_is_accepted() -> None:
    assert check(raw_file(), "").input == "raw"


def test_the_reader_knows_the_operators_that_the_preprocessing_needs_and_no_more() -> None:
    specs = [ImageSpec(size=8, interpolation=name) for name in ("bilinear", "bicubic", "lanczos")]
    specs += [ImageSpec(size=8, fit="pad"), ImageSpec(size=8, channels=1, mean=(0.5,), std=(0.5,))]
    used = {step.kind for spec in specs for step in preprocessing(spec).steps}
    assert used - set(RULES) == OPERATORS


def node_of(model: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == kind)


def other_operator(model: onnx.ModelProto) -> None:
    node_of(model, "Floor").op_type = "Round"


def other_wiring(model: onnx.ModelProto) -> None:
    node = node_of(model, "Sub")
    node.input[:] = [node.input[1], node.input[0]]


def other_attribute(model: onnx.ModelProto) -> None:
    node_of(model, "Gather").attribute[0].i = 1


def attribute_of_another_type(model: onnx.ModelProto) -> None:
    node = node_of(model, "Gather")
    node.attribute.add().CopyFrom(helper.make_attribute("note", "text"))


def comment(model: onnx.ModelProto) -> None:
    node_of(model, "Gather").doc_string = "hidden"


@pytest.mark.parametrize(
    "change",
    [other_operator, other_wiring, other_attribute, attribute_of_another_type, comment],
    ids=lambda f: f.__name__,
)
def test_a_changed_operator_is_named(change: Change) -> None:
    message = refused(change)
    assert "the operator 'prep/" in message
    assert "differs from the contract" in message


def test_a_large_range_after_the_preprocessing_is_refused() -> None:
    def bomb(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(1e12), "many"))
        ends = ["prep/constant_1", "many", "prep/constant_1"]
        model.graph.node.append(helper.make_node("Range", ends, ["large"], name="bomb"))

    assert "the operator 'bomb'" in refused(bomb)


def test_a_file_without_its_last_step_is_refused() -> None:
    def cut(model: onnx.ModelProto) -> None:
        del model.graph.node[5:]

    assert "more or fewer parts" in refused(cut)


def test_another_constant_is_refused() -> None:
    def added(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(1.0), "prep/extra"))

    assert "more or fewer parts" in refused(added)


@pytest.mark.parametrize("kind", ["value", "shape", "type"])
def test_a_changed_constant_is_named_with_its_operator(kind: str) -> None:
    def changed(model: onnx.ModelProto) -> None:
        tensor = next(item for item in model.graph.initializer if item.data_type == onnx.TensorProto.DOUBLE)
        array = numpy_helper.to_array(tensor)
        other = {"value": array + 1, "shape": array[None], "type": array.astype(np.float32)}[kind]
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(other), tensor.name))

    message = refused(changed)
    assert "the constant 'prep/constant_" in message
    assert "of the operator 'prep/" in message


def test_a_float_file_may_not_have_these_operators() -> None:
    def as_float(model: onnx.ModelProto) -> None:
        next(item for item in model.metadata_props if item.key == CONTRACT_KEY).value = "float/1"

    assert "the operator 'Range', which no export needs" in refused(as_float)


def test_a_contract_of_a_later_version_is_refused() -> None:
    def later(model: onnx.ModelProto) -> None:
        del model.graph.node[:]
        next(item for item in model.metadata_props if item.key == CONTRACT_KEY).value = "raw/2"

    assert "the contract 'raw/2', only float/1 and raw/1" in refused(later)


def test_a_card_that_no_file_can_prepare_is_refused() -> None:
    def nearest(model: onnx.ModelProto) -> None:
        entry = next(item for item in model.metadata_props if item.key == CARD_KEY)
        entry.value = entry.value.replace("bilinear", "nearest")

    assert "no file can prepare images of 1 channel by nearest" in refused(nearest)
