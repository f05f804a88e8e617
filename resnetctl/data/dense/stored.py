"""Boxes, masks or tags of one stored split: a safetensors file beside that of the images.

::

    DATA/<name>/train.truth.safetensors    sizes int64 (N, 2), width and height of the pictures in the source; and
        boxes: offsets int64 (N + 1,), boxes float32 (M, 4), labels int64 (M,), in pixels of the stored images
        masks: masks uint8 (N, R, R)
        tags: tags uint8 (N, K), 1 where an image has the class
        digests uint8 (D + 1, 32): of each segment of masks (`data.digests`) and, last, of all the other tensors

The file of the images has the SHA-256 of this file in its header. So the digest of a split covers its truth.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.digests import DIGEST_BYTES, Guard, rows_per_digest, segment_digests
from resnetctl.errors import DataError
from resnetctl.spec import Split, TruthKind
from resnetctl.system import storage
from resnetctl.system.plain_files import open_regular
from resnetctl.system.safetensors import Layout, header_bytes, read_layout

if TYPE_CHECKING:
    from resnetctl.spec import SceneTruths

TRUTH = "truth_sha256"  # metadata key of the file of the images: digest of the file with its boxes or masks
_HEADER_ROOM = 1024  # bytes: the header is written last
Rows = NDArray[np.int64]


def _no_boxes() -> NDArray[np.float32]:
    return np.empty((0, 4), np.float32)


def _no_labels() -> Rows:
    return np.empty(0, np.int64)


def _no_offsets() -> Rows:
    return np.zeros(1, np.int64)


@dataclass(frozen=True, kw_only=True)
class SceneTruth:
    """The truth of one image.

    Attributes:
        size: (width, height) of the picture in the source.
        boxes, labels: float32 `(m, 4)` in pixels of the stored image, and int64 `(m,)`.
        mask: uint8 `(R, R)`; None: the image has no mask.
        tags: uint8 `(K,)`, 1 for the classes of the image; None: it has boxes or a mask.
    """

    size: tuple[int, int]
    boxes: NDArray[np.float32] = field(default_factory=_no_boxes)
    labels: Rows = field(default_factory=_no_labels)
    mask: NDArray[np.uint8] | None = None
    tags: NDArray[np.uint8] | None = None


@dataclass
class TruthWriter:
    """Streams the truth of one split: masks as they come, the rest at the end."""

    file: IO[bytes]
    kind: TruthKind
    side: int
    _rows: list[SceneTruth] = field(default_factory=list)
    _digests: list[bytes] = field(default_factory=list)
    _segment: list[NDArray[np.uint8]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.per_digest = rows_per_digest((self.side, self.side))
        self.file.write(bytes(_HEADER_ROOM))

    def append(self, truth: SceneTruth) -> None:
        """Add the truth of the next image."""
        if self.kind == "masks":
            assert truth.mask is not None, "every image of this dataset has a mask"
            self._segment.append(truth.mask)
            if len(self._segment) == self.per_digest:
                self._flush()
            truth = SceneTruth(size=truth.size)
        self._rows.append(truth)

    def _flush(self) -> None:
        if self._segment:
            masks = np.stack(self._segment)
            self._digests += segment_digests(masks, self.per_digest)
            self.file.write(masks.tobytes())
            self._segment.clear()

    def finish(self) -> None:
        """Write what is left, and the header."""
        self._flush()
        parts = [np.array([row.size for row in self._rows], "<i8").reshape(-1, 2).tobytes()]
        if self.kind == "boxes":
            offsets = np.cumsum([0, *(len(row.boxes) for row in self._rows)])
            boxes, labels = (np.concatenate([getattr(row, key) for row in self._rows]) for key in ("boxes", "labels"))
            parts += [offsets.astype("<i8").tobytes(), labels.astype("<i8").tobytes(), boxes.astype("<f4").tobytes()]
        tags = [row.tags for row in self._rows if row.tags is not None]
        parts += [np.stack(tags).tobytes()] if tags else []
        self._digests.append(hashlib.sha256(b"".join(parts)).digest())
        self.file.write(b"".join([*parts, *self._digests]))
        count = sum(len(row.boxes) for row in self._rows)
        widths = {"boxes": count, "classes": len(tags[0]) if tags else 0}
        tensors = _tensors(self.kind, len(self._rows), side=self.side, widths=widths, segments=len(self._digests))
        self.file.seek(0)
        self.file.write(header_bytes(Layout.of(tensors, {"truth": self.kind}), room=_HEADER_ROOM))


class TruthFiles(contextlib.ExitStack):
    """The files of a new dataset: one for each split that has boxes or masks."""

    def __init__(self, folder: Path, kind: TruthKind, side: int) -> None:
        super().__init__()
        self._folder, self._kind, self._side = folder, kind, side
        self._writers: dict[Split, TruthWriter] = {}

    def append(self, split: Split, truth: SceneTruth) -> None:
        """Add the truth of the next image of a split."""
        if split not in self._writers:
            file = self.enter_context(storage.staged_file(self._folder / truth_name(split)))
            self._writers[split] = TruthWriter(file, self._kind, self._side)
        self._writers[split].append(truth)

    def finish(self) -> dict[Split, dict[str, str]]:
        """Close the files; return what the file of the images says about them, by split."""
        for writer in self._writers.values():
            writer.finish()
        self.close()
        return {name: {TRUTH: storage.sha256(self._folder / truth_name(name))} for name in self._writers}


def truth_name(split: Split) -> str:
    """Return the name of the file with the boxes or masks of a split."""
    return f"{split}.truth.safetensors"


def _tensors(
    kind: str, count: int, *, side: int, widths: Mapping[str, int], segments: int
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of the tensors, in the order of the file; `widths` has the number of boxes and classes."""
    sizes = {"sizes": ("I64", (count, 2))}
    digests = {"digests": ("U8", (segments, DIGEST_BYTES))}
    if kind == "masks":
        return {"masks": ("U8", (count, side, side)), **sizes, **digests}
    if kind == "tags":
        return {**sizes, "tags": ("U8", (count, widths["classes"])), **digests}
    boxes = widths["boxes"]
    objects = {"offsets": ("I64", (count + 1,)), "labels": ("I64", (boxes,)), "boxes": ("F32", (boxes, 4))}
    return {**sizes, **objects, **digests}


