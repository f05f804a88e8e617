"""Digests of stored images by segment. A segment is verified when it is first read.

A segment has as many whole images as 64 KiB can hold, at least one. So large images are verified one by one, and a
random batch reads nothing twice. A split of 200 GB takes 32 MB of digests.
"""

import hashlib
import os
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetctl.errors import DataError
from resnetctl.hints import Call

SEGMENT_BYTES = 2**16
DIGEST_BYTES = 32  # SHA-256

Bytes = NDArray[np.uint8]


def rows_per_digest(shape: tuple[int, ...]) -> int:
    """Return the number of images of `shape` in a segment. Each segment has one digest."""
    return max(1, SEGMENT_BYTES // prod(shape))


def segment_digests(images: Bytes, rows: int) -> list[bytes]:
    """Return the SHA-256 of each segment of `rows` images of `(N, ...)` uint8; the last one may be shorter."""
    return [hashlib.sha256(images[start : start + rows].data).digest() for start in range(0, len(images), rows)]


class Guard:
    """Verifies segments of one mapped split, each once.

    Args:
        images: `(N, R, R, C)` uint8.
        digests: `(segments, 32)` uint8.
        rows: images per segment.
        path: the file of the split, for the error.
    """

    def __init__(self, images: Bytes, digests: Bytes, *, rows: int, path: Path) -> None:
        self._images, self._digests, self._rows, self._path = images, digests, rows, path
        self._is_pending = np.ones(len(digests), np.bool_)
        self._pending_count = len(digests)
        self._file, self._bytes = _identity_and_size(path)

    def check(self, rows: NDArray[np.int64]) -> None:
        """Verify the unverified segments of `rows`. Raises `DataError` that names the first damaged rows.

        It also raises when the file became shorter: reading a mapping past the file's end kills the process (SIGBUS).
        """
        file, size = _identity_and_size(self._path)
        if file == self._file and size < self._bytes:  # another file of this name does not change the mapping
            raise self._truncated(size)
        if not self._pending_count:
            return
        segments = rows // self._rows
        for segment in sorted(set(segments[self._is_pending[segments]].tolist())):  # few: `np.unique` costs more
            first = segment * self._rows
            (digest,) = segment_digests(self._images[first : first + self._rows], self._rows)
            if digest != self._digests[segment].tobytes():
                raise self._damaged(first)
            self._is_pending[segment] = False
            self._pending_count -= 1

    def _truncated(self, size: int) -> DataError:
        name, split = self._path.parent.name, self._path.stem
        return DataError(
            f"the {split} split of dataset '{name}' was cut from {self._bytes:,} to {size:,} bytes while it was in use",
            where=str(self._path),
            hint=[Call("data remove", (name,)), "then get or add it again, and resume the run"],
        )

    def _damaged(self, first: int) -> DataError:
        last = min(first + self._rows, len(self._images)) - 1
        name, split = self._path.parent.name, self._path.stem
        return DataError(
            f"the {split} split of dataset '{name}' is damaged: rows {first} to {last} changed since they were stored",
            where=str(self._path),
            hint=[Call("data check", (name,)), Call("data remove", (name,)), "then get or add it again"],
        )


def _identity_and_size(path: Path) -> tuple[tuple[int, int] | None, int]:
    """Return what identifies the file on this machine, and its bytes; (None, 0) if it is gone."""
    try:
        status = os.stat(path)
    except OSError:
        return None, 0
    return (status.st_dev, status.st_ino), status.st_size
