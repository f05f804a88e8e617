"""The store: datasets as decoded uint8 images, with one memory-mapped safetensors file per split.

::

    DATA/<name>/card.json                     the `DatasetCard`
                train|val|test.safetensors    images uint8 (N, R, R, C), labels int64 (N,), digests uint8 (D + 1, 32),
                                              and groups int64 (N,) if images must stay in one split
                train|...truth.safetensors    boxes or masks, if the card says so (`data.dense.stored`)
                manifest.jsonl                per image: split, row, source name, SHA-256 of its file

`digests` has the SHA-256 of each segment of images (`data.digests`) and, last, that of the labels and groups. `groups`
has the first row of each row's group (`data.groups`). In datasets of boxes or masks, a label is the rarest class in the
image, or the number of classes where there is none; splits are stratified by it. The folder is written under a
temporary name and then renamed.
"""

import contextlib
import dataclasses
import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from resnetctl.data import groups as grouping
from resnetctl.data.cards import CARD, MANIFEST, card_bytes, check_name, json_line, read_card
from resnetctl.data.channel_statistics import mean_std
from resnetctl.data.dense.stored import TRUTH, SceneTruth, StoredTruth, TruthFiles, read_truth, truth_name
from resnetctl.data.digests import DIGEST_BYTES, Guard, rows_per_digest, segment_digests
from resnetctl.data.reading.decode import Pixels
from resnetctl.errors import DataError, UsageError
from resnetctl.hints import Call, Setting
from resnetctl.spec import SPLITS, DatasetCard, ImageSpec, Split
from resnetctl.system import storage
from resnetctl.system.plain_files import open_regular
from resnetctl.system.safetensors import Layout, header_bytes, read_layout
from resnetctl.wording import counted

_HEADER_ROOM = 512  # bytes: the header is written last, after the images are counted
ROWS_PER_DIGEST = "rows_per_digest"  # metadata key of a split file: images per digest
_BUFFER = 2**20  # bytes of pixels to collect before they are written


@dataclass(frozen=True, kw_only=True)
class StoredSplit:
    """One split of a stored dataset.

    Attributes:
        images: `(N, R, R, C)` uint8, mapped copy-on-write: writes to it never reach the file.
        labels: `(N,)` int64.
        guard: verifies images before use.
        groups: `(N,)` int64, the first row of each row's group; None: every image is on its own.
        truth: boxes or masks; None: the labels are the truth.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    guard: Guard
    groups: NDArray[np.int64] | None = None
    truth: StoredTruth | None = None


@dataclass(frozen=True)
class Store:
    """A dataset in the store."""

    path: Path
    card: DatasetCard

    @property
    def splits(self) -> tuple[Split, ...]:
        """Names of its splits, in the order train, val, test."""
        return tuple(name for name in SPLITS if name in self.card.splits)

    def file(self, name: Split) -> Path:
        """Return the path of a split's file."""
        return self.path / f"{name}.safetensors"

    def truth_file(self, name: Split) -> Path:
        """Return the path of the boxes or masks of a split."""
        return self.path / truth_name(name)

    def split(self, name: Split) -> StoredSplit:
        """Map a split into memory. Raises `DataError` when the dataset has no such split or its file is damaged."""
        if name not in self.card.splits:
            raise DataError(
                f"dataset '{self.card.name}' has no {name} split",
                where=str(self.path),
                hint=Call("data show", (self.card.name,)),
            )
        try:
            return _mapped(self.file(name), self.card, truth=self.truth_file(name))
        except (DataError, OSError, ValueError, KeyError) as error:
            reason = error.message if isinstance(error, DataError) else error
            raise DataError(
                f"the {name} split of dataset '{self.card.name}' is damaged: {reason}",
                where=str(self.file(name)),
                hint=[Call("data remove", (self.card.name,)), "then get or add it again"],
            ) from error


def open_store(data_dir: Path, name: str) -> Store:
    """Return the dataset `name`. Raises `DataError` with similar names and hints when it is missing."""
    return Store(data_dir / name, read_card(data_dir, name))


@contextlib.contextmanager
def build(data_dir: Path, name: str, *, draft: DatasetCard, replace: bool = False) -> Iterator["Builder"]:
    """Yield a `Builder` for a new dataset. Add images in any order; the dataset appears when `with` ends.

    Memory stays flat: a few images, 25 bytes per image, 32 bytes per segment. After an error nothing is stored.

    Args:
        draft: classes, licence, source, defaults, notes, and `image`, whose `resize` and `channels` are the shape of
            the stored images. Mean and std are measured.
        replace: replace a dataset with this name.

    Raises:
        UsageError: the dataset exists and `replace` is False, or nothing may have this name.
        DataError: train has no images, or an image does not match the draft.
    """
    check_name(name)
    target = data_dir / name
    if target.exists() and not replace:
        raise exists(name)
    with storage.staged_folder(target, replace=replace) as folder, contextlib.ExitStack() as files:
        builder = Builder(folder, dataclasses.replace(draft, name=name), files)
        yield builder
        builder.finish()