@dataclass(frozen=True, kw_only=True)
class StoredTruth:
    """The truth of a stored split, mapped or in memory. Attributes as in the file; `side` is that of the images."""

    kind: TruthKind
    side: int
    sizes: Rows
    offsets: Rows = field(default_factory=_no_offsets)
    boxes: NDArray[np.float32] = field(default_factory=_no_boxes)
    labels: Rows = field(default_factory=_no_labels)
    masks: NDArray[np.uint8] | None = None
    tags: NDArray[np.uint8] | None = None
    guard: Guard | None = None

    def check(self, rows: Rows) -> None:
        """Verify the masks of `rows`; call it before you use them. Raises `DataError` when they changed."""
        if self.guard is not None:
            self.guard.check(rows)

    def tensors(self) -> SceneTruths:
        """Return the truth of the whole split as torch tensors that share its memory."""
        import torch

        from resnetctl.spec import Boxes, Masks, Tags

        if self.tags is not None:
            return Tags(tags=torch.from_numpy(self.tags))
        if self.masks is not None:
            return Masks(masks=torch.from_numpy(self.masks))
        offsets, boxes, labels = map(torch.from_numpy, (self.offsets, self.boxes, self.labels))
        return Boxes(offsets=offsets, boxes=boxes, labels=labels)

    def counts(self, rows: Rows, classes: int) -> Rows:
        """Return the boxes, the pixels, or the images of each class in `rows`, int64 `(classes,)`."""
        self.check(rows)
        if self.tags is not None:
            return np.asarray(self.tags[rows].sum(0), np.int64)
        if self.masks is not None:
            pixels = np.zeros(256, np.int64)
            for row in rows.tolist():
                pixels += np.bincount(self.masks[row].ravel(), minlength=256)
            return pixels[:classes]
        inside = np.repeat(np.isin(np.arange(len(self.sizes)), rows), np.diff(self.offsets))
        return np.bincount(self.labels[inside], minlength=classes)

    def empty(self, rows: Rows) -> int:
        """Return how many of the images in `rows` have no box, no pixel of a known class, or no tag."""
        if self.tags is not None:
            return int((~self.tags[rows].any(1)).sum())
        if self.masks is not None:
            return sum(bool((self.masks[row] == 255).all()) for row in rows.tolist())
        return int((np.diff(self.offsets)[rows] == 0).sum())


