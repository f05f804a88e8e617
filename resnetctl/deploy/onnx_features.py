"""Read the features of an exported classifier, although the contract of its file has logits and probabilities only.

Protocol Buffers merge a message that occurs twice (protobuf.dev/programming-guides/encoding, "Last One Wins"), so a few
bytes behind those of a file name one more output of its graph. The file, its digest and its contract stay as they are.
Imports no torch and no onnx.
"""

from __future__ import annotations

from resnetctl.deploy.onnx_card import LOGITS
from resnetctl.deploy.onnx_proto import EMPTY, parse

GRAPH, OUTPUT, NAME = 7, 12, 1  # numbers of the fields: a model's graph, a graph's output, the name of a value


def find(data: bytes) -> str | None:
    """Return the name of the features (B, D) in a file that `onnx_checks.check` accepted: what its last layer reads.

    None if the last layer is not linear.
    """
    for node in parse(data).one("graph", EMPTY).all("node"):
        if LOGITS in node.all("output") and node.one("op_type", "") in ("Gemm", "MatMul"):
            return str(node.all("input")[0])
    return None


def as_output(name: str) -> bytes:
    """Return what to write behind the bytes of a file, so that the value `name` becomes its last output."""
    return _field(GRAPH, _field(OUTPUT, _field(NAME, name.encode())))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content  # 2: its length, then its bytes


def _varint(value: int) -> bytes:
    """Return a number as seven bits a byte, lowest first."""
    groups = [value & 127]
    while value := value >> 7:
        groups.append(value & 127)
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])
