"""Check the preprocessing inside a raw file: it must be, operator for operator, the one that this version writes.

Its shapes depend on the picture, so no rule can bound its memory beforehand. Comparing it with what the card asks for
leaves nothing to bound: a file that hides something there is not equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.deploy.protobuf import Message
from resnetctl.deploy.raw.contract import PREFIX, is_raw, preprocessing
from resnetctl.deploy.raw.graph import TYPES, Step
from resnetctl.spec import ImageSpec
from resnetctl.wording import counted

INT, INTS = 2, 7  # numbers of AttributeProto.AttributeType
OPERATORS = frozenset(
    ("Range", "Equal", "Less", "Greater", "GreaterOrEqual", "And", "Floor", "Round", "Sign", "Sin")
)  # of the preprocessing, besides those that a network may have


def network_after_preprocessing(
    graph: Message, image: ImageSpec, *, read: Callable[[Message], NDArray[Any]]
) -> Message:
    """Return the GraphProto without its preprocessing. Raises `ValueError` where that differs from the contract.

    Args:
        image: the preprocessing that the card states.
        read: returns the numbers of a TensorProto.
    """
    if not is_raw(image):
        raise ValueError(f"no file can prepare images of {counted(image.channels, 'channel')} by {image.interpolation}")
    expected, nodes = preprocessing(image), graph.all("node")
    own = [item for item in graph.all("initializer") if item.one("name", "").startswith(f"{PREFIX}/")]
    for step, node in zip(expected.steps, nodes, strict=False):
        if _step(node) != step:
            raise ValueError(f"the operator '{step.name}' of the preprocessing differs from the contract")
    if len(nodes) < len(expected.steps) or len(own) != len(expected.constants):
        raise ValueError("the preprocessing has more or fewer parts than the contract")
    for item in own:
        name = item.one("name", "")
        if not _is_equal(item, expected.constants.get(name), read):
            user = next((step.name for step in expected.steps if name in step.inputs), "none")
            raise ValueError(f"the constant '{name}' of the operator '{user}' differs from the contract")
    return Message(graph.kind, {**graph.values, "node": nodes[len(expected.steps) :]}, graph.start, graph.end)


def _step(node: Message) -> Step:
    """Return a NodeProto as the step that it should be. Other content makes it unequal to any."""
    attributes = {item.one("name", ""): _attribute(item) for item in node.all("attribute")}
    outputs = node.all("output")
    plain = set(node.values) <= {"op_type", "name", "input", "output", "attribute"} and len(outputs) == 1
    return Step(
        node.one("op_type", "") if plain else "",
        node.one("name", ""),
        tuple(node.all("input")),
        outputs[0] if outputs else "",
        attributes,
    )


def _attribute(item: Message) -> Any:
    kind = item.one("type", 0)
    if kind == INT and set(item.values) <= {"name", "type", "i"}:
        return item.one("i", 0)
    return tuple(item.all("ints")) if kind == INTS and set(item.values) == {"name", "type", "ints"} else None


def _is_equal(item: Message, expected: NDArray[Any] | None, read: Callable[[Message], NDArray[Any]]) -> bool:
    return (
        expected is not None
        and item.one("data_type", 0) == TYPES[expected.dtype.name]
        and tuple(item.all("dims")) == expected.shape
        and np.array_equal(read(item), expected.ravel())
    )
