"""The task `segment`: the class of each pixel, measured by the intersection over union of each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.engine.meters import bootstrap
from resnetctl.errors import DataError, WorkFailed
from resnetctl.spec import IGNORE, Agreement, Figure, Masks, Measured, Output, TruthKind

Counts = NDArray[np.int64]


def confusion(classes: NDArray[Any], truth: NDArray[np.uint8], *, count: int) -> Counts:
    """Return int64 `(count, count)`: row i, column j has the pixels of class i that were given class j.

    Pixels whose truth is `IGNORE` count nowhere. Both arrays have one shape.
    """
    known = truth != IGNORE
    pairs = truth[known].astype(np.int64) * count + classes[known].astype(np.int64)
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def ious(confusions: Counts) -> NDArray[np.float64]:
    """Return the intersection over union of each class, `(..., K, K)` to `(..., K)`; NaN for a class without pixels."""
    hits = confusions.diagonal(axis1=-2, axis2=-1)
    either = confusions.sum(-1) + confusions.sum(-2) - hits
    shares: NDArray[np.float64] = np.divide(hits, either, out=np.full(hits.shape, np.nan), where=either > 0)
    return shares


class SegmentMeter:
    """Counts pixels by true and predicted class, for each image."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._images: list[Counts] = []

    def add(self, prediction: Sequence[NDArray[Any]], truth: Masks) -> None:
        """Add maps of classes `(N, H, W)` and masks of the same size."""
        (maps,), count = prediction, len(self._classes)
        if not ((maps >= 0) & (maps < count)).all():
            raise WorkFailed(f"the network gives classes outside 0..{count - 1}: its weights are broken")
        self._images += [
            confusion(one, two, count=count) for one, two in zip(maps, np.asarray(truth.masks), strict=True)
        ]

    def report(self) -> Measured:
        """Return mIoU over the classes that occur, and pixel accuracy. Raises `DataError` when there was no image."""
        if not self._images:
            raise DataError("there are no images to measure")
        images = np.stack(self._images)
        total = images.sum(0)
        each, pixels = ious(total), int(total.sum())

        def values(times: Counts) -> list[float]:
            drawn = ious(np.tensordot(times, images, 1))
            mean = float("nan") if np.isnan(drawn).all() else float(np.nanmean(drawn))
            return [mean, *drawn.tolist()]

        miou = float(np.nanmean(each)) if pixels else 0.0
        spread, *ends = bootstrap.intervals(len(images), values, purpose="miou")
        return Measured(
            primary=Figure(name="miou", value=miou, interval=spread),
            count=len(images),
            figures={"miou": miou, "pixel_accuracy": int(total.trace()) / pixels if pixels else None},
            per_image=tuple(map(_of_image, images)),
            per_class=tuple(
                {"name": name, "count": int(row), "iou": None if np.isnan(iou) else float(iou), "interval": end}
                for name, row, iou, end in zip(self._classes, total.sum(1), each, ends, strict=True)
            ),
            unit="pixels",
        )


def _of_image(counts: Counts) -> dict[str, float | None]:
    """Return the numbers of one image: over the classes that it has or was given. None without a known pixel."""
    pixels, each = int(counts.sum()), ious(counts)
    if not pixels:
        return {"miou": None, "pixel_accuracy": None}
    return {"miou": float(np.nanmean(each)), "pixel_accuracy": int(counts.trace()) / pixels}


class Segment:
    """The class of each pixel."""

    name = "segment"
    summary = "the class of each pixel"
    truth: TruthKind = "masks"
    outputs = (Output(name="classes", shape=("batch", "height", "width")),)
    primary = "miou"

    def meter(self, classes: Sequence[str]) -> SegmentMeter:
        """Return a meter that has seen no image."""
        return SegmentMeter(classes)

    def agree(self, a: Sequence[NDArray[Any]], b: Sequence[NDArray[Any]]) -> Agreement:
        """Count the pixels with the same class."""
        same = a[0] == b[0]
        problems = tuple(
            f"image {row}: {int((~image).sum())} of {image.size} pixels differ"
            for row, image in enumerate(same)
            if not image.all()
        )
        return Agreement(same=int(same.sum()), total=same.size, problems=problems)


segment = Segment()
