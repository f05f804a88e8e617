"""Safetensors files: a strict reader and a writer of headers, and the digest of tensors. Imports torch on use only.

The format (github.com/huggingface/safetensors): the length of the header (8 bytes, little-endian), the header in JSON,
then the bytes of the tensors. The library's reader accepts headers of 100 MB, duplicate keys and any number of tensors.
This reader refuses them.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from resnetctl.errors import InputError, WeightsError
from resnetctl.fields import read_json

if TYPE_CHECKING:
    from torch import Tensor

MAX_HEADER = 1 << 20  # bytes; ResNet-1202 needs 0.8 MB
MAX_TENSORS = 10_000
MAX_RANK = 8  # dimensions of a tensor
ITEM_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8}


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One tensor in a header: `dtype` as safetensors names it, `start` and `end` in bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A header whose tensors fill the file exactly: no hole, no overlap, nothing after the last tensor."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, TensorInfo]

    @classmethod
    def of(cls, tensors: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]) -> "Layout":
        """Return the layout of tensors, as (dtype, shape) by name, one after the other."""
        infos: dict[str, TensorInfo] = {}
        end = 0
        for name, (dtype, shape) in tensors.items():
            start, end = end, end + math.prod(shape) * ITEM_BYTES[dtype]
            infos[name] = TensorInfo(dtype=dtype, shape=shape, start=start, end=end)
        return cls(metadata=metadata, tensors=infos)

    @property
    def bytes(self) -> int:
        """Bytes of all tensors, without the header."""
        return max((info.end for info in self.tensors.values()), default=0)


def header_bytes(layout: Layout, *, room: int | None = None) -> bytes:
    """Return the header of a file: length, JSON, and spaces up to `room` bytes.

    With a fixed `room`, the header can be written after the tensors.
    """
    header: dict[str, Any] = {"__metadata__": dict(layout.metadata)} if layout.metadata else {}
    for name, info in layout.tensors.items():
        header[name] = {"dtype": info.dtype, "shape": list(info.shape), "data_offsets": [info.start, info.end]}
    text = json.dumps(header).encode()
    if room is not None:
        assert len(text) <= room - 8, "the header is larger than its room"
        text = text.ljust(room - 8)  # the format allows trailing spaces
    return len(text).to_bytes(8, "little") + text


def read_layout(
    file: BinaryIO,
    where: Path | str,
    *,
    error: type[InputError] = WeightsError,
    max_header: int = MAX_HEADER,
    max_tensors: int = MAX_TENSORS,
) -> Layout:
    """Return the checked header at the start of `file`, and leave the file at the first tensor.

    Args:
        where: the name of the file in errors.
        error: the class of the error.
        max_header: the largest header to read, in bytes.
        max_tensors: the largest number of tensors to accept.

    Raises:
        InputError: (as `error`) the file is not safetensors, is truncated, or does not match its header.
    """
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= max_header:
        raise error(f"this is not a safetensors file with a header of at most {max_header:,} bytes", where=str(where))
    layout = Layout(tensors={})
    if size >= 8 + length:
        try:
            layout = _parsed(file.read(length), max_tensors)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as reason:
            raise error(f"the safetensors header is broken: {reason}", where=str(where)) from None
    expected = 8 + length + layout.bytes
    if size != expected:
        problem = "truncated" if size < expected else "longer than its header says"
        raise error(f"the file is {problem}: {size:,} bytes instead of {expected:,}", where=str(where))
    return layout


def digest(tensors: Mapping[str, "Tensor"], *, text: str = "") -> str:
    """Return the SHA-256 of `text`, then of name, dtype, shape and bytes of each tensor, sorted by name.

    Device and strides of a tensor do not change it.
    """
    import torch

    total = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        whole = tensor.detach().cpu().contiguous()
        total.update(f"{name}\0{whole.dtype}\0{tuple(whole.shape)}\0".encode())
        total.update(whole.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _parsed(text: bytes, max_tensors: int) -> Layout:
    header = read_json(text)
    metadata = header.pop("__metadata__", {})
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("__metadata__ must hold text")
    if len(header) > max_tensors:
        raise ValueError(f"{len(header):,} tensors, more than {max_tensors:,}")
    tensors = {name: _tensor(name, item) for name, item in header.items()}
    _check_contiguous(tensors.values())
    return Layout(metadata=metadata, tensors=tensors)


def _tensor(name: str, item: Mapping[str, Any]) -> TensorInfo:
    start, end = item["data_offsets"]
    shape = tuple(item["shape"])
    if len(shape) > MAX_RANK or not all(
        type(number) is int and 0 <= number < 1 << 63 for number in (*shape, start, end)
    ):
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
