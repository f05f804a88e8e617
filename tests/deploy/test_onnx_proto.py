"""Our table of ONNX messages equals that of the onnx package."""

from typing import Any

import onnx
import pytest
from support.onnx_files import small_model
from support.trained import card

from resnetctl.deploy import onnx_checks, onnx_proto
from resnetctl.deploy import protobuf as wire
from resnetctl.deploy.onnx_card import OnnxCard

KINDS = {"int32", "int64", "uint64", "enum", "double", "float", "string", "bytes"}

CARD = OnnxCard(weights=card(), weights_sha256="", gate={})
ABSENT = {"configuration", "device_configurations"}  # devices and sharding


def described(descriptor: Any) -> dict[str, Any]:
    """Return name to descriptor of a message and of every message inside it."""
    parsed = {descriptor.name: descriptor}
    todo = [descriptor]
    while todo:
        for field in todo.pop().fields:
            inner = field.message_type
            if inner is not None and inner.name not in parsed and field.name not in ABSENT:
                parsed[inner.name] = inner
                todo.append(inner)
    return parsed


def test_the_table_equals_onnx_proto() -> None:
    official = described(onnx.ModelProto.DESCRIPTOR)
    assert official.keys() == onnx_proto.MESSAGES.keys()
    for name, fields in onnx_proto.MESSAGES.items():
        known = {field.number: field for field in official[name].fields if field.name not in ABSENT}
        assert fields.keys() == known.keys(), name
        for number, field in fields.items():
            other = known[number]
            kind = other.message_type.name if other.message_type else KIND_NAMES[other.type]
            assert field == (other.name, kind, other.is_repeated), (name, number)


KIND_NAMES = {1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 9: "string", 12: "bytes", 14: "enum"}


def test_every_kind_has_a_wire_type() -> None:
    assert wire.WIRE_TYPES.keys() == set(KIND_NAMES.values()) == KINDS


def test_a_plain_model_is_parsed_as_onnx_parses_it() -> None:
    model = small_model()
    parsed = onnx_proto.parse(model.SerializeToString())
    graph = parsed.one("graph", None)
    assert [node.one("op_type", "") for node in graph.all("node")] == [node.op_type for node in model.graph.node]
    assert onnx_proto.properties(parsed) == {item.key: item.value for item in model.metadata_props}
    assert onnx_proto.read_properties(model.SerializeToString()) == onnx_proto.properties(parsed)
    onnx_checks.check_numbers(parsed)
    onnx_checks.check_interface(parsed, CARD)


def test_a_metadata_key_that_occurs_twice_is_refused() -> None:
    model = small_model()
    model.metadata_props.extend([model.metadata_props[0]])
    with pytest.raises(wire.Malformed, match="occurs twice"):
        onnx_proto.properties(onnx_proto.parse(model.SerializeToString()))


def test_the_digest_leaves_out_one_entry_at_any_position() -> None:
    model = small_model(sealed=False)
    plain = model.SerializeToString()
    del model.metadata_props[:]
    model.metadata_props.add(key="digest", value="whatever")
    model.metadata_props.extend(onnx.load_model_from_string(plain).metadata_props)
    data = model.SerializeToString()
    wanted = onnx_proto.digest(plain, onnx_proto.parse(plain), without="digest")
    assert onnx_proto.digest(data, onnx_proto.parse(data), without="digest") == wanted
    assert onnx_proto.digest(data, onnx_proto.parse(data), without="") != wanted
