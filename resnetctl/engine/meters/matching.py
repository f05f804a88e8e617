"""Match boxes with boxes: detections with the truth, and detections of two runtimes as sets.

Shapes: K detections, M true boxes of one image; boxes are x1 y1 x2 y2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Detections = tuple[Array, Array, Array]  # boxes (K, 4), scores (K,), labels (K,)


def overlaps_of(a: Array, b: Array) -> Array:
    """Return the intersection over union of each pair of boxes, (K, 4) and (M, 4) to (K, M) float64."""
    a, b = a.astype(np.float64)[:, None], b.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = sides.clip(min=0).prod(-1)
    either = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - both
    shares: Array = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return shares


def pairs(one: Detections, two: Detections, *, iou: float, score: float) -> list[tuple[int, int]]:
    """Return the places of detections that are the same in both, each used once; the best overlaps first."""
    overlaps = overlaps_of(one[0], two[0])
    alike = (one[2][:, None] == two[2]) & (np.abs(one[1][:, None] - two[1]) <= score) & (overlaps >= iou)
    found, used_one, used_two = [], set[int](), set[int]()
    firsts, seconds = np.nonzero(alike)
    for place in np.argsort(-overlaps[firsts, seconds], kind="stable"):
        i, j = int(firsts[place]), int(seconds[place])
        if i not in used_one and j not in used_two:
            found.append((i, j))
            used_one.add(i)
            used_two.add(j)
    return found


@dataclass(frozen=True)
class Matches:
    """The detections of one class, best first: the image of each, and whether it hits. `counts` (N,): true boxes."""

    images: Array
    hits: Array
    counts: Array


def matched(
    detections: Sequence[Detections], truths: Sequence[tuple[Array, Array]], *, label: int, most: int, at: float = 0.5
) -> Matches:
    """Match the detections of a class with its true boxes, each once, at IoU `at`, as COCO does."""
    scores, hits, images, counts = [], [], [], np.zeros(len(truths), np.int64)
    for number, ((boxes, marks, labels), (true, classes)) in enumerate(zip(detections, truths, strict=True)):
        mine = np.flatnonzero(labels == label)
        order = mine[np.argsort(-marks[mine], kind="mergesort")][:most]
        wanted = true[classes == label]
        counts[number] = len(wanted)
        scores.append(marks[order])
        hits.append(hits_of(boxes[order], wanted, at=at))
        images.append(np.full(len(order), number))
    ranked = np.argsort(-np.concatenate(scores), kind="mergesort")
    return Matches(images=np.concatenate(images)[ranked], hits=np.concatenate(hits)[ranked], counts=counts)


def hits_of(boxes: Array, true: Array, *, at: float) -> Array:
    """Return whether each box of a class, best first, gets a true one that no better one took: bool (K,)."""
    overlaps = overlaps_of(boxes, true)
    free = np.ones(overlaps.shape[1], bool)
    hits = np.zeros(len(overlaps), bool)
    for place, row in enumerate(overlaps):
        candidates = np.where(free, row, -1.0)
        # the last of equal overlaps, as COCO takes it
        best = len(candidates) - 1 - int(candidates[::-1].argmax()) if len(candidates) else -1
        if best >= 0 and candidates[best] >= min(at, 1 - 1e-10):
            hits[place], free[best] = True, False
    return hits


def average_precision(table: Matches, times: Array) -> float | None:
    """Return COCO's average precision where image i counts `times[i]` times; None if the class has no box then."""
    total = int((table.counts * times).sum())
    if not total:
        return None
    weights = times[table.images]
    right = np.cumsum(weights * table.hits)
    wrong = np.cumsum(weights * ~table.hits)
    recall = right / total
    precision = right / np.maximum(right + wrong, 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]  # precision never rises with recall
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")  # where COCO reads it
    return float(np.append(envelope, 0.0)[np.minimum(places, len(envelope))].mean())
