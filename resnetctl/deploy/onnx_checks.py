"""Check an ONNX file before it may run. Imports no torch and no onnx.

A file is accepted only when it is one plain graph: no external data, no control flow, only operators whose memory and
time are known beforehand (`onnx_operators`), finite weights of the right size, the interface that its card states, and
a digest that matches.

Shapes: S pixels a side, C channels, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.deploy import onnx_card, onnx_head_operators, onnx_operators, onnx_proto
from resnetctl.deploy.onnx_card import (
    CARD_KEY,
    CONTRACT_KEY,
    CONTRACTS,
    DIGEST_KEY,
    IMAGE,
    INPUT,
    LOGITS,
    PROBABILITIES,
    VECTOR,
    Input,
    OnnxCard,
)
from resnetctl.deploy.onnx_proto import EMPTY
from resnetctl.deploy.protobuf import Malformed, Message
from resnetctl.deploy.raw.prefix import OPERATORS, network_after_preprocessing
from resnetctl.errors import WeightsError
from resnetctl.hints import Call

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # of the operators that onnxruntime itself has
MAX_RANK = 8  # dimensions of a tensor
FLOAT, UINT8, INT64, BFLOAT16 = 1, 2, 7, 16  # numbers of TensorProto.DataType
# The types of weights by number of TensorProto.DataType: numpy's dtype, and the field that holds the numbers when
# raw_data does not.
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


def check(data: bytes, where: str) -> OnnxCard:
    """Check everything that must hold before a model may run, and return its card.

    Args:
        data: the file's bytes.
        where: the file's name in errors.

    Raises:
        WeightsError: a check fails. The error lists all dangerous content at once.
    """
    try:
        model = onnx_proto.parse(data)
        properties = onnx_proto.properties(model)
    except Malformed as error:
        raise WeightsError(f"this is not an ONNX file: {error}", where=where) from None
    has_card = CARD_KEY in properties  # without one, no operator of raw files is the reason
    is_raw = properties.get(CONTRACT_KEY) == CONTRACTS["raw"]
    known = OPERATORS if is_raw or not has_card else frozenset[str]()
    if onnx_card.has_head(properties):
        known |= onnx_head_operators.RULES.keys()
    problems = list(dict.fromkeys(dangers(model, known=known)))
    if problems:
        raise WeightsError("the ONNX file is refused", where=where, problems=problems)
    if not has_card:
        raise WeightsError(
            "the ONNX file states neither its classes nor its preprocessing: resnetctl did not export it",
            where=where,
            hint=[
                Call("export", ("RUN",), {"onnx": True}),
                f"or add the metadata key '{CARD_KEY}' with a weights card as JSON",
            ],
        )
    if properties.get(DIGEST_KEY, "") not in ("", onnx_proto.digest(data, model, without=DIGEST_KEY)):
        raise WeightsError(  # a tool that changes the model on purpose removes the digest
            "the ONNX file was damaged or changed after its export",
            where=where,
            hint=["export or copy it again", f"a tool that changes it on purpose must remove the key '{DIGEST_KEY}'"],
        )
    try:
        check_numbers(model)
        card = onnx_card.from_properties(properties, where)
        if card.weights.task != properties.get("task", card.weights.task):
            raise ValueError(f"its task is '{properties['task']}', its card is of '{card.weights.task}'")
        check_interface(model, card)
        check_shapes(model, card)
    except WeightsError:
        raise
    except Exception as error:  # numpy and the card raise many kinds of errors on damaged content
        raise WeightsError(f"the ONNX file is damaged: {str(error) or type(error).__name__}", where=where) from None
    return card


def dangers(model: Message, *, known: Collection[str] = ()) -> Iterator[str]:
    """Yield everything in a ModelProto that a residual network does not need and an attacker could use.

    `known` are operators that it may have besides; a later check compares each of them.
    """
    allowed = {*onnx_operators.RULES, *known}
    for message in model.walk():
        if message.kind == "TensorProto" and (message.all("external_data") or message.one("data_location", 0)):
            yield "external data: weights in another file"
        elif message.kind in ("OperatorSetIdProto", "NodeProto") and message.one("domain", "") not in DOMAINS:
            yield f"operators of the domain '{message.one('domain', '')}'"
        elif message.kind == "NodeProto" and message.one("op_type", "") not in allowed:
            yield f"the operator '{message.one('op_type', '')}', which no export needs"
        elif message.kind == "FunctionProto":
            yield "functions of its own"
        elif message.kind == "AttributeProto" and (message.all("g") or message.all("graphs")):
            yield "control flow: a residual network has no loops or branches"
        elif message.kind == "TrainingInfoProto":
            yield "training information"
        elif message.kind == "SparseTensorProto":
            yield "sparse weights: a few bytes can stand for any amount of memory"


def check_numbers(model: Message) -> None:
    """Check that every tensor holds as many numbers as its shape states, all finite. Raises `ValueError`."""
    for message in model.walk():
        if message.kind == "TensorProto" and not np.isfinite(_numbers(message)).all():
            raise ValueError(f"'{message.one('name', '')}' holds NaN or infinity")


def check_interface(model: Message, card: OnnxCard) -> None:
    """Check for the inputs of the card's contract, and two float32 outputs (batch, K). Raises `ValueError`.

    The input is float32 (batch, C, S, S), or uint8 (batch, height, width, channels) of any size. A network that reads
    numbers has a second one, float32 (batch, D). A network with a head has the outputs of its task.
    """
    graph, image = model.one("graph", EMPTY), card.weights.image
    constants = {item.one("name", "") for item in graph.all("initializer")}
    inputs = [item for item in graph.all("input") if item.one("name", "") not in constants]
    outputs = graph.all("output")
    forms: Mapping[Input, tuple[str, int, list[int]]] = {
        "float": (INPUT, FLOAT, [image.channels, image.size, image.size]),
        "raw": (IMAGE, UINT8, [0, 0, 0]),
    }
    numbers = [len(card.weights.classes)]
    expected = [forms[card.input]]
    if columns := _columns(card):
        expected.append((VECTOR, FLOAT, [columns]))
    given = len(expected)
    if card.weights.head is None:
        expected += [(LOGITS, FLOAT, numbers), (PROBABILITIES, FLOAT, numbers)]
    else:
        _check_answer(outputs, card)
        outputs = []
    names = [name for name, _, _ in expected]
    if [item.one("name", "") for item in (*inputs, *outputs)] != names or len(inputs) != given:
        ends = f", its outputs '{LOGITS}' and '{PROBABILITIES}'" if card.weights.head is None else ""
        raise ValueError("its input must be " + " and ".join(f"'{name}'" for name in names[:given]) + ends)
    for item, (name, kind, sides) in zip((*inputs, *outputs), expected, strict=True):
        if _tensor_type(item) != (kind, sides):
            shape = ", ".join(map(str, sides)) if any(sides) else "any height, width and channels"
            raise ValueError(f"'{name}' is not {'float32' if kind == FLOAT else 'uint8'} of (batch, {shape})")


def _columns(card: OnnxCard) -> int:
    """Return how many numbers the network reads with each image."""
    return 0 if card.weights.vector is None else len(card.weights.vector.columns)


def _check_answer(outputs: Sequence[Message], card: OnnxCard) -> None:
    """Check for the outputs of the card's task: numbers, with as many dimensions. Raises `ValueError`."""
    wanted = onnx_card.outputs_of(card.weights)
    if [item.one("name", "") for item in outputs] != [item.name for item in wanted]:
        raise ValueError(f"its outputs must be {', '.join(item.name for item in wanted)}")
    for item, output in zip(outputs, wanted, strict=True):
        kind, sides = _tensor_type(item)
        if kind not in (FLOAT, INT64) or len(sides) != len(output.shape) - 1:
            raise ValueError(f"'{output.name}' is not a number for each of ({', '.join(output.shape)})")