def exists(name: str) -> UsageError:
    """Return the error for a name that is taken."""
    return UsageError(
        f"dataset '{name}' is already in the store",
        hint=[
            Call("data show", (name,)),
            Setting("replace", note="replaces it"),
            Setting("name", "OTHER", note="stores it under another name"),
        ],
    )


class Builder:
    """Writes the images of a new dataset; created by `build`. `notes` and `digests` are written to the card."""

    def __init__(self, folder: Path, draft: DatasetCard, files: contextlib.ExitStack) -> None:
        self.notes: list[str] = list(draft.notes)
        self.digests: dict[str, str] = {}
        self._folder = folder
        self._draft = draft
        self._files = files
        self._labels = {name: label for label, name in enumerate(draft.classes)}
        self._shape = (draft.image.resize, draft.image.resize, draft.image.channels)
        self._writers: dict[Split, _SplitWriter] = {}
        self._truths = files.enter_context(TruthFiles(folder, draft.truth, draft.image.resize))
        self._pixel_keys, self._group_keys, self._splits = array("q"), array("q"), array("b")
        self._group_numbers: dict[str, int] = {}
        self._manifest: IO[bytes] = files.enter_context(storage.staged_file(folder / MANIFEST))

    def add(self, split: Split, image: Pixels, *, label: str, name: str, sha256: str, group: str = "") -> None:
        """Append one `(R, R, C)` uint8 image of class `label`. `name` is its name in the source.

        A `group` that is not empty stays in one split where a split is drawn, as identical images do.
        """
        if label not in self._labels:
            raise DataError(f"class '{label}' is not in the card", where=name)
        self._append(split, image, self._labels[label], name=name, sha256=sha256, group=group)

    def add_scene(self, split: Split, image: Pixels, *, label: int, truth: SceneTruth, name: str, sha256: str) -> None:
        """Append one image with boxes or a mask. `label` is its rarest class, or the number of classes."""
        self._append(split, image, label, name=name, sha256=sha256, group="")
        self._truths.append(split, truth)

    @property
    def image(self) -> ImageSpec:
        """The shape of the stored images."""
        return self._draft.image

    def _append(self, split: Split, image: Pixels, label: int, *, name: str, sha256: str, group: str) -> None:
        if image.shape != self._shape or image.dtype != np.uint8:
            raise DataError(f"the image is {image.shape} {image.dtype}, not {self._shape} uint8", where=name)
        writer = self._writers.get(split) or self._open(split)
        row = writer.append(image, label)
        self._pixel_keys.append(grouping.pixel_key(image))
        self._group_keys.append(self._group_numbers.setdefault(group, len(self._group_numbers)) if group else -1)
        self._splits.append(SPLITS.index(split))
        self._manifest.write(json_line({"split": split, "row": row, "name": name, "sha256": sha256}))

    def add_array(self, split: Split, image: Pixels, *, label: str, name: str) -> None:
        """Append an image that has no file; its SHA-256 is that of its pixels."""
        self.add(split, image, label=label, name=name, sha256=hashlib.sha256(image.tobytes()).hexdigest())

    @property
    def counts(self) -> dict[str, int]:
        """Images added so far, by split."""
        return {name: self._writers[name].count for name in SPLITS if name in self._writers}

    def groups(self) -> NDArray[np.int64]:
        """Return the group of each image so far, in the order in which they were added (`data.groups.joined`)."""
        return grouping.joined(self._pixel_keys, self._group_keys)

    def _group_notes(self) -> list[str]:
        splits = np.asarray(self._splits, np.int64)
        same = grouping.joined(self._pixel_keys)
        twins = grouping.Twins(sizes=tuple(grouping.sizes(same).tolist()), divided=grouping.divided(same, splits))
        notes = [twins.note()]
        if self._group_numbers:
            divided = grouping.divided(grouping.joined(self._group_keys), splits)
            where = f"{divided:,} of them in two splits" if divided else "each in one split"
            notes.append(f"{counted(len(self._group_numbers), 'group')} of images, {where}")
        return [note for note in notes if note]

    def finish(self) -> None:
        """Write the buffered images and, last, the card."""
        if "train" not in self._writers:
            raise DataError(f"dataset '{self._draft.name}' would have no training images")
        groups, split_of = self.groups(), np.asarray(self._splits)
        truths = self._truths.finish()
        for name, writer in self._writers.items():
            writer.finish(_within(groups, split_of == SPLITS.index(name)), truths.get(name, {}))
        self.notes += self._group_notes()
        mean, std = mean_std(self._writers["train"].histogram)
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
    """Streams one safetensors file: room for the header, images, labels, digests, and last the header."""

    file: IO[bytes]
    shape: tuple[int, int, int]
    labels: "array[int]" = field(default_factory=lambda: array("q"))
    buffer: list[Pixels] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.histogram = np.zeros((self.shape[2], 256), np.int64)
        self.rows = rows_per_digest(self.shape)
        self.capacity = self.rows * max(1, _BUFFER // (self.rows * prod(self.shape)))  # images: whole segments
        self.file.write(bytes(_HEADER_ROOM))

    @property
    def count(self) -> int:
        return len(self.labels)

    def append(self, image: Pixels, label: int) -> int:
        """Buffer one image; return its row."""
        self.buffer.append(image)
        self.labels.append(label)
        if len(self.buffer) >= self.capacity:
            self.flush()
        return self.count - 1

    def flush(self) -> None:
        if self.buffer:
            images = np.stack(self.buffer)
            for channel, counts in enumerate(self.histogram):
                counts += np.bincount(images[..., channel].ravel(), minlength=256)
            self.digests += segment_digests(images, self.rows)
            self.file.write(images.tobytes())
            self.buffer.clear()

    def finish(self, groups: NDArray[np.int64] | None, about: dict[str, str]) -> None:
        """Write the labels, the groups and the digests, then the header, which is also `about` the truth."""
        self.flush()
        labels = np.array(self.labels, "<i8").tobytes()
        grouped = b"" if groups is None else groups.astype("<i8").tobytes()
        self.digests.append(hashlib.sha256(labels + grouped).digest())
        self.file.write(labels + grouped + b"".join(self.digests))
        tensors = _tensors(self.count, self.shape, rows=self.rows, has_groups=groups is not None)
        layout = Layout.of(tensors, {ROWS_PER_DIGEST: str(self.rows), **about})
        self.file.seek(0)
        self.file.write(header_bytes(layout, room=_HEADER_ROOM))


def _within(groups: NDArray[np.int64], is_inside: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Return the groups of the images of one split, as rows of this split; None if no two images are together."""
    inside = groups[is_inside]
    _, first, number = np.unique(inside, return_index=True, return_inverse=True)
    return first[number] if len(first) < len(inside) else None


def _tensors(
    count: int, shape: tuple[int, ...], *, rows: int, has_groups: bool
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of the tensors in a split file of `count` images, in the order of the file."""
    segments = -(-count // rows)
    return {
        "images": ("U8", (count, *shape)),
        "labels": ("I64", (count,)),
        **({"groups": ("I64", (count,))} if has_groups else {}),
        "digests": ("U8", (segments + 1, DIGEST_BYTES)),
    }


def _mapped(path: Path, card: DatasetCard, *, truth: Path) -> StoredSplit:
    """Return a mapped split file, which is checked first: reading a mapping past the file's end kills the process."""
    with open_regular(path, error=DataError) as file:
        layout = read_layout(file, path, error=DataError)
        start = file.tell()
    shape = (card.image.resize, card.image.resize, card.image.channels)
    count = prod(layout.tensors["labels"].shape) if "labels" in layout.tensors else 0
    rows = int(layout.metadata.get(ROWS_PER_DIGEST, 0))
    has_groups = "groups" in layout.tensors
    expected = _tensors(count, shape, rows=rows, has_groups=has_groups) if rows > 0 else {}
    if count < 1 or layout != Layout.of(expected, layout.metadata):
        shapes = {name: list(info.shape) for name, info in layout.tensors.items()}
        raise ValueError(f"its tensors are {shapes}, not images of {list(shape)} with labels and digests")
    mapped = np.memmap(path, np.uint8, "c", start, layout.tensors["images"].shape)
    images = mapped.view(np.ndarray)  # a memmap runs Python code on every indexing, an array does not
    columns = np.fromfile(path, "<i8", count * (1 + has_groups), offset=start + layout.tensors["labels"].start)
    labels, *rest = np.split(columns.astype(np.int64, copy=False), 1 + has_groups)
    groups = rest[0] if rest else None
    most = len(card.classes) - (card.truth == "labels")  # an image with boxes or a mask may have no class
    if labels.min() < 0 or labels.max() > most:
        raise ValueError(f"a label is outside 0..{most}")
    if groups is not None and not (groups.min() >= 0 and (groups <= np.arange(count)).all()):
        raise ValueError("a group does not begin at one of its rows")
    digests = np.fromfile(path, np.uint8, offset=start + layout.tensors["digests"].start).reshape(-1, DIGEST_BYTES)
    if hashlib.sha256(columns.data).digest() != digests[-1].tobytes():
        raise ValueError("its labels changed since they were stored")
    guard = Guard(images, digests[:-1], rows=rows, path=path)
    known = None
    if card.truth != "labels":
        sha256 = layout.metadata.get(TRUTH, "")
        known = read_truth(truth, card.truth, count=count, side=shape[0], classes=len(card.classes), sha256=sha256)
    return StoredSplit(images=images, labels=labels, guard=guard, groups=groups, truth=known)
