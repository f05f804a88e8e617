"""Our reading of ONNX against the onnx package: the same schema, and nothing dangerous that only onnx would see."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support.onnx_files import HARMS, small_model
from support.trained import IMAGE

from resnetctl.deploy import onnx_graph
from resnetctl.deploy import protobuf as wire

KINDS = {"int32", "int64", "uint64", "enum", "double", "float", "string", "bytes"}
ABSENT = {"configuration", "device_configurations"}  # devices and sharding


def described(descriptor: Any) -> dict[str, Any]:
    """Name to descriptor, of a message and all that its fields lead to."""
    found = {descriptor.name: descriptor}
    todo = [descriptor]
    while todo:
        for field in todo.pop().fields:
            inner = field.message_type
            if inner is not None and inner.name not in found and field.name not in ABSENT:
                found[inner.name] = inner
                todo.append(inner)
    return found


def test_the_table_is_that_of_onnx() -> None:
    official = described(onnx.ModelProto.DESCRIPTOR)
    assert official.keys() == onnx_graph.MESSAGES.keys()
    for name, fields in onnx_graph.MESSAGES.items():
        known = {field.number: field for field in official[name].fields if field.name not in ABSENT}
        assert fields.keys() == known.keys(), name
        for number, field in fields.items():
            other = known[number]
            kind = other.message_type.name if other.message_type else KIND_NAMES[other.type]
            assert field == (other.name, kind, other.is_repeated), (name, number)


KIND_NAMES = {1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 9: "string", 12: "bytes", 14: "enum"}


def test_the_kinds_have_wire_types() -> None:
    assert wire.WIRE_TYPES.keys() == set(KIND_NAMES.values()) == KINDS


def seen_by_onnx(model: onnx.ModelProto) -> bool:
    """Whether onnx itself finds external data or an operator that is not onnxruntime's own, anywhere."""

    def inside(message: Any) -> Iterator[Any]:
        yield message
        for descriptor, value in message.ListFields():
            if descriptor.message_type is not None:
                for item in value if descriptor.is_repeated else [value]:
                    yield from inside(item)

    return any(
        (isinstance(item, TensorProto) and (onnx.external_data_helper.uses_external_data(item) or item.external_data))
        or (isinstance(item, onnx.NodeProto | onnx.OperatorSetIdProto) and item.domain not in onnx_graph.DOMAINS)
        for item in inside(model)
    )


def refused(data: bytes) -> bool:
    try:
        return any(onnx_graph.dangers(onnx_graph.model(data)))
    except wire.Malformed:
        return True


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_every_harm_is_refused(harm: Any) -> None:
    model = small_model()
    assert not refused(model.SerializeToString())
    harm(model)
    assert refused(model.SerializeToString())


def test_whatever_onnx_sees_in_changed_files_is_refused() -> None:
    """Mutations of files with and without harm: flips, cuts, doubled and moved parts."""
    chance = random.Random(3)
    looked = agreed = 0
    for harm in (None, *HARMS):
        model = small_model()
        if harm is not None:
            harm(model)
        data = model.SerializeToString()
        for _ in range(150):
            changed = bytearray(data)
            place, other = sorted(chance.sample(range(len(data)), 2))
            match chance.randrange(4):
                case 0:
                    changed[place] ^= 1 << chance.randrange(8)
                case 1:
                    del changed[place : place + chance.randrange(1, 40)]
                case 2:
                    changed[place:place] = data[place : min(other, place + 60)]
                case 3:
                    changed[other:other] = data
            try:
                parsed = onnx.load_model_from_string(bytes(changed))
            except Exception:
                assert refused(bytes(changed)), "onnx cannot even read it"
                continue
            looked += 1
            if seen_by_onnx(parsed):
                agreed += 1
                assert refused(bytes(changed))
    assert looked > 500
    assert agreed > 200


