"""TensorBoard's event file: records of TFRecord, each with one `Event` of tensorflow/core/util/event.proto.

A record is its length (8 bytes), the masked CRC-32C of these bytes, the event, and the masked CRC-32C of the event. The
few fields that a curve needs are written here byte by byte, so no protobuf is needed.
"""

import struct
from collections.abc import Mapping

POLYNOMIAL = 0x82F63B78  # of CRC-32C, reflected
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types of protobuf
START = 1  # SessionLog.START: events of this step and later ones are void


def _row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
    return byte


TABLE = tuple(_row(byte) for byte in range(256))


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def record(event: bytes) -> bytes:
    """Return an event as one record of the file."""
    length = struct.pack("<Q", len(event))
    return length + _masked(length) + event + _masked(event)


def header(seconds: float) -> bytes:
    """Return the first event of a file, written at `seconds` since 1970."""
    return _event(seconds, 0, _field(3, BYTES, _sized(b"brain.Event:2")))


def restart(seconds: float, step: int) -> bytes:
    """Return the event that makes events of `step` and later void: a resumed run repeats them."""
    return _event(seconds, step, _field(7, BYTES, _sized(_field(1, VARINT, _varint(START)))))


def scalars(seconds: float, step: int, values: Mapping[str, float]) -> bytes:
    """Return the event with the numbers of a step, by name."""
    summary = b"".join(
        _field(1, BYTES, _sized(_name(name) + _field(2, FIXED32, struct.pack("<f", value))))
        for name, value in values.items()
    )
    return _event(seconds, step, _field(5, BYTES, _sized(summary)))


def text(seconds: float, step: int, name: str, words: str) -> bytes:
    """Return the event with a text, in Markdown, for the tab of the texts."""
    tensor = _field(1, VARINT, _varint(7)) + _field(2, BYTES, _sized(b""))  # DT_STRING, a scalar
    tensor += _field(8, BYTES, _sized(words.encode()))
    plugin = _field(1, BYTES, _sized(_field(1, BYTES, _sized(b"text"))))
    value = _name(name) + _field(9, BYTES, _sized(plugin)) + _field(8, BYTES, _sized(tensor))
    return _event(seconds, step, _field(5, BYTES, _sized(_field(1, BYTES, _sized(value)))))


def _event(seconds: float, step: int, content: bytes) -> bytes:
    return _field(1, FIXED64, struct.pack("<d", seconds)) + _field(2, VARINT, _varint(step)) + content


def _name(name: str) -> bytes:
    return _field(1, BYTES, _sized(name.encode()))


def _field(number: int, kind: int, content: bytes) -> bytes:
    return _varint(number << 3 | kind) + content


def _sized(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
