"""The messages of an ONNX file as a table, and a parser that needs neither the onnx package nor torch.

`MESSAGES` is onnx.proto (github.com/onnx/onnx) without devices and sharding, which our files never use. The parser
refuses a field that is not in the table, so nothing can hide in one.
"""

from __future__ import annotations

import hashlib

from resnetctl.deploy.protobuf import Field, Malformed, Message, Messages, read

EMPTY = Message("", {}, 0, 0)  # stands for a message that is absent

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


def parse(data: bytes) -> Message:
    """Return the ModelProto in `data`. Raises `protobuf.Malformed`."""
    return read(data, "ModelProto", messages=MESSAGES)


def read_properties(data: bytes) -> dict[str, str]:
    """Return the metadata of a ModelProto without parsing its graph. Raises as `parse` and `properties`."""
    outside = {**MESSAGES["ModelProto"], 7: Field("graph", "bytes")}
    return properties(read(data, "ModelProto", messages={**MESSAGES, "ModelProto": outside}))


def properties(model: Message) -> dict[str, str]:
    """Return the metadata of a ModelProto.

    Raises:
        protobuf.Malformed: a key occurs twice; readers differ in which one they use.
    """
    pairs = [(item.one("key", ""), item.one("value", "")) for item in model.all("metadata_props")]
    table = dict(pairs)
    if len(table) != len(pairs):
        raise Malformed("a key of its metadata occurs twice")
    return table


def digest(data: bytes, model: Message, *, without: str) -> str:
    """Return the SHA-256 of `data` without the metadata entry `without`.

    ONNX has no checksum of its own: without this digest nobody would notice a flipped bit in a weight.
    """
    entries = [item for item in model.all("metadata_props") if item.one("key", "") == without]
    total = hashlib.sha256()
    position = 0
    for entry in entries:
        total.update(memoryview(data)[position : entry.start])
        position = entry.end
    total.update(memoryview(data)[position:])
    return total.hexdigest()
