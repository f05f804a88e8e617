"""The task `detect`: boxes with classes, measured by the mean average precision of COCO (faster-coco-eval)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.engine.meters import bootstrap
from resnetctl.engine.meters.matching import average_precision, hits_of, matched, pairs
from resnetctl.errors import DataError, WorkFailed
from resnetctl.spec import Agreement, Boxes, Curve, Figure, Measured, Output, TruthKind
from resnetctl.spec.dense import SHOWN_SCORE

Array = NDArray[Any]
MOST = 100  # detections of an image that count, the best first, as in COCO
SAME_IOU, SAME_SCORE = 0.99, 1e-3  # two detections are the same


class DetectMeter:
    """Keeps the detections and the true boxes of all images."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._detections: list[tuple[Array, Array, Array]] = []
        self._truths: list[tuple[Array, Array]] = []

    def add(self, prediction: Sequence[Array], truth: Boxes) -> None:
        """Add boxes (N, K, 4), scores (N, K) and labels (N, K), and the true boxes in the same pixels."""
        for detections, (boxes, labels) in zip(each_image(prediction), truth.split(), strict=True):
            require_finite(*detections[:2])
            if (detections[2] >= len(self._classes)).any():
                raise WorkFailed(f"the network gives classes outside 0..{len(self._classes) - 1}")
            self._detections.append(detections)
            self._truths.append((boxes.numpy(), labels.numpy()))

    def report(self) -> Measured:
        """Return mAP at IoU 0.5, and 0.5 to 0.95. Raises `DataError` when there was no image."""
        if not self._truths:
            raise DataError("there are no images to measure")
        precision = coco_precision(self._detections, self._truths, classes=len(self._classes))
        counts = np.bincount(np.concatenate([labels for _, labels in self._truths]), minlength=len(self._classes))
        map50, map_all = (_mean(precision[thresholds]) for thresholds in (slice(0, 1), slice(None)))
        spread, *each = self._intervals()
        rows = zip(self._classes, counts.tolist(), precision.transpose(2, 0, 1), each, strict=True)
        return Measured(
            primary=Figure(name="map50", value=map50 or 0.0, interval=spread),
            count=len(self._truths),
            figures={"map50": map50, "map": map_all},
            per_class=tuple(
                {"name": name, "count": count, "ap50": _mean(values[:1]), "ap": _mean(values), "interval": ends}
                for name, count, values, ends in rows
            ),
            curves=tuple(_curves(precision[0], self._classes)),
            per_image=tuple(map(_of_image, self._detections, self._truths)),
            unit="boxes",
        )

    def _intervals(self) -> list[tuple[float, float] | None]:
        """Return the interval of map50, then of each class: matches are found once, and images are drawn again."""
        tables = [
            matched(self._detections, self._truths, label=label, most=MOST) for label in range(len(self._classes))
        ]

        def values(times: Array) -> list[float]:
            each = [average_precision(table, times) for table in tables]
            known = [value for value in each if value is not None]
            mean = float(np.mean(known)) if known else float("nan")
            return [mean, *(float("nan") if value is None else value for value in each)]

        return bootstrap.intervals(len(self._truths), values, purpose="map50")


def _curves(precision: Array, classes: Sequence[str]) -> Iterator[Curve]:
    """Yield precision by recall of each class that has boxes, from COCO's precision at one IoU `(101, K)`."""
    recalls = np.linspace(0, 1, len(precision)).tolist()
    for name, column in zip(classes, precision.T, strict=True):
        if column[0] > -1:
            yield Curve(
                name=name, axes=("recall", "precision"), points=tuple(zip(recalls, column.tolist(), strict=True))
            )


def _of_image(detections: tuple[Array, Array, Array], truth: tuple[Array, Array]) -> dict[str, float | None]:
    """Return F1 of the boxes with at least `SHOWN_SCORE`, and its counts; 1 if there are no boxes, true or found."""
    boxes, scores, labels = (part[detections[1] >= SHOWN_SCORE] for part in detections)
    hits = sum(
        int(hits_of(boxes[mine][np.argsort(-scores[mine], kind="stable")], truth[0][truth[1] == label], at=0.5).sum())
        for label in np.unique(labels)
        for mine in [labels == label]
    )
    total = len(boxes) + len(truth[0])
    return {"f1": 2 * hits / total if total else 1.0, "boxes": len(truth[0]), "found": len(boxes), "right": hits}