@given(st.lists(st.integers(0, len(HARMS) - 1), min_size=1, max_size=3), st.integers(0, 9))
def test_harms_do_not_hide_each_other(which: list[int], extra: int) -> None:
    model = small_model()
    model.graph.node.extend(helper.make_node("Relu", ["flat"], [f"r{number}"]) for number in range(extra))
    for number in which:
        HARMS[number](model)
    assert refused(model.SerializeToString())


def test_a_plain_model_reads_the_same() -> None:
    model = small_model()
    found = onnx_graph.model(model.SerializeToString())
    graph = found.one("graph", None)
    assert [node.one("op_type", "") for node in graph.all("node")] == [node.op_type for node in model.graph.node]
    assert onnx_graph.properties(found) == {item.key: item.value for item in model.metadata_props}
    onnx_graph.check_numbers(found)
    onnx_graph.check_interface(found, IMAGE, classes=3)


def test_one_key_twice_is_refused() -> None:
    model = small_model()
    model.metadata_props.extend([model.metadata_props[0]])
    with pytest.raises(wire.Malformed, match="comes twice"):
        onnx_graph.properties(onnx_graph.model(model.SerializeToString()))


def numbers_of(tensor: TensorProto) -> None:
    model = small_model()
    model.graph.initializer.append(tensor)
    onnx_graph.check_numbers(onnx_graph.model(model.SerializeToString()))


TYPES = [number for number in onnx_graph.DTYPES if number != TensorProto.BOOL]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("raw", [True, False])
def test_tensors_of_every_type(kind: int, raw: bool) -> None:
    values = np.array([[1, 0, 3]], helper.tensor_dtype_to_np_dtype(kind))
    tensor = helper.make_tensor("t", kind, [1, 3], values.tobytes() if raw else values.ravel().tolist(), raw=raw)
    numbers_of(tensor)
    read = onnx_graph._numbers(wire.read(tensor.SerializeToString(), "TensorProto", messages=onnx_graph.MESSAGES))
    assert read.tolist() == numpy_helper.to_array(tensor).astype(float).ravel().tolist()


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16])
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(kind: int, raw: bool, bad: float) -> None:
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
        ({"dims": [1], "raw_data": b"1234", "float_data": [1]}, "wrong place"),
        ({"dims": [1], "double_data": [1]}, "wrong place"),
        ({"dims": [1], "string_data": [b"1234"]}, "wrong place"),
        ({"dims": [1], "int32_data": [300], "data_type": 2}, "out of bounds"),
    ],
)
def test_sizes_and_places(changes: dict[str, Any], match: str) -> None:
    with pytest.raises((ValueError, OverflowError), match=match):
        numbers_of(TensorProto(**{"name": "t", "data_type": TensorProto.FLOAT, **changes}))


def test_digest_leaves_out_one_entry_wherever_it_is() -> None:
    model = small_model(sealed=False)
    plain = model.SerializeToString()
    del model.metadata_props[:]
    model.metadata_props.add(key="digest", value="whatever")
    model.metadata_props.extend(onnx.load_model_from_string(plain).metadata_props)
    data = model.SerializeToString()
    wanted = onnx_graph.digest(plain, onnx_graph.model(plain), without="digest")
    assert onnx_graph.digest(data, onnx_graph.model(data), without="digest") == wanted
    assert onnx_graph.digest(data, onnx_graph.model(data), without="") != wanted


@pytest.mark.parametrize("graph", ["none", "no input", "two inputs", "no type", "one output"])
def test_another_interface(graph: str) -> None:
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
        onnx_graph.check_interface(onnx_graph.model(model.SerializeToString()), IMAGE, classes=3)


def test_a_constant_may_be_listed_as_an_input() -> None:
    model = small_model()
    model.graph.input.append(helper.make_tensor_value_info("weight", TensorProto.FLOAT, [64, 3]))
    onnx_graph.check_interface(onnx_graph.model(model.SerializeToString()), IMAGE, classes=3)
