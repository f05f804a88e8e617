"""The store: datasets as uint8 images, in one of two forms, with one file of columns per split.

::

    DATA/<name>/card.json                     the `DatasetCard`; its `storage` names the form
                train|val|test.safetensors    labels int64 (N,), groups int64 (N,) if images must stay in one split, and
                                              raw: images uint8 (N, R, R, C), digests (`data.storage.raw`)
                                              jpeg: where each file lies, digests (`data.storage.files`)
                train-00000.bin ...           jpeg: the files as they came, which are decoded when they are read; in
                                              cache/ if the card says that they stay on a server
                train|...truth.safetensors    boxes or masks, if the card says so (`data.dense.stored`)
                train|...vectors.safetensors  numbers of the images, if the card has them (`data.vectors.stored`)
                manifest.jsonl                per image: split, row, source name, SHA-256 of its file

`groups` has the first row of each row's group (`data.split_groups`). In datasets of boxes or masks, a label is the
rarest class in the image, or the number of classes where there is none; splits are stratified by it. The folder is
written under a temporary name and then renamed.
"""

import contextlib
import dataclasses
import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnetctl.data import split_groups
from resnetctl.data.cards import CARD, MANIFEST, card_bytes, check_name, exists, json_line, read_card
from resnetctl.data.channel_statistics import mean_std
from resnetctl.data.dense.stored import TRUTH, SceneTruth, StoredTruth, TruthFiles, read_truth, truth_name
from resnetctl.data.digests import Guard
from resnetctl.data.reading.decode import Pixels
from resnetctl.data.storage.files import FileWriter
from resnetctl.data.storage.raw import RawWriter, open_raw
from resnetctl.data.storage.rows import FileImages, open_files
from resnetctl.data.vectors.stored import VECTORS, StoredVectors, Vector, VectorFiles, read_vectors, vectors_name
from resnetctl.errors import DataError
from resnetctl.hints import Call
from resnetctl.spec import SPLITS, DatasetCard, ImageSpec, Split, VectorSpec
from resnetctl.system import storage
from resnetctl.wording import counted

Images = Pixels | FileImages  # an array `(N, R, R, C)` uint8, or what is read as one


@dataclass(frozen=True, kw_only=True)
class StoredSplit:
    """One split of a stored dataset.

    Attributes:
        images: `(N, R, R, C)` uint8, mapped copy-on-write: writes to it never reach the file; or decoded when read.
        labels: `(N,)` int64.
        guard: verifies images before use; None: they are verified when they are decoded.
        groups: `(N,)` int64, the first row of each row's group; None: every image is on its own.
        truth: boxes or masks; None: the labels are the truth.
        vectors: the numbers that come with each image; None without numbers.
    """

    images: Images
    labels: NDArray[np.int64]
    guard: Guard | None
    groups: NDArray[np.int64] | None = None
    truth: StoredTruth | None = None
    vectors: StoredVectors | None = None


class Original(NamedTuple):
    """The file of an image: its name in the source, its SHA-256, and its bytes, b"" where the form is raw."""

    name: str
    sha256: str
    data: bytes = b""


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
            return _opened(self, name)
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
def build(
    data_dir: Path, name: str, *, draft: DatasetCard, replace: bool = False, shard_bytes: int = 0
) -> Iterator["Builder"]:
    """Yield a `Builder` for a new dataset. Add images in any order; the dataset appears when `with` ends.

    Memory stays flat: a few images, 29 bytes per image, 32 bytes per segment. After an error nothing is stored.

    Args:
        draft: classes, licence, source, defaults, notes, the form (`storage`), the columns of `vector`, and `image`,
            whose `resize` and `channels` are the shape of the stored images. Mean and std are measured.
        replace: replace a dataset with this name.
        shard_bytes: at most, of a shard of files; 0: as `data.storage.files` says.

    Raises:
        UsageError: the dataset exists and `replace` is False, or nothing may have this name.
        DataError: train has no images, or an image does not match the draft.
    """
    check_name(name)
    target = data_dir / name
    if target.exists() and not replace:
        raise exists(name)
    with storage.staged_folder(target, replace=replace) as folder, contextlib.ExitStack() as files:
        builder = Builder(folder, dataclasses.replace(draft, name=name), files, shard_bytes=shard_bytes)
        yield builder
        builder.finish()


