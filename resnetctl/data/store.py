"""The store: a dataset as decoded uint8 images, one safetensors file a split, memory-mapped.

::

    DATA/<name>/card.json                     what is known of it (`DatasetCard`)
                train|val|test.safetensors    images uint8 (N, R, R, C), labels int64 (N,), blocks uint8 (B + 1, 32)
                manifest.jsonl                per image: split, row, name in the source, SHA-256 of its bytes

`blocks` holds the SHA-256 of every block of images (`data.blocks`) and, last, of the labels; a store from before has
none and is proved by `data check` alone. The folder appears by one rename when all of it is written.
"""

import contextlib
import dataclasses
import hashlib
import json
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod, sqrt
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.cards import CARD, MANIFEST, card_bytes, json_line, read_card
from resnetctl.data.digests import DIGEST_BYTES, Guard, digests, rows_of_block
from resnetctl.data.images import Pixels
from resnetctl.errors import DataError, UsageError
from resnetctl.spec import SPLITS, DatasetCard, Split
from resnetctl.system import storage

_HEADER = 512  # bytes kept for the header: it is known only when the last image is written
_BLOCK = 2**20  # bytes of pixels gathered before they are counted and written


@dataclass(frozen=True, kw_only=True)
class StoredSplit:
    """One split. `images` `(N, R, R, C)` uint8 is mapped copy-on-write: writing to it never reaches the file.

    `guard` proves blocks of images; None for a store without digests of its blocks.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    guard: Guard | None = None


@dataclass(frozen=True)
class Store:
    """A dataset in the store."""

    path: Path
    card: DatasetCard

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that it has, in the order train, val, test."""
        return tuple(name for name in SPLITS if name in self.card.splits)

    def file(self, name: Split) -> Path:
        return self.path / f"{name}.safetensors"

    def split(self, name: Split) -> StoredSplit:
        """Map one split. Raises `DataError` when the dataset has none of that name or its file is damaged."""
        if name not in self.card.splits:
            raise DataError(
                f"dataset '{self.card.name}' has no {name} split",
                where=str(self.path),
                hint=f"resnetctl data show {self.card.name}",
            )
        try:
            return _mapped(self.file(name), self.card)
        except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
            raise DataError(
                f"the {name} split of dataset '{self.card.name}' is damaged: {error}",
                where=str(self.file(name)),
                hint=[f"resnetctl data remove {self.card.name}", "then get or add it again"],
            ) from error


def open_store(data_dir: Path, name: str) -> Store:
    """The dataset `name`. Raises `DataError` with close names and commands when it is missing."""
    return Store(data_dir / name, read_card(data_dir, name))


@contextlib.contextmanager
def build(data_dir: Path, name: str, *, draft: DatasetCard, replace: bool = False) -> Iterator["Builder"]:
    """Write a dataset: add images to the `Builder` in any order; leaving the block without an error finishes it.

    `draft` gives classes, `image` (its `resize` and `channels` are the shape of what is stored; mean and std are
    measured), licence, source, defaults and notes. Memory stays flat: some images, 8 bytes a label, 32 a block.

    Raises:
        UsageError: the dataset is there and `replace` was not asked for.
        DataError: no image was added to train, or one does not fit the draft.
    """
    target = data_dir / name
    if target.exists() and not replace:
        raise exists(name)
    with storage.staged_folder(target, replace=replace) as folder, contextlib.ExitStack() as files:
        builder = Builder(folder, dataclasses.replace(draft, name=name), files)
        yield builder
        builder.finish()


def exists(name: str) -> UsageError:
    """The error for a name that is taken."""
    return UsageError(
        f"dataset '{name}' is in the store already",
        hint=[f"resnetctl data show {name}", "add --replace to write it anew, or choose another --name"],
    )


class Builder:
    """Takes the images of a new dataset; made by `build`. `notes` go into the card."""

    def __init__(self, folder: Path, draft: DatasetCard, files: contextlib.ExitStack) -> None:
        self.notes: list[str] = list(draft.notes)
        self.digests: dict[str, str] = {}
        self._folder = folder
        self._draft = draft
        self._files = files
        self._labels = {name: label for label, name in enumerate(draft.classes)}
        self._shape = (draft.image.resize, draft.image.resize, draft.image.channels)
        self._writers: dict[Split, _SplitWriter] = {}
        self._manifest: IO[bytes] = files.enter_context(storage.staged_file(folder / MANIFEST))

    def add(self, split: Split, image: Pixels, *, label: str, name: str, sha256: str) -> None:
        """Append one `(R, R, C)` image of class `label`, which came from `name` in the source."""
        if image.shape != self._shape or image.dtype != np.uint8:
            raise DataError(f"image of shape {image.shape} {image.dtype}, not {self._shape} uint8", where=name)
        if label not in self._labels:
            raise DataError(f"class '{label}' is not one of the card's", where=name)
        writer = self._writers.get(split) or self._open(split)
        row = writer.append(image, self._labels[label])
        self._manifest.write(json_line({"split": split, "row": row, "name": name, "sha256": sha256}))

    def add_array(self, split: Split, image: Pixels, *, label: str, name: str) -> None:
        """Append an image that came as an array: its digest is that of its pixels."""
        self.add(split, image, label=label, name=name, sha256=hashlib.sha256(image.tobytes()).hexdigest())

    @property
    def counts(self) -> dict[str, int]:
        """Images so far by split."""
        return {name: self._writers[name].count for name in SPLITS if name in self._writers}

    def finish(self) -> None:
        """Write what is gathered, and the card last."""
        if "train" not in self._writers:
            raise DataError(f"dataset '{self._draft.name}' would have no training image")
        for writer in self._writers.values():
            writer.finish()
        mean, std = self._writers["train"].mean_std()
        splits = self.counts
        self._files.close()
        digests = {name: storage.sha256(self._folder / f"{name}.safetensors") for name in splits}
        card = dataclasses.replace(
            self._draft,
            image=dataclasses.replace(self._draft.image, mean=mean, std=std),
            splits=splits,
            digests={**self.digests, **digests},
            notes=tuple(self.notes),
        )
        storage.write(self._folder / CARD, card_bytes(card))

    def _open(self, split: Split) -> "_SplitWriter":
        file = self._files.enter_context(storage.staged_file(self._folder / f"{split}.safetensors"))
        self._writers[split] = _SplitWriter(file, self._shape)
        return self._writers[split]


