"""Check the boxes of pictures: what cannot be a box is an error, what can be mended is mended and counted."""

import math
from dataclasses import dataclass, field

import numpy as np

from resnetctl.data.dense.geometry import Placement
from resnetctl.data.dense.scenes import Corners, Object, Scene
from resnetctl.data.dense.stored import SceneTruth


@dataclass
class BoxCheck:
    """Judges boxes. `strict` makes a box without area an error."""

    strict: bool = False
    problems: list[str] = field(default_factory=list)
    flat: list[str] = field(default_factory=list)  # boxes without area
    clipped: int = 0
    negatives: int = 0  # pictures without a box

    def check(self, scene: Scene, size: tuple[int, int]) -> list[Object]:
        """Return the boxes to store; record what is wrong, and count what is mended."""
        kept = []
        for item in scene.objects:
            if problem := self._problem(item.corners, size):
                self.problems.append(f"{scene.where}: {item.name}: {problem}")
            elif _is_flat(item.corners):
                self.flat.append(f"{scene.where}: {item.name}")
                if self.strict:
                    self.problems.append(f"{scene.where}: {item.name}: the box {_shown(item.corners)} has no area")
            else:
                kept.append(item)
                self.clipped += _clipped(item.corners, size) != item.corners
        self.negatives += not kept
        return kept

    def _problem(self, corners: Corners, size: tuple[int, int]) -> str:
        (x1, y1, x2, y2), (width, height) = corners, size
        shown = f"the box {_shown(corners)}"
        if not all(map(math.isfinite, corners)):
            return f"{shown} is not finite"
        if x2 < x1 or y2 < y1:
            return f"{shown} is inverted: its second corner is left of its first, or above it"
        if (
            x2 < 0
            or y2 < 0
            or x1 > width
            or y1 > height
            or (not _is_flat(corners) and _is_flat(_clipped(corners, size)))
        ):
            return f"{shown} lies outside the image of {width}x{height} pixels"
        return ""

    def truth(self, scene: Scene, size: tuple[int, int], *, place: Placement, classes: tuple[str, ...]) -> SceneTruth:
        """Return the boxes in pixels of the stored image. What a crop cuts off is left out."""
        kept = [item for item in scene.objects if not _is_flat(item.corners)]
        corners = np.array([_clipped(item.corners, size) for item in kept], np.float32).reshape(-1, 4)
        boxes = place.inside(corners)
        labels = np.array([classes.index(item.label) for item in kept], np.int64)
        seen = (boxes[:, 2:] > boxes[:, :2]).all(1)
        return SceneTruth(size=size, boxes=boxes[seen], labels=labels[seen])

    def notes(self, shown: int) -> list[str]:
        """Return a line for each kind of box that was mended, and for pictures without one."""
        notes = []
        if self.flat:
            more = f" and {len(self.flat) - shown:,} more" if len(self.flat) > shown else ""
            notes.append(f"boxes without area, left out: {len(self.flat):,} ({'; '.join(self.flat[:shown])}{more})")
        if self.clipped:
            notes.append(f"boxes that reach beyond their image, clipped: {self.clipped:,}")
        if self.negatives:
            notes.append(f"images without an object: {self.negatives:,}")
        return notes


def _is_flat(corners: Corners) -> bool:
    x1, y1, x2, y2 = corners
    return x1 == x2 or y1 == y2


def _clipped(corners: Corners, size: tuple[int, int]) -> Corners:
    x1, y1, x2, y2 = corners
    width, height = size
    return min(max(x1, 0), width), min(max(y1, 0), height), min(max(x2, 0), width), min(max(y2, 0), height)


def _shown(corners: Corners) -> str:
    return "(" + ", ".join(f"{value:g}" for value in corners) + ")"
