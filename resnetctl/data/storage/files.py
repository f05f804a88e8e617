"""The form `jpeg` of a split: the image files as they came, in shards, and an index that finds and verifies them.

::

    train-00000.bin ...    the bytes of the files, one after the other; a file lies in one shard
    train.safetensors      offsets int64 (N + 1,), of each file and of the end, counted over all shards
                           shards int64 (S + 1,), the offset at which each shard begins, and the end
                           pixels int64 (N,), a digest of the decoded pixels (`data.split_groups.pixel_key`)
                           labels int64 (N,), groups int64 (N,) if images must stay in one split
                           digests uint8 (N + 1, 32), SHA-256 of each file and, last, of the columns
                           in the header: SHA-256 of each shard, for copies of the store
"""

import contextlib
from array import array
from bisect import bisect_right
from hashlib import sha256
from pathlib import Path
from typing import IO

import numpy as np

from resnetctl.data.channel_statistics import add_levels
from resnetctl.data.reading.decode import Pixels
from resnetctl.data.storage.cache import CachedShards
from resnetctl.data.storage.shards import LocalShards, Shards, shard_path
from resnetctl.data.storage.table import Rows, Table, Tensors, read_table, table_bytes, tensors
from resnetctl.errors import DataError
from resnetctl.hints import Call
from resnetctl.system import storage
from resnetctl.system.safetensors import Layout, header_bytes

SHARD_BYTES = 2**30  # at most
SHARDS = "shards_sha256"  # metadata key of an index: digests of the shards, separated by spaces


class FileWriter:
    """Streams the files of a split into shards; the index is written last."""

    def __init__(
        self, index: Path, shape: tuple[int, int, int], files: contextlib.ExitStack, *, shard_bytes: int = 0
    ) -> None:
        """Begin the first shard. A shard has at most `shard_bytes`, 0: `SHARD_BYTES`, or one file."""
        self._limit = min(shard_bytes or SHARD_BYTES, SHARD_BYTES)
        self.histogram = np.zeros((shape[2], 256), np.int64)
        self._index = index
        self._labels, self._pixels = array("q"), array("q")
        self._digests = bytearray()
        self._offsets, self._shards = array("q", [0]), array("q")
        self._open = files.enter_context(contextlib.ExitStack())  # the shard that is being written
        self._shard_digests: list[str] = []
        self._shard = self._next_shard()

    @property
    def count(self) -> int:
        return len(self._labels)

    def append(self, image: Pixels, label: int, *, key: int, file: bytes, digest: str) -> int:
        """Write one file, whose SHA-256 is `digest`; `key` is that of its pixels. Return its row."""
        assert file, "the form 'jpeg' keeps files, and an array has none"
        end = self._offsets[-1] + len(file)
        if end - self._shards[-1] > self._limit and self._offsets[-1] > self._shards[-1]:
            self._shard = self._next_shard()
        self._shard.write(file)
        self._shard_hash.update(file)
        self._offsets.append(end)
        self._labels.append(label)
        self._pixels.append(key)
        self._digests += bytes.fromhex(digest)
        add_levels(self.histogram, image[None])
        return self.count - 1

    def finish(self, groups: Rows | None, about: dict[str, str]) -> None:
        """Close the last shard, and write the index, whose header is also `about` the truth."""
        self._end_shard()
        about = {SHARDS: " ".join(self._shard_digests), **about}
        numbers = [self._offsets, [*self._shards, self._offsets[-1]], self._pixels, self._labels]
        columns = [np.array(values, np.int64) for values in numbers] + ([] if groups is None else [groups])
        storage.write(self._index, index_bytes(columns, bytes(self._digests), about=about))

    def _end_shard(self) -> None:
        self._open.close()
        self._shard_digests.append(self._shard_hash.hexdigest())

    def _next_shard(self) -> IO[bytes]:
        if self._shards:
            self._end_shard()
        self._shard_hash = sha256()
        path = shard_path(self._index, len(self._shards))
        self._shards.append(self._offsets[-1])
        return self._open.enter_context(storage.staged_file(path))


