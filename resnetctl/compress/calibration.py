"""The images of int8: a class-balanced part of train for the ranges of values, and val for the gate. Never test."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from resnetctl import rng
from resnetctl.data.splits import ImageSet, eval_batches, open_sets
from resnetctl.data.store import Store
from resnetctl.engine.metrics import Images, Labels
from resnetctl.errors import DataError
from resnetctl.hints import Setting
from resnetctl.spec import ImageSpec, ValSplit, WeightsCard
from resnetctl.wording import counted

SHOWN = 10  # class names in an error
VAL_FRACTION = 0.1  # of train, where the weights do not say how val was drawn


def sets(store: Store, card: WeightsCard) -> tuple[ImageSet, ImageSet]:
    """Return train without val, and val, as the training of the weights had them unless the dataset has changed.

    For weights that were trained on other data, val is the dataset's own, or a tenth of train.

    Raises:
        DataError: the dataset has no train split, or is too small to have val.
    """
    train, drawn, _ = _drawn(store, card)
    if drawn is None:
        raise DataError(f"the dataset '{store.card.name}' has too few images for val", where=str(store.path))
    return train, drawn


def _drawn(store: Store, card: WeightsCard) -> tuple[ImageSet, ImageSet | None, ValSplit | None]:
    """Return train without val, val, and how val was drawn, as `open_sets`."""
    is_own = card.trained_on.get("name") == store.card.name
    if is_own and card.split is not None:
        return open_sets(store, val_fraction=card.split.val_fraction, seed=card.split.seed)
    return open_sets(store, val_fraction=VAL_FRACTION, seed=0)


def val_doubt(store: Store, card: WeightsCard) -> str:
    """Return why the network may have learned the images that stand for val here (see `sets`); "" if it has not."""
    if "val" in store.card.splits:
        return ""
    if not card.trained_on:
        return "the weights do not say which images they have trained on, so val, a part of train, may flatter them"
    if card.trained_on.get("name") != store.card.name:
        return ""
    if card.split is None:
        return "the network was trained on all of train, so val, a part of train, flatters it"
    was = card.trained_on.get("digest")
    if was not in ("", None, store.card.digests.get("train")):
        return f"'{store.card.name}' has changed since the training, so val, a part of train, may flatter the network"
    return "the weights that its training began with may have seen val, which then flatters it" * card.val_seen


def val_notices(store: Store, card: WeightsCard) -> tuple[str, ...]:
    """Return a notice when val may flatter the network."""
    doubt = val_doubt(store, card)
    return (f"{doubt}: compare on test",) if doubt else ()


def choose(images: ImageSet, spec: ImageSpec, *, count: int, seed: int = 0) -> Images:
    """Return `count` prepared images (N, S, S, C) uint8, as equally many of each class as there are.

    The choice follows from the seed. Raises `DataError` for fewer images, for one class, and for one colour.
    """
    labels = images.labels[images.index]
    if len(labels) < count:
        raise DataError(
            f"train has {counted(len(labels), 'image')}, and the calibration asks for {count:,}",
            where=Setting("calibrate"),
            hint=Setting("calibrate", len(labels)),
        )
    keys = np.random.PCG64(rng.derive(seed, "calibration")).random_raw(len(labels))
    order = np.lexsort((keys, labels))  # by class, then by key
    counts = np.bincount(labels)
    rank = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[order]]
    rows = order[np.lexsort((labels[order], rank))][:count]  # the first of each class, then the second, ...
    if count > 1 and len(set(labels[rows].tolist())) == 1:
        raise DataError(
            f"all images that are measured are of one class, '{images.classes[labels[rows[0]]]}'",
            hint=Setting("data", "NAME", note="a dataset with images of every class"),
        )
    chosen = replace(images, index=images.index[np.sort(rows)])
    pixels = np.concatenate([batch for batch, _ in eval_batches(chosen, spec)])
    if pixels.min() == pixels.max():
        raise DataError(
            "all images that are measured are of one colour",
            hint=Setting("data", "NAME", note="a dataset with images"),
        )
    return pixels


def class_order(data: Sequence[str], model: Sequence[str], *, name: str) -> Labels:
    """Return the network's output for each label of the data: int64 (K,). Raises `DataError` when the names differ."""
    if set(data) != set(model):
        raise DataError(
            f"the classes of '{name}' are not those of the network, so its images cannot measure what is lost",
            problems=[f"{name}: {', '.join(data[:SHOWN])}", f"the network: {', '.join(model[:SHOWN])}"],
            hint=Setting("data", "NAME", "a dataset with the network's classes"),
        )
    return np.array([model.index(item) for item in data], dtype=np.int64)
