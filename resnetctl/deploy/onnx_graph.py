"""What an ONNX file holds, read without the onnx package, and what in it is a danger. Imports no torch.

`MESSAGES` is onnx.proto (github.com/onnx/onnx) without devices and sharding, which no file of ours has: a field that
is not in the table is refused, so nothing can hide in one.

Shapes: S pixels a side, C channels, K classes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.deploy.protobuf import Field, Malformed, Message, Messages, read
from resnetctl.spec import ImageSpec

INPUT, LOGITS, PROBABILITIES = "pixel_values", "logits", "probabilities"
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # what onnxruntime has by itself
MAX_RANK = 8  # sides of a tensor
FLOAT, BFLOAT16 = 1, 16  # numbers of TensorProto.DataType
# the types that weights come in: numpy's name, and the field that holds them when raw_data does not
DTYPES = {
    1: ("<f4", "float_data"),
    2: ("u1", "int32_data"),
    3: ("i1", "int32_data"),
    4: ("<u2", "int32_data"),
    5: ("<i2", "int32_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("?", "int32_data"),
    10: ("<f2", "int32_data"),
    11: ("<f8", "double_data"),
    12: ("<u4", "uint64_data"),
    13: ("<u8", "uint64_data"),
    16: ("<u2", "int32_data"),
}
FIELDS = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
EMPTY = Message("", {}, 0, 0)

_REMARKS = Field("metadata_props", "StringStringEntryProto", many=True)
_TEXT = Field("doc_string", "string")
MESSAGES: Messages = {
    "ModelProto": {
        1: Field("ir_version", "int64"),
        2: Field("producer_name", "string"),
        3: Field("producer_version", "string"),
        4: Field("domain", "string"),
        5: Field("model_version", "int64"),
        6: _TEXT,
        7: Field("graph", "GraphProto"),
        8: Field("opset_import", "OperatorSetIdProto", many=True),
        14: _REMARKS,
        20: Field("training_info", "TrainingInfoProto", many=True),
        25: Field("functions", "FunctionProto", many=True),
    },
    "OperatorSetIdProto": {1: Field("domain", "string"), 2: Field("version", "int64")},
    "StringStringEntryProto": {1: Field("key", "string"), 2: Field("value", "string")},
    "GraphProto": {
        1: Field("node", "NodeProto", many=True),
        2: Field("name", "string"),
        5: Field("initializer", "TensorProto", many=True),
        10: _TEXT,
        11: Field("input", "ValueInfoProto", many=True),
        12: Field("output", "ValueInfoProto", many=True),
        13: Field("value_info", "ValueInfoProto", many=True),
        14: Field("quantization_annotation", "TensorAnnotation", many=True),
        15: Field("sparse_initializer", "SparseTensorProto", many=True),
        16: _REMARKS,
    },
    "NodeProto": {
        1: Field("input", "string", many=True),
        2: Field("output", "string", many=True),
        3: Field("name", "string"),
        4: Field("op_type", "string"),
        5: Field("attribute", "AttributeProto", many=True),
        6: _TEXT,
        7: Field("domain", "string"),
        8: Field("overload", "string"),
        9: _REMARKS,
    },
    "AttributeProto": {
        1: Field("name", "string"),
        2: Field("f", "float"),
        3: Field("i", "int64"),
        4: Field("s", "bytes"),
        5: Field("t", "TensorProto"),
        6: Field("g", "GraphProto"),
        7: Field("floats", "float", many=True),
        8: Field("ints", "int64", many=True),
        9: Field("strings", "bytes", many=True),
        10: Field("tensors", "TensorProto", many=True),
        11: Field("graphs", "GraphProto", many=True),
        13: _TEXT,
        14: Field("tp", "TypeProto"),
        15: Field("type_protos", "TypeProto", many=True),
        20: Field("type", "enum"),
        21: Field("ref_attr_name", "string"),
        22: Field("sparse_tensor", "SparseTensorProto"),
        23: Field("sparse_tensors", "SparseTensorProto", many=True),
    },
    "TensorProto": {
        1: Field("dims", "int64", many=True),
        2: Field("data_type", "int32"),
        3: Field("segment", "Segment"),
        4: Field("float_data", "float", many=True),
        5: Field("int32_data", "int32", many=True),
        6: Field("string_data", "bytes", many=True),
        7: Field("int64_data", "int64", many=True),
        8: Field("name", "string"),
        9: Field("raw_data", "bytes"),
        10: Field("double_data", "double", many=True),
        11: Field("uint64_data", "uint64", many=True),
        12: _TEXT,
        13: Field("external_data", "StringStringEntryProto", many=True),
        14: Field("data_location", "enum"),
        16: _REMARKS,
    },
    "Segment": {1: Field("begin", "int64"), 2: Field("end", "int64")},
    "SparseTensorProto": {
        1: Field("values", "TensorProto"),
        2: Field("indices", "TensorProto"),
        3: Field("dims", "int64", many=True),
    },
    "TensorAnnotation": {
        1: Field("tensor_name", "string"),
        2: Field("quant_parameter_tensor_names", "StringStringEntryProto", many=True),
    },
    "ValueInfoProto": {1: Field("name", "string"), 2: Field("type", "TypeProto"), 3: _TEXT, 4: _REMARKS},
    "TypeProto": {
        1: Field("tensor_type", "Tensor"),
        4: Field("sequence_type", "Sequence"),
        5: Field("map_type", "Map"),
        6: Field("denotation", "string"),
        7: Field("opaque_type", "Opaque"),
        8: Field("sparse_tensor_type", "SparseTensor"),
        9: Field("optional_type", "Optional"),
    },
    "Tensor": {1: Field("elem_type", "int32"), 2: Field("shape", "TensorShapeProto")},
    "SparseTensor": {1: Field("elem_type", "int32"), 2: Field("shape", "TensorShapeProto")},
    "Sequence": {1: Field("elem_type", "TypeProto")},
    "Optional": {1: Field("elem_type", "TypeProto")},
    "Map": {1: Field("key_type", "int32"), 2: Field("value_type", "TypeProto")},
    "Opaque": {1: Field("domain", "string"), 2: Field("name", "string")},
    "TensorShapeProto": {1: Field("dim", "Dimension", many=True)},
    "Dimension": {1: Field("dim_value", "int64"), 2: Field("dim_param", "string"), 3: Field("denotation", "string")},
    "TrainingInfoProto": {
        1: Field("initialization", "GraphProto"),
        2: Field("algorithm", "GraphProto"),
        3: Field("initialization_binding", "StringStringEntryProto", many=True),
        4: Field("update_binding", "StringStringEntryProto", many=True),
    },
    "FunctionProto": {
        1: Field("name", "string"),
        4: Field("input", "string", many=True),
        5: Field("output", "string", many=True),
        6: Field("attribute", "string", many=True),
        7: Field("node", "NodeProto", many=True),
        8: _TEXT,
        9: Field("opset_import", "OperatorSetIdProto", many=True),
        10: Field("domain", "string"),
        11: Field("attribute_proto", "AttributeProto", many=True),
        12: Field("value_info", "ValueInfoProto", many=True),
        13: Field("overload", "string"),
        14: _REMARKS,
    },
}


def model(data: bytes) -> Message:
    """The ModelProto. Raises `wire.Malformed`."""
    return read(data, "ModelProto", messages=MESSAGES)


def properties(found: Message) -> dict[str, str]:
    """The metadata. Raises `wire.Malformed` when a key comes twice: readers differ in which one counts."""
    pairs = [(item.one("key", ""), item.one("value", "")) for item in found.all("metadata_props")]
    whole = dict(pairs)
    if len(whole) != len(pairs):
        raise Malformed("a key of its metadata comes twice")
    return whole


def dangers(found: Message) -> Iterator[str]:
    """What a residual network has no use for and an attacker has, wherever in the file it is."""
    for message in found.walk():
        if message.kind == "TensorProto" and (message.all("external_data") or message.one("data_location", 0)):
            yield "external data: its weights lie in another file"
        elif message.kind in ("OperatorSetIdProto", "NodeProto") and message.one("domain", "") not in DOMAINS:
            yield f"operators of the domain '{message.one('domain', '')}'"
        elif message.kind == "FunctionProto":
            yield "functions of its own"
        elif message.kind == "AttributeProto" and (message.all("g") or message.all("graphs")):
            yield "control flow: loops and branches have no place in a residual network"
        elif message.kind == "TrainingInfoProto":
            yield "training information"
        elif message.kind == "SparseTensorProto":
            yield "sparse weights: a few bytes can stand for any amount of memory"


def digest(data: bytes, found: Message, *, without: str) -> str:
    """SHA-256 of `data` but for its metadata entry `without`: no ONNX tool sees a flipped bit in a weight."""
    held = [item for item in found.all("metadata_props") if item.one("key", "") == without]
    total = hashlib.sha256()
    place = 0
    for item in held:
        total.update(memoryview(data)[place : item.start])
        place = item.end
    total.update(memoryview(data)[place:])
    return total.hexdigest()


def check_numbers(found: Message) -> None:
    """Every tensor holds as many numbers as its shape says, and they are finite. Raises `ValueError`."""
    for message in found.walk():
        if message.kind == "TensorProto" and not np.isfinite(_numbers(message)).all():
            raise ValueError(f"'{message.one('name', '')}' holds NaN or infinity")


def check_interface(found: Message, image: ImageSpec, *, classes: int) -> None:
    """One input of (batch, C, S, S), outputs of (batch, K), all float32. Raises `ValueError`."""
    graph = found.one("graph", EMPTY)
    constants = {item.one("name", "") for item in graph.all("initializer")}
    inputs = [item for item in graph.all("input") if item.one("name", "") not in constants]
    outputs = graph.all("output")
    wanted: Mapping[str, list[int]] = {
        INPUT: [image.channels, image.size, image.size],
        LOGITS: [classes],
        PROBABILITIES: [classes],
    }
    if [item.one("name", "") for item in (*inputs, *outputs)] != list(wanted) or len(inputs) != 1:
        raise ValueError(f"its input must be '{INPUT}', its outputs '{LOGITS}' and '{PROBABILITIES}'")
    for item, sides in zip((*inputs, *outputs), wanted.values(), strict=True):
        if _tensor_type(item) != (FLOAT, sides):
            raise ValueError(f"'{item.one('name', '')}' is not float32 of (batch, {', '.join(map(str, sides))})")


def _tensor_type(item: Message) -> tuple[int, list[int]]:
    """Element type and sides behind the batch, of a ValueInfoProto."""
    for name in ("type", "tensor_type"):
        item = item.one(name, EMPTY)
    shape = item.one("shape", EMPTY)
    return item.one("elem_type", 0), [side.one("dim_value", 0) for side in shape.all("dim")[1:]]


def _numbers(tensor: Message) -> NDArray[Any]:
    """The numbers of a TensorProto, flat; bfloat16 as its upper half of a float32 would be."""
    name, kind, sides = tensor.one("name", ""), tensor.one("data_type", 0), tensor.all("dims")
    if kind not in DTYPES or len(sides) > MAX_RANK or any(side < 0 for side in sides):
        raise ValueError(f"'{name}' is not a tensor of numbers")
    dtype, typed = DTYPES[kind]
    present = [held for held in FIELDS if tensor.all(held)]
    if not set(present) <= {"raw_data", typed} or len(present) > 1:
        raise ValueError(f"'{name}' holds its numbers in the wrong place")
    numbers = _held(tensor, present[0], dtype) if present else np.empty(0, dtype)
    if numbers.size != math.prod(sides):
        raise ValueError(f"'{name}' does not hold as many numbers as its shape says")
    return (numbers.astype("<u4") << 16).view("<f4") if kind == BFLOAT16 else numbers


def _held(tensor: Message, field: str, dtype: str) -> NDArray[Any]:
    """The numbers in one field, which has some."""
    if field in ("raw_data", "float_data", "double_data"):
        raw = b"".join(tensor.all(field)) if len(tensor.all(field)) > 1 else tensor.all(field)[0]
        return np.frombuffer(raw, dtype)
    if dtype == "<f2":  # int32_data has its bits
        return np.array(tensor.all(field), "<u2").view(dtype)
    return np.array(tensor.all(field), dtype)