def check_shapes(model: Message, card: OnnxCard) -> None:
    """Check that the network gives K logits an image, in bounded memory and time. Raises `ValueError`.

    The preprocessing of a raw file is not inferred: it must be the one that this version writes.
    """
    graph, image = model.one("graph", EMPTY), card.weights.image
    if card.input == "raw":
        graph = network_after_preprocessing(graph, image, read=_numbers)
    pixels = (onnx_operators.BATCH, image.channels, image.size, image.size)
    columns = {VECTOR: (onnx_operators.BATCH, _columns(card))} if _columns(card) else {}
    shapes = onnx_operators.infer(graph, {INPUT: pixels, **columns}, read=_numbers)
    if card.weights.head is not None:
        _check_answer_shapes(shapes, card)
        return
    for name in (LOGITS, PROBABILITIES):
        if shapes.get(name) != (onnx_operators.BATCH, len(card.weights.classes)):
            raise ValueError(f"'{name}' is not one number for each of the {len(card.weights.classes)} classes")


def _check_answer_shapes(shapes: Mapping[str, tuple[int, ...]], card: OnnxCard) -> None:
    """Check the shapes of a task's outputs: what has one name has one size. Raises `ValueError`.

    A dimension that is a number has it; "height" and "width" are those of the image.
    """
    side = card.weights.image.size
    known = {"batch": onnx_operators.BATCH, "height": side, "width": side}
    for output in onnx_card.outputs_of(card.weights):
        shape = shapes.get(output.name, ())
        wanted = [int(name) if name.isdigit() else known.get(name) for name in output.shape]
        fits = len(shape) == len(wanted) and all(map(_is_or_free, shape, wanted))
        if not fits:
            raise ValueError(f"'{output.name}' is not of ({', '.join(output.shape)}), it has the shape {shape}")
        known.update(zip(output.shape, shape, strict=True))


