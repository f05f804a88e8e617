"""The images of train, val and test. A split that is not stored depends only on labels, fraction and seed.

Training calls `open_sets`, which never opens the test split. Evaluation calls `open_eval_set`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.data import split_groups
from resnetctl.data.dense.stored import StoredTruth
from resnetctl.data.digests import Guard
from resnetctl.data.images import centre_crop, fit, with_channels
from resnetctl.data.reading.decode import Pixels
from resnetctl.data.store import Images, Store
from resnetctl.data.vectors.stored import StoredVectors
from resnetctl.errors import DataError
from resnetctl.hints import Call, Hint, Setting
from resnetctl.rng import derive
from resnetctl.spec import ImageSpec, Labels, Split, Truth, ValSplit, VectorSpec
from resnetctl.wording import counted

Rows = NDArray[np.int64]
Inputs = tuple[NDArray[Any], ...]  # images (B, S, S, C) uint8, and numbers (B, D) float32 if a network reads some
EVAL_BATCH = 128  # images; larger batches exceed the cache of a CPU


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """The images of one split, for training or evaluation.

    Attributes:
        images: `(N, R, R, C)` uint8, a whole stored split, mapped or decoded when read.
        labels: `(N,)` int64, of the stored split.
        index: `(M,)` int64, the rows of `images` that belong to this set, ascending.
        classes: names in label order.
        split: the split that is used: "val" if test was requested and the dataset has no test split.
        store_digest: SHA-256 of the stored split's file.
        guard: verifies mapped images; None: they are not from the store, or are verified when they are decoded.
        groups: `(N,)` int64, the first row of each row's group, which stays in one split; None: there are no groups.
        truth: boxes or masks of the stored split; None: the labels are the truth.
        vectors: numbers of the stored split; None: there are none, or the network does not read them.
    """

    images: Images
    labels: Rows
    index: Rows
    classes: tuple[str, ...]
    split: Split
    store_digest: str = ""
    guard: Guard | None = None
    groups: Rows | None = None
    truth: StoredTruth | None = None
    vectors: StoredVectors | None = None

    def __len__(self) -> int:
        return len(self.index)

    def check(self, rows: Rows) -> None:
        """Verify `images[rows]`; call it before you use them. Raises `DataError` when they changed since stored."""
        if self.guard is not None:
            self.guard.check(rows)
        if self.truth is not None:
            self.truth.check(rows)
        if self.vectors is not None:
            self.vectors.check(rows)


def open_sets(store: Store, *, val_fraction: float, seed: int) -> tuple[ImageSet, ImageSet | None, ValSplit | None]:
    """Return train, val, and the `ValSplit` that chose val. The test split is not opened.

    If the dataset has a val split, it is used, and the third value is None. Otherwise val is a stratified share
    `val_fraction` of train, drawn with `seed`; 0: no val. Raises `DataError` when train is missing.
    """
    train = _whole(store, "train")
    if "val" in store.card.splits:
        return train, _whole(store, "val"), None
    rows = stratified(train.labels, val_fraction, seed=seed, purpose="val", groups=train.groups)
    if not len(rows):
        return train, None, None
    val_split = ValSplit(val_fraction=val_fraction, seed=seed, digest=digest(rows))
    rest = np.setdiff1d(train.index, rows, assume_unique=True)
    return replace(train, index=rest), replace(train, index=rows, split="val"), val_split


def open_eval_set(store: Store, split: Split, *, val_split: ValSplit | None, anew: bool = False) -> ImageSet:
    """Return the images of `split` for evaluation.

    A dataset without a test split is evaluated on val; `.split` of the set is then "val". A val split that is not
    stored is drawn from train again, as `val_split` describes, and its digest is compared. Train is then what is left.

    Args:
        anew: take other images of a dataset that changed since `val_split` was drawn.

    Raises:
        DataError: the dataset has no such split, or changed since `val_split` was drawn.
    """
    if split == "train" and val_split is not None and "val" not in store.card.splits:
        train, val_rows = _drawn_again(store, val_split, anew=anew)
        return replace(train, index=np.setdiff1d(train.index, val_rows, assume_unique=True))
    if split in store.card.splits:
        return _whole(store, split)
    if split == "test" and "val" in store.card.splits:
        return _whole(store, "val")
    if split == "train" or val_split is None:
        raise _no_split(store, split)
    train, val_rows = _drawn_again(store, val_split, anew=anew)
    return replace(train, index=val_rows, split="val")


def _drawn_again(store: Store, val_split: ValSplit, *, anew: bool) -> tuple[ImageSet, Rows]:
    """Return the stored train split, and its rows that training used as val. Raises `DataError` as `open_eval_set`."""
    train = _whole(store, "train")
    rows = stratified(train.labels, val_split.val_fraction, seed=val_split.seed, purpose="val", groups=train.groups)
    if not anew and val_split.digest not in ("", digest(rows)):
        raise DataError(
            f"the val split of '{store.card.name}' cannot be rebuilt: the dataset changed since the training",
            where=str(store.path),
            hint=[Setting("split", "test"), "or train again: then val is drawn from the dataset as it is now"],
        )
    return train, rows


def stratified(
    labels: Rows,
    fraction: float,
    *,
    seed: int,
    purpose: str,
    groups: Rows | None = None,
    known: NDArray[np.int8] | None = None,
) -> Rows:
    """Choose `fraction` of each class: at least one image and never all; none if the class has one image.

    Images of one of the `groups` are chosen together, so a class of few, large groups gets about its fraction, or none.
    Of the images that are `known`, those with 1 stay chosen and those with 0 stay out, whatever the fraction; those
    with -1 are drawn. A group follows its known images, above all those with 0. A class of 1 alone is drawn anew.

    The rows depend only on the arguments, not on the version of numpy: raw PCG64 output is stable by policy (NEP 19),
    `permutation` is not.

    Returns:
        Ascending int64 rows.
    """
    if not 0 <= fraction < 1:
        raise DataError(f"a share of {fraction} of the images cannot be set aside: it must be at least 0 and below 1")
    if fraction == 0 or not len(labels):
        return np.empty(0, np.int64)
    keys = np.random.PCG64(derive(seed, purpose)).random_raw(len(labels))
    if known is not None:
        return _extended(labels, keys, fraction, groups=groups, known=known)
    if groups is not None and len(split_groups.sizes(groups)):
        wanted = [share(count, fraction) for count in np.bincount(labels).tolist()]
        return split_groups.choose(labels, keys, groups=groups, wanted=wanted)
    counts = np.bincount(labels)
    shares = np.array([share(count, fraction) for count in counts.tolist()])
    order = np.lexsort((keys, labels))  # by class, then by key
    rank = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[order]]
    return np.sort(order[rank < shares[labels[order]]]).astype(np.int64)


def _extended(
    labels: Rows, keys: NDArray[np.uint64], fraction: float, *, groups: Rows | None, known: NDArray[np.int8]
) -> Rows:
    """Return the rows with 1, and as many of those with -1 as are missing to `fraction` of each class."""
    known = _settled(known, labels, np.arange(len(labels)) if groups is None else groups)
    is_free, is_kept = known < 0, known == 1
    counts, kept = (np.bincount(rows, minlength=int(labels.max()) + 1).tolist() for rows in (labels, labels[is_kept]))
    inside = None if groups is None else split_groups.within(groups, is_free)
    drawn = split_groups.choose(
        labels[is_free],
        keys[is_free],
        groups=np.arange(int(is_free.sum())) if inside is None else inside,
        wanted=[max(0, share(count, fraction) - had) for count, had in zip(counts, kept, strict=True)],
        left=[count - had for count, had in zip(counts, kept, strict=True)],
    )
    return np.union1d(np.flatnonzero(is_kept), np.flatnonzero(is_free)[drawn])


def _settled(known: NDArray[np.int8], labels: Rows, groups: Rows) -> NDArray[np.int8]:
    """Return what is known of each image from all of its group, and nothing of groups with a class that has only 1."""
    has_none, has_one = (np.isin(groups, groups[known == value]) for value in (0, 1))
    settled = np.where(has_none, 0, np.where(has_one, 1, -1)).astype(np.int8)
    has_only_ones = ~np.isin(labels, labels[settled < 1])
    settled[np.isin(groups, groups[has_only_ones])] = -1
    return settled


def share(count: int, fraction: float) -> int:
    """Return the number of images to choose from a class of `count`: rounded half up, in 1..count - 1."""
    if count < 2 or fraction == 0:
        return 0
    return min(max(int(count * fraction + 0.5), 1), count - 1)


def digest(rows: Rows) -> str:
    """Return the SHA-256 of the sorted rows as little-endian int64. It identifies the images of a split."""
    return sha256(np.sort(rows).astype("<i8").tobytes()).hexdigest()


def split_digest(images: ImageSet) -> str:
    """Return a digest of the images of a set: of the stored split's file and of the rows."""
    return sha256(json.dumps([images.store_digest, digest(images.index)]).encode()).hexdigest()


