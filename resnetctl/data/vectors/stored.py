"""The numbers of the images of one stored split: a safetensors file beside that of the images.

::

    DATA/<name>/train.vectors.safetensors    vectors float32 (N, D), digests uint8 (segments, 32)

The file of the images has the SHA-256 of these digests in its header. So the digest of a split covers its numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.digests import DIGEST_BYTES, Guard, rows_per_digest, segment_digests
from resnetctl.errors import DataError
from resnetctl.spec import Split, VectorSpec
from resnetctl.system import storage
from resnetctl.system.plain_files import open_regular
from resnetctl.system.safetensors import Layout, header_bytes, read_layout

VECTORS = "vectors_sha256"  # metadata key of the file of the images: digest of the digests of their numbers
_HEADER_ROOM = 512  # bytes: the header is written last
_FLOAT_BYTES = 4
Floats = NDArray[np.float32]
Vector = NDArray[np.float32]  # `(D,)`
Rows = NDArray[np.int64]


def vectors_name(split: Split) -> str:
    """Return the name of the file with the numbers of a split."""
    return f"{split}.vectors.safetensors"


@dataclass
class VectorWriter:
    """Writes the numbers of one split."""

    file: IO[bytes]
    rows: list[Vector] = field(default_factory=list)

    def finish(self) -> str:
        """Write the file. Return the digest of its digests."""
        values = np.stack(self.rows).astype("<f4")
        digests = segment_digests(values, rows_per_digest((values.shape[1] * _FLOAT_BYTES,)))
        layout = Layout.of(_tensors(*values.shape), {})
        self.file.write(bytes(_HEADER_ROOM) + values.tobytes() + b"".join(digests))
        self.file.seek(0)
        self.file.write(header_bytes(layout, room=_HEADER_ROOM))
        return hashlib.sha256(b"".join(digests)).hexdigest()


class VectorFiles(contextlib.ExitStack):
    """The files of a new dataset: one for each split, none without numbers."""

    def __init__(self, folder: Path, draft: VectorSpec | None) -> None:
        super().__init__()
        self._folder, self._columns = folder, () if draft is None else draft.columns
        self._writers: dict[Split, VectorWriter] = {}

    def append(self, split: Split, vector: Vector) -> None:
        """Add the numbers of the next image of a split."""
        assert vector.shape == (len(self._columns),), f"{vector.shape} for {len(self._columns)} columns"
        if split not in self._writers:
            file = self.enter_context(storage.staged_file(self._folder / vectors_name(split)))
            self._writers[split] = VectorWriter(file)
        self._writers[split].rows.append(vector)

    def spec(self) -> VectorSpec | None:
        """Return columns, mean and std of train; None without numbers."""
        if not self._columns or "train" not in self._writers:
            return None
        values = np.stack(self._writers["train"].rows).astype(np.float64)
        varies = values.min(0) < values.max(0)
        std = np.where(varies, values.std(0), 0.0)
        return VectorSpec(columns=self._columns, mean=tuple(values.mean(0).tolist()), std=tuple(std.tolist()))

    def finish(self, counts: Mapping[str, int]) -> dict[Split, dict[str, str]]:
        """Write the files; return what the file of the images says about them, by split.

        `counts` has the images of each split.
        """
        written = {name: len(writer.rows) for name, writer in self._writers.items()}
        assert not self._columns or written == counts, f"numbers of {written} images, and {counts} images"
        about = {name: {VECTORS: writer.finish()} for name, writer in self._writers.items()}
        self.close()
        return about


@dataclass(frozen=True, kw_only=True)
class StoredVectors:
    """The numbers of a stored split: `values` float32 `(N, D)`, mapped."""

    columns: tuple[str, ...]
    values: Floats
    guard: Guard | None = None

    def check(self, rows: Rows) -> None:
        """Verify the numbers of `rows`; call it before you use them. Raises `DataError` when they changed."""
        if self.guard is not None:
            self.guard.check(rows)

    def picked(self, rows: Rows, columns: Sequence[str]) -> Floats:
        """Return the verified numbers of `rows`, float32 `(n, len(columns))`.

        Raises `DataError` when there is no such column.
        """
        missing = [name for name in columns if name not in self.columns]
        if missing:
            raise DataError(
                f"the network reads the columns {', '.join(columns)}, and the dataset lacks {', '.join(missing)}",
                hint=f"the columns of the dataset are {', '.join(self.columns)}",
            )
        self.check(rows)
        places = [self.columns.index(name) for name in columns]
        return np.ascontiguousarray(self.values[rows][:, places])


def read_vectors(path: Path, columns: tuple[str, ...], *, count: int, sha256: str) -> StoredVectors:
    """Map the numbers of a split with `count` images.

    Raises `ValueError` or `DataError` when the file is damaged, or its digests are not those with this SHA-256.
    """
    with open_regular(path, error=DataError) as file:
        layout = read_layout(file, path, error=DataError)
        start = file.tell()
    if layout != Layout.of(_tensors(count, len(columns)), {}):
        raise ValueError(f"{path.name} has no {len(columns)} numbers for each of {count:,} images")
    digests = np.fromfile(path, np.uint8, offset=start + layout.tensors["digests"].start).reshape(-1, DIGEST_BYTES)
    if hashlib.sha256(digests.tobytes()).hexdigest() != sha256:
        raise ValueError(f"{path.name} is not the file that belongs to these images")
    values = np.memmap(path, "<f4", "c", start, (count, len(columns))).view(np.ndarray)
    guard = Guard(values.view(np.uint8), digests, rows=rows_per_digest((len(columns) * _FLOAT_BYTES,)), path=path)
    return StoredVectors(columns=columns, values=values, guard=guard)


def _tensors(count: int, columns: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of the tensors, in the order of the file."""
    segments = -(-count // rows_per_digest((columns * _FLOAT_BYTES,)))
    return {"vectors": ("F32", (count, columns)), "digests": ("U8", (segments, DIGEST_BYTES))}
