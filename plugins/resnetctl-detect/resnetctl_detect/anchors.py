"""Anchors: boxes of fixed sizes around each position of the features, which a detector corrects.

Their sizes are fitted to the boxes of the training images, as Redmon and Farhadi 2017 (arXiv:1612.08242) do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

Sizes = Sequence[Sequence[float]]  # width and height in pixels
COVERED = 0.99  # share of the boxes that an anchor must fit with an IoU of at least FIT
FIT = 0.5
COUNTS = (12, 24)  # numbers of anchors to try: one to four levels divide them
ROUNDS = 30


class SizedAnchors(AnchorGenerator):
    """torchvision's generator, with widths and heights of its own for each level."""

    def __init__(self, levels: Sequence[Sizes]) -> None:
        super().__init__(((1,),) * len(levels), ((1.0,),) * len(levels))
        self.counts = [len(level) for level in levels]
        sizes = [torch.tensor(level, dtype=torch.float32) / 2 for level in levels]
        self.cell_anchors = [torch.cat([-half, half], 1) for half in sizes]

    def num_anchors_per_location(self) -> list[int]:
        """Return the number of anchors at each position, by level."""
        return self.counts

    def on_grids(self, grids: Sequence[int], size: int) -> Tensor:
        """Return all anchors of an image, float32 `(A, 4)`, level after level.

        Args:
            grids: positions along a side of each level's features.
            size: pixels a side of the image.
        """
        strides = [[torch.tensor(size // grid)] * 2 for grid in grids]
        return torch.cat(self.grid_anchors([[grid, grid] for grid in grids], strides))


def fit(boxes: Any, labels: Any) -> list[list[float]]:
    """Return widths and heights of anchors that fit `COVERED` of the boxes, the smallest first.

    K-means under 1 - IoU of boxes with one centre, where each class has the same weight: a rare class has its anchors
    too. The number grows until enough boxes are covered.

    Args:
        boxes: `(M, 4)`, x1 y1 x2 y2.
        labels: `(M,)`, class of each box.

    Raises:
        ValueError: there are no boxes.
    """
    corners, classes = np.asarray(boxes, np.float64), np.asarray(labels)
    sizes = corners[:, 2:] - corners[:, :2]
    if not len(sizes):
        raise ValueError("anchors cannot be fitted without a box")
    weights = 1 / np.bincount(classes)[classes]
    for count in COUNTS:
        anchors = _kmeans(sizes, weights, count)
        if coverage(sizes, anchors) >= COVERED:
            break
    return [[round(float(side), 1) for side in anchor] for anchor in anchors[np.argsort(anchors.prod(1))]]


def coverage(sizes: Any, anchors: Any) -> float:
    """Return the share of the boxes, `(M, 2)`, that fit one of the anchors, `(A, 2)`, with an IoU of at least `FIT`."""
    return float((_ious(np.asarray(sizes), np.asarray(anchors)).max(1) >= FIT).mean())


def _ious(sizes: Any, anchors: Any) -> Any:
    """Return the IoU of boxes with one centre, `(M, A)`."""
    shared = np.minimum(sizes[:, None], anchors[None]).prod(2)
    return shared / (sizes.prod(1)[:, None] + anchors.prod(1)[None] - shared)


def _kmeans(sizes: Any, weights: Any, count: int) -> Any:
    """Return `count` widths and heights. The start is a function of the boxes: quantiles of their areas."""
    order = np.argsort(sizes.prod(1), kind="stable")
    places = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    anchors = sizes[order[np.searchsorted(places, (np.arange(count) + 0.5) / count).clip(max=len(order) - 1)]]
    anchors = anchors * np.linspace(0.98, 1.02, count)[:, None]  # equal boxes must not give equal anchors
    for _ in range(ROUNDS):
        nearest = _ious(sizes, anchors).argmax(1)
        for number in range(count):
            mine = nearest == number
            if mine.any():
                anchors[number] = np.average(sizes[mine], axis=0, weights=weights[mine])
    return anchors


def default(size: int) -> list[list[float]]:
    """Return anchors for images whose boxes are not known: four sizes and three forms, as torchvision's."""
    sides = [size * share for share in (0.08, 0.16, 0.32, 0.64)]
    return [[side / form**0.5, side * form**0.5] for side in sides for form in (0.5, 1.0, 2.0)]


def even_levels(anchors: Sizes, levels: int) -> list[list[list[float]]]:
    """Divide anchors, the smallest first, into levels with the same number.

    Raises:
        ValueError: `levels` does not divide their number, or an anchor is not a width and a height.
    """
    ordered = ordered_by_area(anchors)
    if len(ordered) % levels:
        raise ValueError(f"{len(ordered)} anchors cannot be divided among {levels} levels")
    share = len(ordered) // levels
    return [ordered[level * share : (level + 1) * share] for level in range(levels)]


def ordered_by_area(anchors: Sizes) -> list[list[float]]:
    """Return the anchors, the smallest first. Raises `ValueError` for what is not a width and a height in pixels."""
    if not anchors or not all(len(anchor) == 2 and min(anchor) > 0 for anchor in anchors):
        raise ValueError("anchors must be pairs of width and height in pixels")
    return sorted(([float(side) for side in anchor] for anchor in anchors), key=lambda anchor: anchor[0] * anchor[1])