def _is_or_free(side: int, wanted: int | None) -> bool:
    return wanted is None or side == wanted


def _tensor_type(item: Message) -> tuple[int, list[int]]:
    """Return the element type of a ValueInfoProto and its dimensions after the batch."""
    for name in ("type", "tensor_type"):
        item = item.one(name, EMPTY)
    shape = item.one("shape", EMPTY)
    return item.one("elem_type", 0), [side.one("dim_value", 0) for side in shape.all("dim")[1:]]


def _numbers(tensor: Message) -> NDArray[Any]:
    """Return the numbers of a TensorProto, flat. A bfloat16 is the upper half of a float32."""
    name, kind, sides = tensor.one("name", ""), tensor.one("data_type", 0), tensor.all("dims")
    if kind not in DTYPES or len(sides) > MAX_RANK or any(side < 0 for side in sides):
        raise ValueError(f"'{name}' is not a tensor of numbers")
    dtype, typed = DTYPES[kind]
    present = [field for field in FIELDS if tensor.all(field)]
    if not set(present) <= {"raw_data", typed} or len(present) > 1:
        raise ValueError(f"'{name}' holds its numbers in the wrong field")
    numbers = _of_field(tensor, present[0], dtype) if present else np.empty(0, dtype)
    if numbers.size != math.prod(sides):
        raise ValueError(f"'{name}' does not hold as many numbers as its shape states")
    return (numbers.astype("<u4") << 16).view("<f4") if kind == BFLOAT16 else numbers


def _of_field(tensor: Message, field: str, dtype: str) -> NDArray[Any]:
    """Return the numbers in a field that the TensorProto has."""
    if field in ("raw_data", "float_data", "double_data"):
        chunks = tensor.all(field)
        return np.frombuffer(b"".join(chunks) if len(chunks) > 1 else chunks[0], dtype)
    if dtype == "<f2":  # int32_data holds the bits of a float16
        return np.array(tensor.all(field), "<u2").view(dtype)
    return np.array(tensor.all(field), dtype)