def require_finite(boxes: Array, scores: Array) -> None:
    """Raise `WorkFailed` if a detection has a number that is none. Padding is no detection."""
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise WorkFailed("the network gives boxes or scores that are not finite: its weights are broken")


def each_image(prediction: Sequence[Array]) -> Iterator[tuple[Array, Array, Array]]:
    """Yield boxes (K, 4), scores (K,) and labels (K,) of each image, without the padding."""
    for boxes, scores, labels in zip(*prediction, strict=True):
        real = labels >= 0
        yield boxes[real], scores[real], labels[real]


def coco_precision(
    detections: Sequence[tuple[Array, Array, Array]], truths: Sequence[tuple[Array, Array]], *, classes: int
) -> Array:
    """Return COCO's precision at 10 IoU thresholds, 101 recalls and each class; -1 for a class without boxes.

    Raises:
        DataError: faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise DataError("mAP needs the package faster-coco-eval", hint='pip install "resnetctl[detect]"') from None
    annotations = [
        {"id": 0, "image_id": image, "category_id": int(label), "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for image, (boxes, labels) in enumerate(truths)
        for box, label in zip(_xywh(boxes).tolist(), labels, strict=True)
    ]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    truth = COCO(
        {
            "images": [{"id": image, "width": 1, "height": 1} for image in range(len(truths))],
            "categories": [{"id": label, "name": str(label)} for label in range(classes)],
            "annotations": annotations,
        }
    )
    rows = [
        np.column_stack([np.full(len(boxes), image), _xywh(boxes), scores, labels])
        for image, (boxes, scores, labels) in enumerate(detections)
    ]
    table = np.concatenate(rows) if rows else np.empty((0, 7))
    if not len(table) or not annotations:  # the library cannot read an empty table
        known = np.isin(np.arange(classes), [annotation["category_id"] for annotation in annotations])
        return np.tile(np.where(known, 0.0, -1.0), (10, 101, 1))
    judge = COCOeval_faster(truth, truth.loadRes(table), "bbox", print_function=_silent)
    judge.params.maxDets = [1, 10, MOST]
    judge.evaluate()
    judge.accumulate()
    precision: Array = judge.eval["precision"][:, :, :, 0, -1]  # of all areas, at most MOST detections
    return precision


def _silent(*_: object) -> None:
    pass


def _xywh(boxes: Array) -> Array:
    wide = boxes.astype(np.float64)
    return np.concatenate([wide[:, :2], wide[:, 2:] - wide[:, :2]], axis=1)


def _mean(precision: Array) -> float | None:
    """Return the mean of the classes that have boxes; None if none has."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else None


class Detect:
    """Boxes with classes."""

    name = "detect"
    summary = "boxes with classes"
    truth: TruthKind = "boxes"
    outputs = (
        Output(name="boxes", shape=("batch", "detections", "4")),
        Output(name="scores", shape=("batch", "detections")),
        Output(name="labels", shape=("batch", "detections")),
    )
    primary = "map50"

    def meter(self, classes: Sequence[str]) -> DetectMeter:
        """Return a meter that has seen no image."""
        return DetectMeter(classes)

    def agree(self, a: Sequence[Array], b: Sequence[Array]) -> Agreement:
        """Match the detections of each image as sets: same class, nearly the same box and score. Order is nothing."""
        same, total, largest, problems = 0, 0, 0.0, []
        for number, (one, two) in enumerate(zip(each_image(a), each_image(b), strict=True)):
            found = pairs(one, two, iou=SAME_IOU, score=SAME_SCORE)
            most = max(len(one[0]), len(two[0]))
            same, total = same + len(found), total + most
            largest = max([largest, *(abs(float(one[1][i]) - float(two[1][j])) for i, j in found)])
            if len(found) < most:
                problems.append(f"image {number}: {most - len(found)} of {most} detections have no equal")
        return Agreement(same=same, total=total, largest=largest, problems=tuple(problems))


detect = Detect()