def eval_batches(
    images: ImageSet, spec: ImageSpec, *, batch_size: int = EVAL_BATCH, as_stored: bool = False
) -> Iterator[tuple[Pixels, Rows]]:
    """Yield prepared images `(B, S, S, C)` uint8, S = `spec.size`, and labels `(B,)` int64, in the order of the set.

    The last batch may be smaller. `as_stored` yields the images in the size of the store, for a model that resizes them
    itself. Raises `DataError` when the channels cannot be converted.
    """
    if not isinstance(images.images, np.ndarray):
        images.images.expect(images.index)
    for start in range(0, len(images), batch_size):
        rows = images.index[start : start + batch_size]
        images.check(rows)
        pixels = with_channels(images.images[rows], spec.channels)
        yield np.ascontiguousarray(pixels) if as_stored else _prepared(pixels, spec), images.labels[rows]


def eval_inputs(
    images: ImageSet, spec: ImageSpec, *, vector: VectorSpec | None, batch_size: int = EVAL_BATCH
) -> Iterator[Inputs]:
    """Yield the inputs of a network with a head: the images of `eval_batches`, and the numbers that it reads, if any.

    Raises `DataError` when the dataset lacks numbers that the network reads.
    """
    if vector is not None and images.vectors is None:
        raise DataError(
            f"the network reads {counted(len(vector.columns), 'number')} with each image, and the dataset has none",
            hint=Call("data add", ("PATH",), {"vectors": "FILE.csv"}),
        )
    for start, (pixels, _) in enumerate(eval_batches(images, spec, batch_size=batch_size)):
        rows = images.index[start * batch_size :][: len(pixels)]
        if vector is None or images.vectors is None:
            yield (pixels,)
        else:
            yield pixels, images.vectors.picked(rows, vector.columns)


