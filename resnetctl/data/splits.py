"""The images of train, val and test. Every split is a function of labels, fraction and seed.

Training calls `open_sets`, which never opens the test split; evaluation calls `open_eval_set`.
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
from resnetctl.hints import Call, Hint, Setting
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
        split: its role. It is "val" where test was asked for and the dataset has none.
        store_digest: SHA-256 of the stored split's file.
        guard: verifies stored images; None for images that are not from a store.
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
        """Verify `images[rows]`; call it before they are used. Raises `DataError` when they changed since stored."""
        if self.guard is not None:
            self.guard.check(rows)


def open_sets(store: Store, *, val_fraction: float, seed: int) -> tuple[ImageSet, ImageSet | None, ValSplit | None]:
    """Return train, val, and the `ValSplit` that chose val, without opening the test split.

    A dataset's own val split is used as it is, and the third value is None. Otherwise val is `val_fraction` of train,
    stratified, a function of `seed`; 0 means no val. Raises `DataError` when train is missing.
    """
    train = _whole(store, "train")
    if "val" in store.card.splits:
        return train, _whole(store, "val"), None
    rows = stratified(train.labels, val_fraction, seed=seed, purpose="val")
    if not len(rows):
        return train, None, None
    val_split = ValSplit(val_fraction=val_fraction, seed=seed, digest=digest(rows))
    rest = np.setdiff1d(train.index, rows, assume_unique=True)
    return replace(train, index=rest), replace(train, index=rows, split="val"), val_split


def open_eval_set(store: Store, split: Split, *, val_split: ValSplit | None) -> ImageSet:
    """Return the images of `split` to measure with.

    A dataset without test is measured on val; the set's `.split` is then "val". A val split that is not stored is
    chosen from train again, by `val_split`, and its digest is compared.

    Raises:
        DataError: there is no such split, or the dataset changed since `val_split` was chosen.
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
            hint=["use the dataset that the weights were trained on", Setting("split", "test")],
        )
    return replace(train, index=rows, split="val")


def stratified(labels: Rows, fraction: float, *, seed: int, purpose: str) -> Rows:
    """Choose `fraction` of each class, at least one image and never all; none of a class with one image.

    The rows depend on the arguments alone, not on the version of numpy: raw PCG64 output is stable by policy (NEP 19),
    `permutation` is not.

    Returns:
        Ascending int64 rows.
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
    """Return how many images of a class with `count` to choose: rounded half up, between 1 and count - 1."""
    if count < 2 or fraction == 0:
        return 0
    return min(max(int(count * fraction + 0.5), 1), count - 1)


def digest(rows: Rows) -> str:
    """Return the SHA-256 of ascending rows as little-endian int64: it identifies the images of a split."""
    return sha256(np.sort(rows).astype("<i8").tobytes()).hexdigest()


def eval_batches(images: ImageSet, spec: ImageSpec, *, batch_size: int = EVAL_BATCH) -> Iterator[tuple[Pixels, Rows]]:
    """Yield prepared images `(B, S, S, C)` uint8, S = `spec.size`, and labels `(B,)` int64, in the set's order.

    The last batch may be smaller. Raises `DataError` when the channels cannot be converted.
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
    hint: list[Hint] = [Call("data show", (name,))]
    if split == "val":
        hint.insert(0, Setting("split", "test", note="the weights were trained without a val split"))
    return DataError(f"dataset '{name}' has no {split} split, only {have}", where=str(store.path), hint=hint)
