"""Which images train, which choose, which judge. Every split is a function of labels, fraction and seed.

Training asks `open_sets`, which never opens the test split; evaluation asks `open_eval_set`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.digests import Guard
from resnetctl.data.images import Pixels, centre_crop, fit, with_channels
from resnetctl.data.store import Store
from resnetctl.errors import DataError
from resnetctl.rng import derive
from resnetctl.spec import ImageSpec, Split, ValSplit

Rows = NDArray[np.int64]
EVAL_BATCH = 128  # images; larger batches fall out of the cache of a CPU


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images to train on or to measure with.

    Attributes:
        images: `(N, R, R, C)` uint8, a whole stored split, mapped.
        labels: `(N,)` int64, of the stored split.
        index: `(M,)` int64, the rows of `images` that belong to this set, ascending.
        classes: names in label order.
        split: what it is used as. It differs from what was asked for where the dataset has no test split.
        store_digest: SHA-256 of the stored split's file.
        guard: proves blocks of `images`; None where the store has no digests of them.
    """

    images: NDArray[np.uint8]
    labels: Rows
    index: Rows
    classes: tuple[str, ...]
    split: Split
    store_digest: str = ""
    guard: Guard | None = None

    def __len__(self) -> int:
        return len(self.index)

    def check(self, rows: Rows) -> None:
        """Call it before `images[rows]` are used. Raises `DataError` when they are not what was stored."""
        if self.guard is not None:
            self.guard.check(rows)


def open_sets(store: Store, *, val_fraction: float, seed: int) -> tuple[ImageSet, ImageSet | None, ValSplit | None]:
    """(train, val, how val was made), without ever opening the test split.

    A dataset's own val split is used as it is, and the third is None. Otherwise `val_fraction` of train, stratified,
    a function of `seed`; 0 means no val. Raises `DataError` when train is missing.
    """
    train = _whole(store, "train")
    if "val" in store.card.splits:
        return train, _whole(store, "val"), None
    rows = stratified(train.labels, val_fraction, seed=seed, purpose="val")
    if not len(rows):
        return train, None, None
    made = ValSplit(val_fraction=val_fraction, seed=seed, digest=digest(rows))
    rest = np.setdiff1d(train.index, rows, assume_unique=True)
    return replace(train, index=rest), replace(train, index=rows, split="val"), made


def open_eval_set(store: Store, split: Split, *, val_split: ValSplit | None) -> ImageSet:
    """The images to measure with; `.split` says what they are.

    A dataset without test is measured on val, and `.split` is then "val". A val that the dataset does not have
    itself is cut out of train again as `val_split` says, and its digest is compared.

    Raises:
        DataError: there is no such split, or the dataset is not the one that `val_split` was made of.
    """
    if split in store.card.splits:
        return _whole(store, split)
    if split == "test" and "val" in store.card.splits:
        return _whole(store, "val")
    if split == "train" or val_split is None:
        raise _no_split(store, split)
    train = _whole(store, "train")
    rows = stratified(train.labels, val_split.val_fraction, seed=val_split.seed, purpose="val")
    if val_split.digest not in ("", digest(rows)):
        raise DataError(
            f"the val split of '{store.card.name}' cannot be rebuilt: the dataset changed since the training",
            where=str(store.path),
            hint="use the dataset that the weights were trained on, or --split test",
        )
    return replace(train, index=rows, split="val")


def stratified(labels: Rows, fraction: float, *, seed: int, purpose: str) -> Rows:
    """Ascending rows, `fraction` of each class: at least one and never all; a class with one image gives none.

    A function of its arguments alone, and independent of the numpy version: raw PCG64 output is stable by policy
    (NEP 19), `permutation` is not.
    """
    if not 0 <= fraction < 1:
        raise DataError(f"a share of {fraction} of the images cannot be set aside: it must be from 0 up to below 1")
    if fraction == 0 or not len(labels):
        return np.empty(0, np.int64)
    keys = np.random.PCG64(derive(seed, purpose)).random_raw(len(labels))
    chosen = []
    for label in range(int(labels.max()) + 1):
        rows = np.flatnonzero(labels == label)
        chosen.append(rows[np.argsort(keys[rows], kind="stable")[: share(len(rows), fraction)]])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def share(count: int, fraction: float) -> int:
    """How many of a class with `count` images are set aside: rounded half up, between 1 and count - 1."""
    if count < 2 or fraction == 0:
        return 0
    return min(max(int(count * fraction + 0.5), 1), count - 1)


def digest(rows: Rows) -> str:
    """SHA-256 of ascending rows as little-endian int64: names the images of a split."""
    return sha256(np.sort(rows).astype("<i8").tobytes()).hexdigest()


def eval_batches(images: ImageSet, spec: ImageSpec, *, batch_size: int = EVAL_BATCH) -> Iterator[tuple[Pixels, Rows]]:
    """`(B, size, size, C)` uint8 and `(B,)` int64 in the set's order, prepared as `spec` says; the last is ragged.

    Raises `DataError` when the channels cannot be converted.
    """
    for start in range(0, len(images), batch_size):
        rows = images.index[start : start + batch_size]
        images.check(rows)
        yield _prepared(images.images[rows], spec), images.labels[rows]


def _prepared(images: Pixels, spec: ImageSpec) -> Pixels:
    images = with_channels(images, spec.channels)
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
    )


def _no_split(store: Store, split: Split) -> DataError:
    name, have = store.card.name, ", ".join(store.splits)
    hint = [f"resnetctl data show {name}"]
    if split == "val":
        hint.insert(0, "resnetctl eval --split test (the weights were trained without a val split)")
    return DataError(f"dataset '{name}' has no {split} split, only {have}", where=str(store.path), hint=hint)
