"""The header of a safetensors file, read and distrusted before any tensor is. Torch-free.

The format (github.com/huggingface/safetensors): 8 bytes little-endian length, JSON of that length, then the tensors'
bytes. The library's own reader accepts a header of 100 MB, duplicate keys and any number of tensors; this one does not.
"""

import json
import math
import os
import shlex
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from resnetctl.errors import WeightsError

MAX_HEADER = 1 << 20  # bytes; ResNet-1202 needs 0.8 MB
MAX_TENSORS = 10_000
ITEM_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8}


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """What the header says of one tensor; `dtype` in safetensors' words, `start` and `end` in bytes."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A header whose tensors fill the file exactly: no hole, no overlap, nothing behind the last."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, TensorInfo]

    @property
    def bytes(self) -> int:
        """Of all tensors, without the header."""
        return max((info.end for info in self.tensors.values()), default=0)


def open_regular(path: Path) -> BinaryIO:
    """Open a plain file for reading. Raises `WeightsError`: missing, unreadable, a folder, a pipe or a device."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a pipe would wait for a writer
            raise WeightsError("this is not a plain file", where=str(path))
        return path.open("rb")
    except OSError as error:
        raise WeightsError(f"cannot read the weights: {error.strerror}", where=str(path)) from None


def read_layout(file: BinaryIO, path: Path) -> Layout:
    """Read and check the header at the file's start; the file is left at the first tensor.

    Raises:
        WeightsError: not safetensors, truncated, or a header that is too large or does not describe the file.
    """
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if size < 8 or not 2 <= length <= MAX_HEADER:
        raise _other_format(start, path)
    if size < 8 + length:
        raise _truncated(path, size, 8 + length)
    try:
        header = json.loads(file.read(length), object_pairs_hook=_unique)
        metadata = header.pop("__metadata__", {})
        if not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("__metadata__ must hold text")
        if len(header) > MAX_TENSORS:
            raise ValueError(f"{len(header):,} tensors, more than {MAX_TENSORS:,}")
        tensors = {name: _tensor(name, item) for name, item in header.items()}
        _check_contiguous(tensors.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"the safetensors header is broken: {error}", where=str(path)) from None
    layout = Layout(metadata=metadata, tensors=tensors)
    if size != 8 + length + layout.bytes:
        raise _truncated(path, size, 8 + length + layout.bytes)
    return layout


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _tensor(name: str, item: Mapping[str, Any]) -> TensorInfo:
    start, end = item["data_offsets"]
    shape = tuple(item["shape"])
    if not all(isinstance(number, int) and number >= 0 for number in (*shape, start, end)):
        raise ValueError(f"'{name}' has a shape or an offset that is not a count")
    if item["dtype"] not in ITEM_BYTES:
        raise ValueError(f"'{name}' has the unknown dtype {item['dtype']!r}")
    if end - start != math.prod(shape) * ITEM_BYTES[item["dtype"]]:
        raise ValueError(f"the bytes of '{name}' do not match its shape")
    return TensorInfo(dtype=item["dtype"], shape=shape, start=start, end=end)


def _check_contiguous(tensors: Iterable[TensorInfo]) -> None:
    position = 0
    for info in sorted(tensors, key=lambda info: (info.start, info.end)):
        if info.start != position:
            raise ValueError("the tensors overlap or leave a hole")
        position = info.end


def _other_format(start: bytes, path: Path) -> WeightsError:
    """The error for a file that begins with `start`. Field 1, a number, is how exporters begin an ONNX file."""
    if start.startswith(b"\x08"):
        return WeightsError(
            "this looks like an ONNX file, and is none of weights",
            where=str(path),
            hint=[f"resnetctl eval {shlex.quote(str(path))}", "its run's model.safetensors has the weights"],
        )
    return WeightsError(f"this is not a safetensors file of at most {MAX_HEADER:,} header bytes", where=str(path))


def _truncated(path: Path, size: int, expected: int) -> WeightsError:
    """The error for a file that is shorter or longer than its header says."""
    what = "truncated" if size < expected else "longer than its header says"
    return WeightsError(f"the file is {what}: {size:,} bytes instead of {expected:,}", where=str(path))
