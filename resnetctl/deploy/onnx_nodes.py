"""One operator of an ONNX graph with the shapes and the whole numbers that are known so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resnetctl.deploy.protobuf import Message

Shape = tuple[int, ...]
Numbers = Callable[[Message], Any]  # the numbers of a TensorProto, flat


@dataclass(frozen=True)
class Node:
    """One operator with the shapes of all values that are known so far.

    `values` has the whole numbers that follow from shapes: what `Shape` gives, and lists that are joined of it.
    """

    message: Message
    shapes: Mapping[str, Shape]
    constants: Mapping[str, Message]
    read: Numbers
    values: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Shape]:
        """Return the shapes of all inputs that are present. Raises `KeyError` for a value that nobody computes."""
        return [self.shapes[name] for name in self.message.all("input") if name]

    def ints(self, name: str, default: Sequence[int]) -> tuple[int, ...]:
        """Return an attribute that is a list of whole numbers."""
        return tuple(self._attribute(name).all("ints")) or tuple(default)

    def whole(self, name: str, default: int) -> int:
        """Return an attribute that is a whole number."""
        return int(self._attribute(name).one("i", default))

    def text(self, name: str) -> bytes:
        """Return an attribute that is text, `b""` if it is absent."""
        return bytes(self._attribute(name).one("s", b""))

    def numbers(self, position: int) -> tuple[int, ...] | None:
        """Return the whole numbers of an input that is constant or follows from shapes; None if it is absent.

        Raises `KeyError` for an input that the network computes from images.
        """
        names = self.message.all("input")
        if position >= len(names) or not names[position]:
            return None
        if names[position] in self.values:
            return self.values[names[position]]
        values = self.read(self.constants[names[position]])
        if not np.issubdtype(values.dtype, np.integer):
            raise ValueError("its shape is not of whole numbers")
        return tuple(map(int, values))

    def reals(self, position: int) -> tuple[float, ...]:
        """Return the numbers of a constant input. Raises `KeyError` if it is absent or not a constant."""
        return tuple(map(float, self.read(self.constants[self.message.all("input")[position]])))

    def axes(self, *, position: int, rank: int) -> set[int]:
        """Return the axes in a constant input or, as older operators have them, in an attribute."""
        axes = self.numbers(position) or self.ints("axes", ())
        if not all(-rank <= axis < rank for axis in axes):
            raise ValueError(f"its axes {axes} are out of range")
        return {axis % rank for axis in axes}

    def _attribute(self, name: str) -> Message:
        for attribute in self.message.all("attribute"):
            if attribute.one("name", "") == name:
                return attribute  # type: ignore[no-any-return]
        return Message("AttributeProto", {}, 0, 0)


@dataclass(frozen=True)
class Result:
    """The output shapes of an operator, and the multiplications for each value of the outputs.

    `values` are the whole numbers of its output, if they follow from shapes.
    """

    shapes: list[Shape]
    work: int = 1
    values: tuple[int, ...] | None = None