def eval_truth(images: ImageSet, spec: ImageSpec, *, batch_size: int = EVAL_BATCH) -> Iterator[Truth]:
    """Yield what is true of the batches of `eval_batches`, in pixels of the prepared images, on the CPU."""
    import torch

    whole = known(images)
    side = images.images.shape[1]
    margin = (spec.resize - spec.size) // 2
    for start in range(0, len(images), batch_size):
        rows = torch.from_numpy(images.index[start : start + batch_size])
        images.check(rows.numpy())
        truth = whole.take(rows).resize(side, size=spec.resize)
        yield truth.crop(torch.full((2, len(rows)), margin), size=spec.size) if margin else truth


def known(images: ImageSet) -> Truth:
    """Return what is true of the whole stored split, on the CPU."""
    import torch

    return images.truth.tensors() if images.truth is not None else Labels(labels=torch.from_numpy(images.labels))


def _prepared(images: Pixels, spec: ImageSpec) -> Pixels:
    if images.shape[1] != spec.resize:
        images = np.stack(
            [fit(image, resize=spec.resize, fit=spec.fit, interpolation=spec.interpolation) for image in images]
        )
    return np.ascontiguousarray(centre_crop(images, spec.size))


def _whole(store: Store, split: Split) -> ImageSet:
    stored = store.split(split)
    return ImageSet(
        images=stored.images,
        labels=stored.labels,
        index=np.arange(len(stored.labels)),
        classes=store.card.classes,
        split=split,
        store_digest=store.card.digests.get(split, ""),
        guard=stored.guard,
        groups=stored.groups,
        truth=stored.truth,
        vectors=stored.vectors,
    )


def _no_split(store: Store, split: Split) -> DataError:
    name, have = store.card.name, ", ".join(store.splits)
    hint: list[Hint] = [Call("data show", (name,))]
    if split == "val":
        hint.insert(0, Setting("split", "test", note="the weights were trained without a val split"))
    return DataError(f"dataset '{name}' has no {split} split, only {have}", where=str(store.path), hint=hint)