def read_truth(path: Path, kind: TruthKind, *, count: int, side: int, classes: int, sha256: str) -> StoredTruth:
    """Return the truth of a split with `count` images. Masks are mapped, boxes are read.

    Raises `ValueError` or `DataError` when the file is damaged, or not the one with this SHA-256.
    """
    with open_regular(path, error=DataError) as file:
        layout = read_layout(file, path, error=DataError)
        start = file.tell()
    shapes = {name: info.shape for name, info in layout.tensors.items()}
    boxes = prod(shapes.get("labels", (0,)))
    segments = -(-count // rows_per_digest((side, side))) + 1 if kind == "masks" else 1
    widths = {"boxes": boxes, "classes": classes}
    expected = Layout.of(_tensors(kind, count, side=side, widths=widths, segments=segments), {"truth": kind})
    if layout != expected:
        raise ValueError(f"the tensors of {path.name} are { ({name: list(shape) for name, shape in shapes.items()}) }")

    def read(name: str, dtype: str) -> NDArray[Any]:
        info = layout.tensors[name]
        values = np.fromfile(path, dtype, prod(info.shape), offset=start + info.start)
        return values.reshape(info.shape)

    digests = read("digests", "u1")
    columns = [read("sizes", "<i8")]
    if kind == "boxes":
        columns += [read("offsets", "<i8"), read("labels", "<i8"), read("boxes", "<f4")]
    columns += [read("tags", "u1")] if kind == "tags" else []
    if hashlib.sha256(b"".join(column.tobytes() for column in columns)).digest() != digests[-1].tobytes():
        raise ValueError(f"{path.name} changed since it was stored")
    sizes = columns[0].astype(np.int64, copy=False)
    if kind == "masks":
        mapped = np.memmap(path, np.uint8, "c", start, shapes["masks"]).view(np.ndarray)
        guard = Guard(mapped, digests[:-1], rows=rows_per_digest((side, side)), path=path)
        return StoredTruth(kind=kind, side=side, sizes=sizes, masks=mapped, guard=guard)
    if storage.sha256(path) != sha256:  # a mask file is verified by its segments instead
        raise ValueError(f"{path.name} is not the file that belongs to these images")
    if kind == "tags":
        if columns[1].max(initial=0) > 1:
            raise ValueError("a tag is neither 0 nor 1")
        return StoredTruth(kind=kind, side=side, sizes=sizes, tags=columns[1])
    offsets, labels, corners = columns[1:]
    _require_sound(offsets, labels, corners, classes=classes, side=side)
    return StoredTruth(kind=kind, side=side, sizes=sizes, offsets=offsets, labels=labels, boxes=corners)


def _require_sound(offsets: Rows, labels: Rows, boxes: NDArray[np.float32], *, classes: int, side: int) -> None:
    if offsets[0] != 0 or offsets[-1] != len(labels) or (np.diff(offsets) < 0).any():
        raise ValueError("the offsets of the boxes are not ascending")
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"the label of a box is outside 0..{classes - 1}")
    if not ((boxes >= 0) & (boxes <= side)).all() or not (boxes[:, 2:] > boxes[:, :2]).all():
        raise ValueError("a box lies outside its image, or has no area")