class Builder:
    """Writes the images of a new dataset; created by `build`. `notes` and `digests` are written to the card."""

    def __init__(self, folder: Path, draft: DatasetCard, files: contextlib.ExitStack, *, shard_bytes: int = 0) -> None:
        self._shard_bytes = shard_bytes
        self.notes: list[str] = list(draft.notes)
        self.digests: dict[str, str] = {}
        self._folder = folder
        self._draft = draft
        self._files = files
        self._labels = {name: label for label, name in enumerate(draft.classes)}
        self._shape = _shape(draft.image)
        self._writers: dict[Split, RawWriter | FileWriter] = {}
        self._truths = files.enter_context(TruthFiles(folder, draft.truth, draft.image.resize))
        self._vectors = files.enter_context(VectorFiles(folder, draft.vector))
        self._pixel_keys, self._group_keys, self._splits = array("q"), array("q"), array("b")
        self._classes = array("i")
        self._group_numbers: dict[str, int] = {}
        self._manifest: IO[bytes] = files.enter_context(storage.staged_file(folder / MANIFEST))

    def add(self, split: Split, image: Pixels, *, label: str, name: str, sha256: str, group: str = "") -> None:
        """Append an image as `add_file` does, without the bytes of its file."""
        self.add_file(split, image, label=label, file=Original(name, sha256), group=group)

    def add_file(self, split: Split, image: Pixels, *, label: str, file: Original, group: str = "") -> None:
        """Append one `(R, R, C)` uint8 image of class `label`, and the file that it was decoded from.

        A `group` that is not empty stays in one split where a split is drawn, as identical images do.
        """
        if label not in self._labels:
            raise DataError(f"class '{label}' is not in the card", where=file.name)
        self._append(split, image, self._labels[label], file=file, group=group)

    def add_scene(self, split: Split, image: Pixels, *, label: int, truth: SceneTruth, file: Original) -> None:
        """Append one image with boxes or a mask. `label` is its rarest class, or the number of classes."""
        self._append(split, image, label, file=file, group="")
        self._truths.append(split, truth)

    def add_vector(self, split: Split, vector: Vector) -> None:
        """Append the numbers of the image that was added last, float32 `(D,)`."""
        self._vectors.append(split, vector)

    @property
    def vector(self) -> VectorSpec | None:
        """Columns, mean and std of the numbers of train so far; None without numbers."""
        return self._vectors.spec()

    @property
    def image(self) -> ImageSpec:
        """The shape of the stored images."""
        return self._draft.image

    def _append(self, split: Split, image: Pixels, label: int, *, file: Original, group: str) -> None:
        if image.shape != self._shape or image.dtype != np.uint8:
            raise DataError(f"the image is {image.shape} {image.dtype}, not {self._shape} uint8", where=file.name)
        writer, key = self._writers.get(split) or self._open(split), split_groups.pixel_key(image)
        row = writer.append(image, label, key=key, file=file.data, digest=file.sha256)
        self._pixel_keys.append(key)
        self._group_keys.append(self._group_numbers.setdefault(group, len(self._group_numbers)) if group else -1)
        self._splits.append(SPLITS.index(split))
        self._classes.append(label)
        self._manifest.write(json_line({"split": split, "row": row, "name": file.name, "sha256": file.sha256}))

    def add_array(self, split: Split, image: Pixels, *, label: str, name: str) -> None:
        """Append an image that has no file; its SHA-256 is that of its pixels."""
        self.add(split, image, label=label, name=name, sha256=hashlib.sha256(image.tobytes()).hexdigest())

    @property
    def counts(self) -> dict[str, int]:
        """Images added so far, by split."""
        return {name: self._writers[name].count for name in SPLITS if name in self._writers}

    def groups(self) -> NDArray[np.int64]:
        """Return the group of each image so far, in the order in which they were added (`data.split_groups.joined`)."""
        return split_groups.joined(self._pixel_keys, self._group_keys)

    def _group_notes(self) -> list[str]:
        splits = np.asarray(self._splits, np.int64)
        same = split_groups.joined(self._pixel_keys)
        classes = np.asarray(self._classes if self._draft.truth == "labels" else same * 0, np.int64)
        twins = split_groups.Twins(
            sizes=tuple(split_groups.sizes(same).tolist()),
            divided=split_groups.divided(same, splits),
            relabelled=split_groups.divided(same, classes),
        )
        notes = [twins.note()]
        if self._group_numbers:
            divided = split_groups.divided(split_groups.joined(self._group_keys), splits)
            where = f"{divided:,} of them in two splits" if divided else "each in one split"
            notes.append(f"{counted(len(self._group_numbers), 'group')} of images, {where}")
        return [note for note in notes if note]

    def finish(self) -> None:
        """Write the buffered images and, last, the card."""
        if "train" not in self._writers:
            raise DataError(f"dataset '{self._draft.name}' would have no training images")
        groups, split_of = self.groups(), np.asarray(self._splits)
        vector, vectors, truths = self.vector, self._vectors.finish(self.counts), self._truths.finish()
        for name, writer in self._writers.items():
            about = {**truths.get(name, {}), **vectors.get(name, {})}
            writer.finish(split_groups.within(groups, split_of == SPLITS.index(name)), about)
        self.notes += self._group_notes()
        mean, std = mean_std(self._writers["train"].histogram)
        splits = self.counts
        self._files.close()
        digests = {name: storage.sha256(self._folder / f"{name}.safetensors") for name in splits}
        if self._draft.storage == "jpeg":
            digests[MANIFEST] = storage.sha256(self._folder / MANIFEST)
        card = dataclasses.replace(
            self._draft,
            image=dataclasses.replace(self._draft.image, mean=mean, std=std),
            vector=vector,
            splits=splits,
            digests={**self.digests, **digests},
            notes=tuple(self.notes),
        )
        storage.write(self._folder / CARD, card_bytes(card))

    def _open(self, split: Split) -> RawWriter | FileWriter:
        path = self._folder / f"{split}.safetensors"
        if self._draft.storage == "jpeg":
            self._writers[split] = FileWriter(path, self._shape, self._files, shard_bytes=self._shard_bytes)
        else:
            self._writers[split] = RawWriter(self._files.enter_context(storage.staged_file(path)), self._shape)
        return self._writers[split]


