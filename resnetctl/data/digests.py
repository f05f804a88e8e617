"""Digests of blocks of rows, so that a stored split is proved where it is read and when it is first read.

A block is as many whole images as fit into 64 KiB, at least one: large pictures are proved one by one, and reading a
batch at random reads nothing twice. A split of 200 GB takes 32 MB of digests.
"""

import hashlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetctl.errors import DataError

BLOCK_BYTES = 2**16
DIGEST_BYTES = 32  # SHA-256

Bytes = NDArray[np.uint8]


def rows_of_block(shape: tuple[int, ...]) -> int:
    """How many images of `shape` make a block."""
    return max(1, BLOCK_BYTES // prod(shape))


def digests(images: Bytes, rows: int) -> list[bytes]:
    """SHA-256 of each `rows` images of `(N, ...)` uint8; the last block may be shorter."""
    return [hashlib.sha256(images[start : start + rows].data).digest() for start in range(0, len(images), rows)]


class Guard:
    """Proves blocks of one mapped split, each once. `proofs` is `(blocks, 32)` uint8, `path` is for the error."""

    def __init__(self, images: Bytes, proofs: Bytes, *, rows: int, path: Path) -> None:
        self._images, self._proofs, self._rows, self._path = images, proofs, rows, path
        self._pending = np.ones(len(proofs), np.bool_)
        self._left = len(proofs)

    def check(self, rows: NDArray[np.int64]) -> None:
        """Prove the blocks of `rows` that were not proved before. Raises `DataError` with the first damaged rows."""
        if not self._left:
            return
        blocks = rows // self._rows
        for block in sorted(set(blocks[self._pending[blocks]].tolist())):  # few: `np.unique` costs more
            first = block * self._rows
            (found,) = digests(self._images[first : first + self._rows], self._rows)
            if found != self._proofs[block].tobytes():
                raise self._damaged(first)
            self._pending[block] = False
            self._left -= 1

    def _damaged(self, first: int) -> DataError:
        last = min(first + self._rows, len(self._images)) - 1
        name, split = self._path.parent.name, self._path.stem
        return DataError(
            f"the {split} split of dataset '{name}' is damaged: rows {first} to {last} are not what was stored",
            where=str(self._path),
            hint=[f"resnetctl data check {name}", f"resnetctl data remove {name}", "then get or add it again"],
        )
