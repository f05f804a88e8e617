"""Read the wire format of Protocol Buffers strictly, by a table of messages, without the library.

The protobuf library skips unknown fields, merges repeated messages and truncates long numbers. Two readers that differ
in these see two different files. This reader refuses all three, so any later reader sees the message that was checked.
Format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
WIRE_TYPES = {
    "int32": VARINT,
    "int64": VARINT,
    "uint64": VARINT,
    "enum": VARINT,
    "double": FIXED64,
    "float": FIXED32,
    "string": LENGTH,
    "bytes": LENGTH,
}
WIDTHS = {FIXED64: 8, FIXED32: 4}
MAX_DEPTH = 32  # messages inside messages; a plain graph needs 8
MAX_VALUES = 2_000_000  # values in one file, each one turn of a Python loop; ResNet-1202 has 0.2 million


class Malformed(ValueError):
    """The bytes are not a message of the table, or not in the only form that this reader accepts."""


class Field(NamedTuple):
    """One field of a message. `kind` is a key of `WIRE_TYPES` or the name of a message; `many`: it may repeat."""

    name: str
    kind: str
    many: bool = False


Messages = Mapping[str, Mapping[int, Field]]  # name of a message: its fields by number


@dataclass(frozen=True)
class Message:
    """A parsed message.

    Attributes:
        kind: the message's name in the table.
        values: the values of each field by its name: int, str, `Message`, or a view of the file for bytes, float and
            double (little-endian, any number of them in one view).
        start, end: the message's place in the file, in bytes, including its tag and length.
    """

    kind: str
    values: Mapping[str, list[Any]]
    start: int
    end: int

    def all(self, name: str) -> list[Any]:
        """Return every value of a field."""
        return self.values.get(name, [])

    def one(self, name: str, default: Any) -> Any:
        """Return the value of a field that occurs at most once, or the default."""
        return self.values.get(name, [default])[0]

    def walk(self) -> Iterator[Message]:
        """Yield this message and every message inside it."""
        yield self
        for values in self.values.values():
            for value in values:
                if isinstance(value, Message):
                    yield from value.walk()


def read(data: bytes, kind: str, *, messages: Messages) -> Message:
    """Parse `data` as a message of `kind`. Raises `Malformed` for anything that a careful writer does not write."""
    return _Reader(data, messages).message(kind, (0, 0, len(data)), depth=0)


class _Reader:
    """A reader of one file. Positions are byte offsets into the file; `end` is exclusive."""

    def __init__(self, data: bytes, messages: Messages) -> None:
        self.view = memoryview(data)
        self.messages = messages
        self.left = MAX_VALUES

    def message(self, kind: str, span: tuple[int, int, int], *, depth: int) -> Message:
        """Return a message. `span`: where its tag begins, where its content begins, and where its content ends."""
        start, at, end = span
        if depth > MAX_DEPTH:
            raise Malformed(f"its messages are nested more than {MAX_DEPTH} deep")
        values: dict[str, list[Any]] = {}
        while at < end:
            begin = at
            tag, at = self.varint(at, end)
            field = self.messages[kind].get(tag >> 3)
            if field is None:
                raise Malformed(f"{kind} has no field {tag >> 3}")
            if field.name in values and not field.many:
                raise Malformed(f"{kind} has '{field.name}' twice")
            items, at = self.field(field, tag & 7, span=(begin, at, end), depth=depth)
            values.setdefault(field.name, []).extend(items)
        return Message(kind, values, start, end)

    def field(self, field: Field, wire: int, *, span: tuple[int, int, int], depth: int) -> tuple[list[Any], int]:
        """Return the values after one tag, and the position after them."""
        begin, at, end = span
        packed = field.many and wire == LENGTH
        if wire != WIRE_TYPES.get(field.kind, LENGTH) and not packed:
            raise Malformed(f"'{field.name}' has the wire type {wire}")
        if wire == VARINT:
            value, at = self.number(field, at, end)
            return [value], at
        size, at = self.varint(at, end) if wire == LENGTH else (WIDTHS[wire], at)
        after = at + size
        if after > end:
            raise Malformed(f"'{field.name}' goes past the end")
        if field.kind in self.messages:
            self.count()
            return [self.message(field.kind, (begin, at, after), depth=depth + 1)], after
        if WIRE_TYPES[field.kind] == VARINT:
            return list(self.numbers(field, at, after)), after
        return [self.chunk(field, at, after)], after

    def chunk(self, field: Field, at: int, end: int) -> Any:
        """Return text, or a view of the bytes."""
        self.count()
        if field.kind == "string":
            try:
                return str(self.view[at:end], "utf-8")
            except UnicodeDecodeError:
                raise Malformed(f"'{field.name}' is not text") from None
        if (end - at) % WIDTHS.get(WIRE_TYPES[field.kind], 1):
            raise Malformed(f"'{field.name}' ends within a number")
        return self.view[at:end]

    def numbers(self, field: Field, at: int, end: int) -> Iterator[int]:
        """Yield packed integers."""
        while at < end:
            value, at = self.number(field, at, end)
            yield value

    def number(self, field: Field, at: int, end: int) -> tuple[int, int]:
        """Return an integer of the field's kind, and the position after it."""
        self.count()
        value, at = self.varint(at, end)
        if field.kind != "uint64" and value >> 63:
            value -= 1 << 64
        if field.kind in ("int32", "enum") and not -(1 << 31) <= value < 1 << 31:
            raise Malformed(f"'{field.name}' has more than 32 bits")
        return value, at

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """Return a number (seven bits a byte, lowest first, in as few bytes as possible) and the position after it."""
        value = shift = 0
        while at < end and shift < 70:
            byte = self.view[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                if value >> 64 or (shift and not byte):
                    raise Malformed("a number is longer than it needs to be")
                return value, at
            shift += 7
        raise Malformed("it ends within a number" if at == end else "a number is longer than 64 bits")

    def count(self) -> None:
        """Count one value. Raises `Malformed` above the limit."""
        self.left -= 1
        if self.left < 0:
            raise Malformed(f"it has more than {MAX_VALUES:,} values")