def _opened(store: Store, name: Split) -> StoredSplit:
    """Return a split, checked as far as no image must be read."""
    path, card = store.file(name), store.card
    guard: Guard | None = None
    images: Images
    if card.storage == "jpeg":
        images, table = open_files(path, card.image, remote=card.remote)
    else:
        images, guard, table = open_raw(path, _shape(card.image))
    labels, groups = table.columns["labels"], table.columns.get("groups")
    most = len(card.classes) - (card.truth == "labels")  # an image with boxes or a mask may have no class
    if labels.min() < 0 or labels.max() > most:
        raise ValueError(f"a label is outside 0..{most}")
    if groups is not None and not (groups.min() >= 0 and (groups <= np.arange(len(groups))).all()):
        raise ValueError("a group does not begin at one of its rows")
    truth = None
    if card.truth != "labels":
        truth = read_truth(
            store.truth_file(name),
            card.truth,
            count=len(labels),
            side=card.image.resize,
            classes=len(card.classes),
            sha256=table.metadata.get(TRUTH, ""),
        )
    vectors = None
    if card.vector is not None:
        vectors = read_vectors(
            store.path / vectors_name(name),
            card.vector.columns,
            count=len(labels),
            sha256=table.metadata.get(VECTORS, ""),
        )
    return StoredSplit(images=images, labels=labels, guard=guard, groups=groups, truth=truth, vectors=vectors)


def _shape(image: ImageSpec) -> tuple[int, int, int]:
    return image.resize, image.resize, image.channels