def index_bytes(columns: list[Rows], digests: bytes, *, about: dict[str, str]) -> bytes:
    """Return the file of an index: offsets, shards, pixels, labels, and groups if there are any."""
    count, shards = len(columns[3]), len(columns[1]) - 1
    layout = Layout.of(_tensors(count, shards, has_groups=len(columns) == 5), about)
    return header_bytes(layout) + table_bytes(columns, digests)


def read_index(index: Path) -> Table:
    """Return the table of an index. Raises as `read_table`."""
    return read_table(index, _expected, content="an index of files with labels and digests")


class Files:
    """The files of a split, read from its shards and verified when they are first read. Threads may share it."""

    def __init__(self, index: Path, table: Table, *, remote: str = "") -> None:
        """Open the shards beside the index; those at the address `remote` are fetched when they are read.

        Raises `ValueError` when the index or a shard is not right.
        """
        self.index = index
        self._offsets, self._starts, self._digests = table.columns["offsets"], table.columns["shards"], table.digests
        _require_ascending(self._offsets, self._starts)
        self._begins: list[int] = self._starts.tolist()  # a list is searched faster for one number
        self._is_pending = np.ones(len(self), np.bool_)
        sizes = np.diff(self._starts).tolist()
        self._shards: Shards = (
            LocalShards(index, sizes)
            if not remote
            else CachedShards(index, remote, sizes=sizes, digests=table.metadata.get(SHARDS, "").split())
        )

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @property
    def sizes(self) -> Rows:
        """Bytes of each shard."""
        return np.diff(self._starts)

    def shards(self, rows: Rows) -> Rows:
        """Return the shard in which the file of each row lies."""
        return np.searchsorted(self._starts, self._offsets[rows], side="right") - 1

    def expect(self, rows: Rows) -> None:
        """Prepare for reads of these rows, in this order."""
        self._shards.expect(self.shards(rows))

    def cache_bytes(self) -> float | None:
        """Return how many bytes of shards may be here at a time; None: all."""
        return self._shards.cache_bytes()

    def read(self, row: int) -> bytes:
        """Return the bytes of a file.

        Raises `DataError` when they changed or cannot be fetched, `WorkFailed` when the disk fails.
        """
        start, end = int(self._offsets[row]), int(self._offsets[row + 1])
        number = bisect_right(self._begins, start) - 1
        data = self._shards.read(number, end - start, place=start - self._begins[number])
        if len(data) < end - start:
            raise self.damaged(row, f"{shard_path(self.index, number).name} was cut while it was in use")
        if self._is_pending[row] and sha256(data).digest() != self._digests[row].tobytes():
            raise self.damaged(
                row, f"its bytes in {shard_path(self.index, number).name} changed since they were stored"
            )
        self._is_pending[row] = False
        return data

    def damaged(self, row: int, reason: str) -> DataError:
        """Return the error for a row that cannot be used."""
        name, split = self.index.parent.name, self.index.stem
        return DataError(
            f"row {row} of the {split} split of dataset '{name}' is damaged: {reason}",
            where=str(self.index),
            hint=[Call("data check", (name,)), Call("data remove", (name,)), "then add it again"],
        )


def _require_ascending(offsets: Rows, starts: Rows) -> None:
    """Raise `ValueError` unless each file has bytes, and each shard begins with a file and has one."""
    is_ascending = offsets[0] == 0 and bool((np.diff(offsets) > 0).all())
    is_covering = starts[0] == 0 and starts[-1] == offsets[-1] and bool((np.diff(starts) > 0).all())
    places = np.searchsorted(offsets, starts)  # `np.isin` would sort a million numbers for a second
    if not is_ascending or not is_covering or not np.array_equal(offsets[places], starts):
        raise ValueError("the places of its files are not ascending")


def _expected(layout: Layout, count: int) -> Tensors:
    shape = layout.tensors["shards"].shape if "shards" in layout.tensors else ()
    return (
        _tensors(count, shape[0] - 1, has_groups="groups" in layout.tensors) if len(shape) == 1 and shape[0] > 1 else {}
    )


def _tensors(count: int, shards: int, *, has_groups: bool) -> Tensors:
    first = {"offsets": ("I64", (count + 1,)), "shards": ("I64", (shards + 1,)), "pixels": ("I64", (count,))}
    return tensors(first, count, has_groups=has_groups, digests=count)
