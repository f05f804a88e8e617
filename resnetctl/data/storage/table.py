"""The table of a split file: int64 columns with a value for each image, then SHA-256 digests.

Both forms of the store have one. The last digest is that of the columns, the others are those of images.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.digests import DIGEST_BYTES
from resnetctl.errors import DataError
from resnetctl.system.plain_files import open_regular
from resnetctl.system.safetensors import Layout, read_layout

Rows = NDArray[np.int64]
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]  # dtype and shape by name, in the order of the file


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that was read and verified.

    Attributes:
        columns: int64 by name.
        digests: `(D, 32)` uint8, without that of the columns.
        metadata: of the file's header.
        start: place of the first tensor in the file, in bytes.
    """

    columns: Mapping[str, Rows]
    digests: NDArray[np.uint8]
    metadata: Mapping[str, str]
    start: int


def tensors(first: Tensors, count: int, *, has_groups: bool, digests: int) -> Tensors:
    """Return dtype and shape of the tensors of a file with `count` images: the `first`, then those of every form."""
    return {
        **first,
        "labels": ("I64", (count,)),
        **({"groups": ("I64", (count,))} if has_groups else {}),
        "digests": ("U8", (digests + 1, DIGEST_BYTES)),
    }


def table_bytes(columns: Sequence[Rows], digests: bytes) -> bytes:
    """Return the bytes of columns, of the digests of images, and of the digest of the columns."""
    values = b"".join(column.astype("<i8").tobytes() for column in columns)
    return values + digests + hashlib.sha256(values).digest()


def read_table(path: Path, expected: Callable[[Layout, int], Tensors], *, content: str) -> Table:
    """Return the table of a split file.

    Args:
        expected: returns the tensors that a file with this layout and number of images must have; {}: none is right.
        content: what the file should hold, for the error.

    Raises:
        DataError: the file is missing, truncated, or no safetensors file.
        ValueError: it has other tensors, or a column changed.
    """
    with open_regular(path, error=DataError) as file:
        layout = read_layout(file, path, error=DataError)
        start = file.tell()
    count = prod(layout.tensors["labels"].shape) if "labels" in layout.tensors else 0
    wanted = expected(layout, count) if count > 0 else {}
    if not wanted or layout != Layout.of(wanted, layout.metadata):
        shapes = {name: list(info.shape) for name, info in layout.tensors.items()}
        raise ValueError(f"its tensors are {shapes}, not {content}")
    sizes = {name: prod(shape) for name, (dtype, shape) in wanted.items() if dtype == "I64"}
    place = start + layout.tensors[next(iter(sizes))].start
    values = np.fromfile(path, "<i8", sum(sizes.values()), offset=place)
    digests = np.fromfile(path, np.uint8, offset=place + values.nbytes).reshape(-1, DIGEST_BYTES)
    if hashlib.sha256(values.data).digest() != digests[-1].tobytes():
        raise ValueError("its labels changed since they were stored")
    parts = np.split(values.astype(np.int64, copy=False), np.cumsum(list(sizes.values()))[:-1])
    columns = dict(zip(sizes, parts, strict=True))
    return Table(columns=columns, digests=digests[:-1], metadata=layout.metadata, start=start)
