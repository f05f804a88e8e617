"""The strict reader reads what protobuf writes, and refuses bytes that protobuf would accept."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.deploy import protobuf as wire
from resnetctl.deploy.protobuf import Field, Malformed, Message, read

MESSAGES = {
    "Top": {
        1: Field("number", "int64"),
        2: Field("text", "string"),
        3: Field("numbers", "int64", many=True),
        4: Field("inner", "Top", many=True),
        5: Field("small", "int32"),
        6: Field("unsigned", "uint64"),
        7: Field("floats", "float", many=True),
        8: Field("raw", "bytes"),
        9: Field("double", "double"),
        10: Field("choice", "enum"),
    }
}


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, wire_type: int, content: bytes) -> bytes:
    return varint(number << 3 | wire_type) + content


def sized(number: int, content: bytes) -> bytes:
    return field(number, wire.LENGTH, varint(len(content)) + content)


def top(data: bytes) -> Message:
    return read(data, "Top", messages=MESSAGES)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_int64_is_read_back(value: int) -> None:
    assert top(field(1, wire.VARINT, varint(value % 2**64))).one("number", None) == value


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_numbers_are_read_packed_or_one_by_one(values: list[int]) -> None:
    packed = sized(3, b"".join(varint(value % 2**64) for value in values))
    single = b"".join(field(3, wire.VARINT, varint(value % 2**64)) for value in values)
    assert top(packed).all("numbers") == top(single).all("numbers") == values
    assert top(packed + single).all("numbers") == values * 2


def test_every_kind_of_field_is_read() -> None:
    data = sized(2, "é".encode()) + field(5, wire.VARINT, varint(2**64 - 1)) + field(6, wire.VARINT, varint(2**64 - 1))
    data += sized(7, np.array([1, 2], "<f4").tobytes()) + field(7, wire.FIXED32, np.array([3], "<f4").tobytes())
    data += sized(8, b"\xff") + field(9, wire.FIXED64, np.array([0.1], "<f8").tobytes()) + field(10, 0, b"\x02")
    message = top(data)
    assert (message.one("text", ""), message.one("small", 0), message.one("unsigned", 0)) == ("é", -1, 2**64 - 1)
    assert np.frombuffer(b"".join(message.all("floats")), "<f4").tolist() == [1, 2, 3]
    assert (bytes(message.one("raw", b"")), message.one("choice", 0)) == (b"\xff", 2)
    assert np.frombuffer(message.one("double", b""), "<f8").tolist() == [0.1]


def test_an_absent_field_has_a_default() -> None:
    assert top(b"").one("number", 7) == 7
    assert top(b"").all("numbers") == []


def test_messages_know_their_position_and_are_walked() -> None:
    data = field(1, 0, b"\x05") + sized(4, sized(4, sized(2, b"deep"))) + sized(4, b"")
    message = top(data)
    assert [item.one("text", "") for item in message.walk()] == ["", "", "deep", ""]
    assert [(item.start, item.end) for item in message.all("inner")] == [(2, 12), (12, 14)]
    assert data[12:14] == sized(4, b"")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x08", "ends within a number"),
        (b"\x08\x80", "ends within a number"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "longer than it needs"),
        (b"\x08" + b"\x80" * 11 + b"\x01", "longer than 64 bits"),
        (b"\x08\x81\x00", "longer than it needs"),
        (b"\x88\x00\x01", "longer than it needs"),
        (sized(2, b"long")[:-1], "past the end"),
        (sized(4, b"\x12\x05ab"), "past the end"),
        (field(2, wire.LENGTH, varint(2**63)), "past the end"),
        (field(2, wire.LENGTH, varint(2**64 - 1)), "past the end"),
        (field(9, wire.FIXED64, b"1234567"), "past the end"),
        (field(11, 0, b"\x01"), "no field 11"),
        (field(0, 0, b"\x01"), "no field 0"),
        (field(2**29, 0, b"\x01"), "no field"),
        (field(1, 0, b"\x01") * 2, "'number' twice"),
        (sized(1, b"\x01"), "wire type 2"),
        (field(3, wire.FIXED64, b"12345678"), "wire type 1"),
        (field(4, 0, b"\x01"), "wire type 0"),
        (field(4, 3, field(4, 4, b"")), "wire type 3"),
        (field(1, 7, b"\x01"), "wire type 7"),
        (field(5, 0, varint(2**32 + 1)), "more than 32 bits"),
        (field(10, 0, varint(2**31)), "more than 32 bits"),
        (sized(2, b"\xff"), "not text"),
        (sized(7, b"12345"), "within a number"),
        (sized(3, b"\x80"), "ends within a number"),
    ],
)
def test_bytes_that_no_careful_writer_writes_are_malformed(data: bytes, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        top(data)


def test_nesting_and_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def nested(depth: int) -> bytes:
        data = b""
        for _ in range(depth):
            data = sized(4, data)
        return data

    assert len(list(top(nested(wire.MAX_DEPTH)).walk())) == wire.MAX_DEPTH + 1
    for depth in (wire.MAX_DEPTH + 1, 20_000):
        with pytest.raises(Malformed, match="nested"):
            top(nested(depth))
    monkeypatch.setattr(wire, "MAX_VALUES", 100)
    for data in (sized(3, b"\x01" * 101), sized(4, b"") * 101, sized(7, b"") * 101, field(3, 0, b"\x01") * 101):
        with pytest.raises(Malformed, match="more than 100 values"):
            top(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    try:
        top(data)
    except Malformed:
        return
    assert read(data, "Top", messages=MESSAGES) == top(data)


TEXT = st.text(max_size=8)
TENSORS = st.builds(
    onnx.TensorProto,
    dims=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    data_type=st.integers(-(2**31), 2**31 - 1),
    float_data=st.lists(st.floats(width=32), max_size=3),
    uint64_data=st.lists(st.integers(0, 2**64 - 1), max_size=3),
    string_data=st.lists(st.binary(max_size=5), max_size=3),
    name=TEXT,
    raw_data=st.binary(max_size=9),
)


@given(TENSORS)
def test_tensors_that_protobuf_writes_are_read_back(tensor: onnx.TensorProto) -> None:
    from resnetctl.deploy.onnx_proto import MESSAGES as ONNX

    message = read(tensor.SerializeToString(), "TensorProto", messages=ONNX)
    for descriptor in tensor.DESCRIPTOR.fields:
        wanted: Any = getattr(tensor, descriptor.name)
        values = message.all(descriptor.name)
        if descriptor.name == "float_data":
            assert b"".join(values) == np.array(wanted, "<f4").tobytes()
        elif descriptor.is_repeated:
            assert [bytes(item) if isinstance(item, memoryview) else item for item in values] == list(wanted)
        elif tensor.HasField(descriptor.name):
            assert values == [wanted]
