"""The shards of a split in the form `jpeg`: files of this disk. Those of a server are in `data.storage.cache`."""

import contextlib
import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from resnetctl.errors import DataError, WorkFailed
from resnetctl.system.machine import allow_open_files
from resnetctl.system.plain_files import open_regular

_TURN = threading.Lock()  # where a system cannot read at a place, and threads share the position in a file


class Shards(Protocol):
    """What reads the shards of a split. Threads may share it."""

    def read(self, number: int, count: int, *, place: int) -> bytes:
        """Return `count` bytes of a shard from `place` on; fewer where it ends."""

    def expect(self, numbers: NDArray[np.int64]) -> None:
        """Prepare for reads of these shards, in this order."""

    def cache_bytes(self) -> float | None:
        """Return how many bytes of shards may be here at a time; None: all."""


class LocalShards:
    """The shards beside an index, opened for as long as this object lives."""

    def __init__(self, index: Path, sizes: Sequence[int]) -> None:
        """Open every shard. Raises `ValueError` when one is missing or has another size."""
        allow_open_files(len(sizes))
        opened = contextlib.ExitStack()
        weakref.finalize(self, opened.close)
        self._paths = [shard_path(index, number) for number in range(len(sizes))]
        self._files = [opened.enter_context(_opened(path, size)) for path, size in zip(self._paths, sizes, strict=True)]

    def read(self, number: int, count: int, *, place: int) -> bytes:
        """Return bytes of a shard. Raises `WorkFailed` when the disk fails."""
        return read_at(self._files[number], self._paths[number], count=count, place=place)

    def expect(self, numbers: NDArray[np.int64]) -> None:
        """Do nothing: all shards are here."""

    def cache_bytes(self) -> None:
        """Return None: all shards are here."""


def shard_path(index: Path, number: int) -> Path:
    """Return the path of a shard."""
    return index.with_name(f"{index.stem}-{number:05d}.bin")


def read_at(file: BinaryIO, path: Path, *, count: int, place: int) -> bytes:
    """Return `count` bytes of an open file from `place` on. Raises `WorkFailed` when the disk fails."""
    try:
        if hasattr(os, "pread"):
            return os.pread(file.fileno(), count, place)
        with _TURN:
            file.seek(place)
            return file.read(count)
    except OSError as error:
        raise WorkFailed(f"reading failed: {error.strerror or error}", where=str(path)) from error


def _opened(path: Path, size: int) -> BinaryIO:
    try:
        file = open_regular(path, error=DataError)
    except DataError as error:
        raise ValueError(f"{path.name}: {error.message}") from error
    actual = os.fstat(file.fileno()).st_size
    if actual != size:
        file.close()
        raise ValueError(f"{path.name} has {actual:,} bytes instead of {size:,}")
    return file
