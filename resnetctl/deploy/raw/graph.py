"""A graph of ONNX operators as plain data, written like arithmetic. Imports neither onnx nor torch.

The writer turns it into an ONNX file, and the strict reader builds it again to compare. So it is a function of its
arguments only: the same calls give the same names, in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

# numbers of TensorProto.DataType
TYPES = {"float32": 1, "uint8": 2, "int64": 7, "bool": 9, "float64": 11}
# What these operators give, whatever they read. The others keep the type of their first input.
TYPE_OF = {
    "Shape": "int64",
    "Equal": "bool",
    "Less": "bool",
    "Greater": "bool",
    "GreaterOrEqual": "bool",
    "And": "bool",
}


class Step(NamedTuple):
    """One operator. Attributes are whole numbers, or tuples of them."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, int | tuple[int, ...]]


@dataclass
class Graph:
    """A list of operators, and the constants that they read by name. All names begin with `prefix`."""

    prefix: str
    steps: list[Step] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    _known: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)

    def value(self, name: str, dtype: DTypeLike) -> Value:
        """Return a value that comes from outside, such as the input of the file."""
        return Value(self, name, np.dtype(dtype))

    def constant(self, numbers: ArrayLike, dtype: DTypeLike) -> Value:
        """Return a constant. Equal constants are stored once."""
        array = np.asarray(numbers, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = f"{self.prefix}/constant_{len(self.constants)}"
            self.constants[self._known[key]] = array
        return Value(self, self._known[key], array.dtype)

    def numbered(self, name: str) -> str:
        """Return a name for the next operator: its own, or the one that users should see in an error."""
        return f"{self.prefix}/{name}_{len(self.steps)}"


@dataclass(frozen=True)
class Value:
    """A tensor that an operator computes. Python numbers beside it become constants of its type."""

    graph: Graph
    name: str
    dtype: np.dtype[Any]

    def op(self, kind: str, *others: Operand, name: str = "", output: str = "", **attributes: Any) -> Value:
        """Return the output of the operator `kind` with this value as its first input.

        Args:
            others: further inputs; numbers and arrays become constants of this value's type.
            name: the operator's name, which users see when it refuses its input.
            output: the name of its output.
            attributes: whole numbers, or lists of them.
        """
        own = self.graph.numbered(kind)
        result = output or own
        inputs = (self.name, *(self._as_value(other).name for other in others))
        plain = {key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()}
        self.graph.steps.append(Step(kind, name or own, inputs, result, plain))
        return Value(self.graph, result, np.dtype(TYPE_OF.get(kind, self.dtype)))

    def cast(self, dtype: DTypeLike) -> Value:
        """Return the value in another type; truth values become 0 and 1."""
        wanted = np.dtype(dtype)
        return Value(self.graph, self.op("Cast", to=TYPES[wanted.name]).name, wanted)

    def __add__(self, other: Operand) -> Value:
        return self.op("Add", other)

    def __sub__(self, other: Operand) -> Value:
        return self.op("Sub", other)

    def __rsub__(self, other: float) -> Value:
        return self._as_value(other).op("Sub", self)

    def __mul__(self, other: Operand) -> Value:
        return self.op("Mul", other)

    def __truediv__(self, other: Operand) -> Value:
        return self.op("Div", other)

    def __rtruediv__(self, other: float) -> Value:
        return self._as_value(other).op("Div", self)

    def _as_value(self, other: Operand) -> Value:
        return other if isinstance(other, Value) else self.graph.constant(other, self.dtype)


Operand = Value | float | NDArray[Any]


def shape_of(graph: Graph, *sides: Value | int) -> Value:
    """Return sides, each int64 `(1,)` or a number, joined to one shape."""
    values = [side if isinstance(side, Value) else graph.constant([side], np.int64) for side in sides]
    return values[0].op("Concat", *values[1:], axis=0)


def reshaped(value: Value, *sides: Value | int, name: str = "") -> Value:
    """Return the value in another shape; a side may be 0, for a batch without images."""
    return value.op("Reshape", shape_of(value.graph, *sides), allowzero=1, name=name)


def sliced(value: Value, places: tuple[Value | int, Value | int], *, axis: int) -> Value:
    """Return a range of places of one axis; the second is exclusive. Each is int64 `(1,)` or a number."""
    ends = [place if isinstance(place, Value) else value.graph.constant([place], np.int64) for place in places]
    return value.op("Slice", *ends, value.graph.constant([axis], np.int64))
