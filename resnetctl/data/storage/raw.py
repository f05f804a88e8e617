"""The raw form of a split: one safetensors file with the pixels of all images, which is mapped into memory."""

from array import array
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from resnetctl.data.channel_statistics import add_levels
from resnetctl.data.digests import Guard, rows_per_digest, segment_digests
from resnetctl.data.reading.decode import Pixels
from resnetctl.data.storage.table import Rows, Table, Tensors, read_table, table_bytes, tensors
from resnetctl.system.safetensors import Layout, header_bytes

HEADER_ROOM = 512  # bytes: the header is written last, after the images are counted
ROWS_PER_DIGEST = "rows_per_digest"  # metadata key of a split file: images per digest
BUFFER = 2**20  # bytes of pixels to collect before they are written


@dataclass
class RawWriter:
    """Streams one safetensors file: room for the header, images, the table, and last the header."""

    file: IO[bytes]
    shape: tuple[int, int, int]
    labels: "array[int]" = field(default_factory=lambda: array("q"))
    buffer: list[Pixels] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.histogram = np.zeros((self.shape[2], 256), np.int64)
        self.rows = rows_per_digest(self.shape)
        self.capacity = self.rows * max(1, BUFFER // (self.rows * prod(self.shape)))  # images: whole segments
        self.file.write(bytes(HEADER_ROOM))

    @property
    def count(self) -> int:
        return len(self.labels)

    def append(self, image: Pixels, label: int, *, key: int, file: bytes, digest: str) -> int:
        """Buffer one image; return its row. The file that it came in is not kept."""
        self.buffer.append(image)
        self.labels.append(label)
        if len(self.buffer) >= self.capacity:
            self._flush()
        return self.count - 1

    def _flush(self) -> None:
        if self.buffer:
            images = np.stack(self.buffer)
            add_levels(self.histogram, images)
            self.digests += segment_digests(images, self.rows)
            self.file.write(images.tobytes())
            self.buffer.clear()

    def finish(self, groups: Rows | None, about: dict[str, str]) -> None:
        """Write the table, then the header, which is also `about` the truth."""
        self._flush()
        columns = [np.array(self.labels, np.int64), *([] if groups is None else [groups])]
        self.file.write(table_bytes(columns, b"".join(self.digests)))
        layout = Layout.of(
            _tensors(self.count, self.shape, rows=self.rows, has_groups=groups is not None),
            {ROWS_PER_DIGEST: str(self.rows), **about},
        )
        self.file.seek(0)
        self.file.write(header_bytes(layout, room=HEADER_ROOM))


def open_raw(path: Path, shape: tuple[int, int, int]) -> tuple[Pixels, Guard, Table]:
    """Return the mapped images `(N, *shape)` of a split file, what verifies them, and its table.

    The file is checked first: reading a mapping past the file's end kills the process. Raises as `read_table`.
    """
    table = read_table(
        path, partial(_expected, shape=shape), content=f"images of {list(shape)} with labels and digests"
    )
    count = len(table.columns["labels"])
    mapped = np.memmap(path, np.uint8, "c", table.start, (count, *shape))
    images = mapped.view(np.ndarray)  # a memmap runs Python code on every indexing, an array does not
    return images, Guard(images, table.digests, rows=int(table.metadata[ROWS_PER_DIGEST]), path=path), table


def _expected(layout: Layout, count: int, *, shape: tuple[int, int, int]) -> Tensors:
    rows = int(layout.metadata.get(ROWS_PER_DIGEST, 0))
    return _tensors(count, shape, rows=rows, has_groups="groups" in layout.tensors) if rows > 0 else {}


def _tensors(count: int, shape: tuple[int, int, int], *, rows: int, has_groups: bool) -> Tensors:
    return tensors({"images": ("U8", (count, *shape))}, count, has_groups=has_groups, digests=-(-count // rows))
