"""Hostile, damaged and foreign ONNX files are refused with a reason, before onnxruntime reads a byte."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support.onnx_files import (
    EXTERNAL,
    HARMS,
    add_property,
    devices,
    external_initializer,
    foreign_node,
    foreign_opset,
    function,
    loop,
    small_model,
    sparse,
    training,
)
from support.trained import card

from resnetctl.deploy import onnx_checks, onnx_proto, onnx_session
from resnetctl.deploy import protobuf as wire
from resnetctl.deploy.onnx_card import CARD_KEY, DIGEST_KEY, OnnxCard
from resnetctl.deploy.onnx_checks import check
from resnetctl.deploy.raw.writer import with_preprocessing
from resnetctl.errors import WeightsError
from resnetctl.hints import in_shell

Change = Callable[[onnx.ModelProto], None]

CARD = OnnxCard(weights=card(), weights_sha256="", gate={})


def has_danger_for_onnx(model: onnx.ModelProto) -> bool:
    """Return whether the onnx package finds external data or a foreign operator anywhere."""

    def inside(message: Any) -> Iterator[Any]:
        yield message
        for descriptor, value in message.ListFields():
            if descriptor.message_type is not None:
                for item in value if descriptor.is_repeated else [value]:
                    yield from inside(item)

    return any(
        (isinstance(item, TensorProto) and (onnx.external_data_helper.uses_external_data(item) or item.external_data))
        or (isinstance(item, onnx.NodeProto | onnx.OperatorSetIdProto) and item.domain not in onnx_checks.DOMAINS)
        for item in inside(model)
    )


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_every_harmful_change_is_refused(harm: Any) -> None:
    model = small_model()
    assert not is_refused(model.SerializeToString())
    harm(model)
    assert is_refused(model.SerializeToString())


def test_dangers_that_onnx_finds_in_mutated_files_are_refused() -> None:
    """Mutate harmless and harmful files: flip bits, cut, double and move parts."""
    random_source = random.Random(3)
    parsed_files = dangerous_files = 0
    for harm in (None, *HARMS):
        model = small_model()
        if harm is not None:
            harm(model)
        data = model.SerializeToString()
        for _ in range(150):
            changed = bytearray(data)
            place, other = sorted(random_source.sample(range(len(data)), 2))
            match random_source.randrange(4):
                case 0:
                    changed[place] ^= 1 << random_source.randrange(8)
                case 1:
                    del changed[place : place + random_source.randrange(1, 40)]
                case 2:
                    changed[place:place] = data[place : min(other, place + 60)]
                case 3:
                    changed[other:other] = data
            try:
                parsed = onnx.load_model_from_string(bytes(changed))
            except Exception:
                assert is_refused(bytes(changed)), "onnx cannot even read it"
                continue
            parsed_files += 1
            if has_danger_for_onnx(parsed):
                dangerous_files += 1
                assert is_refused(bytes(changed))
    assert parsed_files > 500
    assert dangerous_files > 200


@given(st.lists(st.integers(0, len(HARMS) - 1), min_size=1, max_size=3), st.integers(0, 9))
def test_harmful_changes_do_not_hide_each_other(which: list[int], extra: int) -> None:
    model = small_model()
    model.graph.node.extend(helper.make_node("Relu", ["flat"], [f"r{number}"]) for number in range(extra))
    for number in which:
        HARMS[number](model)
    assert is_refused(model.SerializeToString())


def numbers_of(tensor: TensorProto) -> None:
    model = small_model()
    model.graph.initializer.append(tensor)
    onnx_checks.check_numbers(onnx_proto.parse(model.SerializeToString()))


TYPES = [number for number in onnx_checks.DTYPES if number != TensorProto.BOOL]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("raw", [True, False])
def test_tensors_of_every_type_are_read_as_onnx_reads_them(kind: int, raw: bool) -> None:
    values = np.array([[1, 0, 3]], helper.tensor_dtype_to_np_dtype(kind))
    tensor = helper.make_tensor("t", kind, [1, 3], values.tobytes() if raw else values.ravel().tolist(), raw=raw)
    numbers_of(tensor)
    read = onnx_checks._numbers(wire.read(tensor.SerializeToString(), "TensorProto", messages=onnx_proto.MESSAGES))
    assert read.tolist() == numpy_helper.to_array(tensor).astype(float).ravel().tolist()


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16])
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_tensor_that_is_not_finite_is_refused(kind: int, raw: bool, bad: float) -> None:
    values = np.array([1, bad], helper.tensor_dtype_to_np_dtype(kind))
    content = values.tobytes() if raw else values.astype(float).tolist()
    with pytest.raises(ValueError, match="'t' holds NaN or infinity"):
        numbers_of(helper.make_tensor("t", kind, [2], content, raw=raw))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"dims": [10**12], "raw_data": b"1234"}, "as many numbers"),
        ({"dims": [2**62, 2**62], "raw_data": b""}, "as many numbers"),
        ({"dims": [2], "raw_data": b"1234"}, "as many numbers"),
        ({"dims": [1], "raw_data": b"123"}, "multiple of element size"),
        ({"dims": [-1], "raw_data": b""}, "not a tensor of numbers"),
        ({"dims": [1] * 9, "raw_data": b"1234"}, "not a tensor of numbers"),
        ({"dims": [1], "raw_data": b"1234", "data_type": 8}, "not a tensor of numbers"),
        ({"dims": [1], "raw_data": b"1234", "data_type": 0}, "not a tensor of numbers"),
        ({"dims": [1], "raw_data": b"1234", "float_data": [1]}, "wrong field"),
        ({"dims": [1], "double_data": [1]}, "wrong field"),
        ({"dims": [1], "string_data": [b"1234"]}, "wrong field"),
        ({"dims": [1], "int32_data": [300], "data_type": 2}, "out of bounds"),
    ],
)
def test_a_tensor_of_another_size_or_in_another_field_is_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises((ValueError, OverflowError), match=match):
        numbers_of(TensorProto(**{"name": "t", "data_type": TensorProto.FLOAT, **changes}))


@pytest.mark.parametrize("graph", ["none", "no input", "two inputs", "no type", "one output"])
def test_another_interface_is_refused(graph: str) -> None:
    model = small_model()
    if graph == "none":
        model.ClearField("graph")
    elif graph == "no input":
        del model.graph.input[0]
    elif graph == "two inputs":
        model.graph.input.append(model.graph.input[0])
    elif graph == "no type":
        model.graph.input[0].ClearField("type")
    else:
        del model.graph.output[0]
    with pytest.raises(ValueError, match=r"must be 'pixel_values'|is not float32"):
        onnx_checks.check_interface(onnx_proto.parse(model.SerializeToString()), CARD)


def test_a_constant_may_be_listed_as_an_input() -> None:
    model = small_model()
    model.graph.input.append(helper.make_tensor_value_info("weight", TensorProto.FLOAT, [64, 3]))
    onnx_checks.check_interface(onnx_proto.parse(model.SerializeToString()), CARD)


def is_refused(data: bytes) -> bool:
    try:
        return any(onnx_checks.dangers(onnx_proto.parse(data)))
    except wire.Malformed:
        return True


def refused(change: Change, match: str) -> WeightsError:
    """Return the error for an unsealed model after `change`."""
    model = small_model(sealed=False)
    change(model)
    with pytest.raises(WeightsError, match=match) as caught:
        onnx_session.from_bytes(model.SerializeToString(), "m.onnx")
    assert caught.value.where == "m.onnx"
    assert caught.value.exit_code == 3
    return caught.value


@pytest.mark.parametrize("change", EXTERNAL, ids=lambda change: change.__name__)
def test_external_data_is_refused_wherever_it_hides(change: Change) -> None:
    problems = refused(change, "refused").problems
    assert "external data: weights in another file" in problems


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (loop, "control flow"),
        (foreign_node, "operators of the domain 'evil.example'"),
        (foreign_opset, "operators of the domain 'evil.example'"),
        (function, "functions"),
        (training, "training"),
        (sparse, "sparse"),
    ],
)
def test_content_that_a_residual_network_does_not_need_is_refused(change: Change, problem: str) -> None:
    assert any(text.startswith(problem) for text in refused(change, "refused").problems)


@pytest.mark.parametrize(
    "kind",
    ["ConstantOfShape", "Expand", "OneHot", "Range", "Resize", "Tile", "RandomNormal", "RandomUniformLike", "Upsample",
     "NonZero", "EyeLike", "Constant", "QLinearConv", "TfIdfVectorizer", "STFT", "Bernoulli", "GatherND", "ScatterND"],
)  # fmt: skip
def test_an_operator_that_no_export_needs_is_refused(kind: str) -> None:
    def add(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(kind, ["flat"], ["large"]))

    assert refused(add, "refused").problems == (f"the operator '{kind}', which no export needs",)


def outer_product(model: onnx.ModelProto) -> None:
    """Make 40,000 x 40,000 values of two vectors, 6 GB of 300 kB."""
    long = np.zeros((40_000, 1), np.float32)
    model.graph.initializer.extend([numpy_helper.from_array(long, "a"), numpy_helper.from_array(long.T, "b")])
    model.graph.node.append(helper.make_node("MatMul", ["a", "b"], ["large"]))


def test_a_large_product_of_small_weights_is_refused() -> None:
    refused(outer_product, "'MatMul' needs more memory than a network for such images")


def test_a_file_that_gives_more_logits_than_it_states_is_refused() -> None:
    def widen(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((64, 20), np.float32), "weight"))

    refused(widen, "'logits' is not one number for each of the 3 classes")


def test_onnxruntime_prints_no_names_of_a_file(capfd: pytest.CaptureFixture[str]) -> None:
    def odd(model: onnx.ModelProto) -> None:
        model.graph.node.insert(1, helper.make_node("Tanh", ["count"], ["x"], name="\x1b[31mred"))
        model.graph.node.insert(1, helper.make_node("Cast", ["flat"], ["count"], to=TensorProto.INT64))

    refused(odd, "onnxruntime refuses the model")
    assert capfd.readouterr() == ("", "")


def test_an_unknown_field_is_refused() -> None:
    refused(devices, "not an ONNX file: ModelProto has no field 26")


def test_all_problems_are_listed_at_once() -> None:
    def several(model: onnx.ModelProto) -> None:
        loop(model)
        foreign_opset(model)
        external_initializer(model)

    assert len(refused(several, "refused").problems) == 4


def nan_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = np.full((64, 3), np.nan, np.float32).tobytes()


def giant_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 10**12


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Conjure"


def other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = model.graph.node[0].input[0] = "images"


def other_size(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9


def fewer_outputs(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


def other_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def broken_card(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = "{}"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (nan_weight, "NaN or infinity"),
        (giant_weight, "damaged"),
        (unknown_operator, "Conjure"),
        (other_input, "input must be 'pixel_values'"),
        (other_size, r"not float32 of \(batch, 1, 8, 8\)"),
        (fewer_outputs, "outputs 'logits' and 'probabilities'"),
        (other_type, "not float32"),
        (broken_card, "the card of the weights is broken: 'arch' is missing"),
    ],
)
def test_a_damaged_file_is_refused(change: Change, match: str) -> None:
    refused(change, match)


def test_another_class_count_than_in_the_card_is_refused() -> None:
    model = small_model(card(classes=("a", "b")))
    with pytest.raises(WeightsError, match="not float32 of"):
        check(model.SerializeToString(), "")


def test_a_raw_file_without_a_card_is_refused_for_that_and_still_for_harm() -> None:
    raw = onnx.load_from_string(with_preprocessing(small_model(card()).SerializeToString(), card().image))
    raw.ClearField("metadata_props")
    with pytest.raises(WeightsError, match="states neither its classes"):
        check(raw.SerializeToString(), "")
    raw.graph.node[0].op_type = "Loop"
    with pytest.raises(WeightsError, match="refused") as caught:
        check(raw.SerializeToString(), "")
    assert caught.value.problems == ("the operator 'Loop', which no export needs",)


def test_a_file_without_a_card_is_refused_with_advice() -> None:
    error = refused(lambda model: model.ClearField("metadata_props"), "states neither its classes")
    assert in_shell(error.hint[0]) == "resnetctl export RUN --onnx"
    assert CARD_KEY in error.hint[1]


def test_a_changed_weight_is_refused() -> None:
    model = small_model()
    raw = bytearray(model.graph.initializer[0].raw_data)
    raw[0] ^= 1
    model.graph.initializer[0].raw_data = bytes(raw)
    with pytest.raises(WeightsError, match="damaged or changed") as caught:
        check(model.SerializeToString(), "")
    assert DIGEST_KEY in caught.value.hint[1]


def test_a_file_without_a_digest_is_accepted() -> None:
    assert check(small_model(sealed=False).SerializeToString(), "").gate == {}


def test_a_changed_class_name_is_refused() -> None:
    data = small_model().SerializeToString()
    assert data.count(b"cow") == 1
    with pytest.raises(WeightsError, match="damaged or changed"):
        check(data.replace(b"cow", b"cat"), "")


def test_a_cut_file_is_refused() -> None:
    data = small_model().SerializeToString()
    for end in range(0, len(data), 97):
        with pytest.raises(WeightsError):
            check(data[:end], "")


@pytest.mark.parametrize("data", [b"", b"\x00" * 64, b"not onnx at all", b"PK\x03\x04" + b"0" * 50])
def test_a_file_of_another_kind_is_refused(data: bytes) -> None:
    with pytest.raises(WeightsError):
        check(data, "")


def test_a_file_with_two_cards_is_refused() -> None:
    refused(lambda model: add_property(model, CARD_KEY, "{}"), "occurs twice")