@dataclass
class _SplitWriter:
    """Streams one safetensors file: room for the header, images as they come, labels, digests, then the header."""

    file: IO[bytes]
    shape: tuple[int, int, int]
    labels: "array[int]" = field(default_factory=lambda: array("q"))
    block: list[Pixels] = field(default_factory=list)
    proofs: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.histogram = np.zeros((self.shape[2], 256), np.int64)
        self.rows = rows_of_block(self.shape)
        self.capacity = self.rows * max(1, _BLOCK // (self.rows * prod(self.shape)))
        self.file.write(bytes(_HEADER))

    @property
    def count(self) -> int:
        return len(self.labels)

    def append(self, image: Pixels, label: int) -> int:
        """Take one image; returns its row."""
        self.block.append(image)
        self.labels.append(label)
        if len(self.block) >= self.capacity:
            self.flush()
        return self.count - 1

    def flush(self) -> None:
        if self.block:
            images = np.stack(self.block)
            for channel, counts in enumerate(self.histogram):
                counts += np.bincount(images[..., channel].ravel(), minlength=256)
            self.proofs += digests(images, self.rows)
            self.file.write(images.tobytes())
            self.block.clear()

    def finish(self) -> None:
        self.flush()
        labels = np.array(self.labels, "<i8").tobytes()
        self.proofs.append(hashlib.sha256(labels).digest())
        self.file.write(labels + b"".join(self.proofs))
        size = self.count * prod(self.shape)
        end = size + len(labels)
        blocks = [len(self.proofs), DIGEST_BYTES]
        header = {
            "__metadata__": {"rows_of_block": str(self.rows)},
            "images": {"dtype": "U8", "shape": [self.count, *self.shape], "data_offsets": [0, size]},
            "labels": {"dtype": "I64", "shape": [self.count], "data_offsets": [size, end]},
            "blocks": {"dtype": "U8", "shape": blocks, "data_offsets": [end, end + prod(blocks)]},
        }
        text = json.dumps(header).encode().ljust(_HEADER - 8)  # the format allows trailing spaces
        assert len(text) == _HEADER - 8, "the header outgrew its room"
        self.file.seek(0)
        self.file.write(struct.pack("<Q", len(text)) + text)

    def mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Per channel in 0..1, from exact integer sums, rounded to 6 decimals."""
        pairs = [_mean_std([int(count) for count in counts]) for counts in self.histogram]
        return tuple(mean for mean, _ in pairs), tuple(std for _, std in pairs)


def _mean_std(histogram: list[int]) -> tuple[float, float]:
    count = sum(histogram)
    total = sum(value * times for value, times in enumerate(histogram))
    squares = sum(value * value * times for value, times in enumerate(histogram))
    variance = (count * squares - total * total) / (count * count)
    std = max(sqrt(variance), 1.0)  # a constant channel: one grey level, so that dividing stays harmless
    return round(total / count / 255, 6), round(std / 255, 6)


def _mapped(path: Path, card: DatasetCard) -> StoredSplit:
    """Map a split's file after checking that it is whole: a mapping past a file's end would kill the process."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > 2**20:
            raise ValueError("its header is over 1 MiB")
        header: dict[str, Any] = json.loads(file.read(length))
        size = file.seek(0, 2)
    shape, labelled = header["images"]["shape"], header["labels"]["shape"]
    pixels = prod(shape)
    expected = [shape[0], card.image.resize, card.image.resize, card.image.channels]
    if shape != expected or labelled != shape[:1] or shape[0] < 1:
        raise ValueError(f"images {shape} and labels {labelled} are not {expected}")
    start, proofs = 8 + length, header.get("blocks", {}).get("shape", [0, DIGEST_BYTES])
    end = start + pixels + 8 * shape[0]
    if size != end + prod(proofs):
        raise ValueError(f"it has {size:,} bytes, not {end + prod(proofs):,}")
    mapped = np.memmap(path, np.uint8, "c", start, tuple(shape))
    images = mapped.view(np.ndarray)  # a memmap runs Python code whenever it is indexed
    labels = np.fromfile(path, "<i8", shape[0], offset=start + pixels).astype(np.int64, copy=False)
    if labels.min() < 0 or labels.max() >= len(card.classes):
        raise ValueError(f"a label is outside 0..{len(card.classes) - 1}")
    if not proofs[0]:
        return StoredSplit(images=images, labels=labels)
    rows = int(header["__metadata__"]["rows_of_block"])
    if rows < 1 or proofs != [-(-shape[0] // rows) + 1, DIGEST_BYTES]:
        raise ValueError(f"{proofs} digests do not cover blocks of {rows} images")
    found = np.fromfile(path, np.uint8, offset=end).reshape(proofs)
    if hashlib.sha256(labels.astype("<i8").data).digest() != found[-1].tobytes():
        raise ValueError("its labels are not what was stored")
    return StoredSplit(images=images, labels=labels, guard=Guard(images, found[:-1], rows=rows, path=path))
