"""mAP equals pycocotools; detections of two runtimes are compared as sets."""

import contextlib
import io
import sys
from typing import Any

import numpy as np
import pytest
import torch

from resnetctl.engine.meters.detect import MOST, Detect, DetectMeter
from resnetctl.errors import DataError, WorkFailed
from resnetctl.spec import Boxes, Measured

CLASSES = ("cell", "plate", "virus", "unseen")
Scene = tuple[tuple[np.ndarray[Any, Any], ...], Boxes]


def scene(seed: int, *, images: int = 12, most: int = 30) -> Scene:
    """Random boxes and detections that are near some of them; an image may have none of either."""
    draw = np.random.default_rng(seed)
    counts = draw.integers(0, 9, images)
    offsets = np.concatenate([[0], counts.cumsum()])
    corners = draw.uniform(0, 60, (offsets[-1], 2))
    boxes = np.concatenate([corners, corners + draw.uniform(4, 40, (offsets[-1], 2))], 1).astype(np.float32)
    labels = draw.integers(0, 3, offsets[-1])
    outputs = (
        np.zeros((images, most, 4), np.float32), np.zeros((images, most), np.float32),
        np.full((images, most), -1, np.int64),
    )  # fmt: skip
    for row in range(images):
        mine = np.arange(offsets[row], offsets[row + 1])
        picked = draw.choice(mine, draw.integers(0, most)) if len(mine) else mine
        noise = draw.normal(0, 3, (len(picked), 4)).astype(np.float32)
        outputs[0][row, : len(picked)] = np.sort((boxes[picked] + noise).reshape(-1, 2, 2), 1).reshape(-1, 4)
        outputs[1][row, : len(picked)] = draw.uniform(0, 1, len(picked)).round(2)  # rounded: some are equal
        outputs[2][row, : len(picked)] = np.where(draw.random(len(picked)) < 0.8, labels[picked], 1)
    truth = Boxes(offsets=torch.tensor(offsets), boxes=torch.tensor(boxes), labels=torch.tensor(labels))
    return outputs, truth


def measured(prediction: Any, truth: Boxes) -> Measured:
    meter = DetectMeter(CLASSES)
    meter.add(prediction, truth)
    return meter.report()


def oracle(prediction: Any, truth: Boxes) -> dict[str, Any]:
    """The numbers of pycocotools, from the same arrays."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def annotation(image: int, box: Any, label: int, **more: float) -> dict[str, Any]:
        x1, y1, x2, y2 = map(float, box)
        sides = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
        return {"image_id": image, "category_id": int(label), **sides, **more}

    true = [
        annotation(image, box, int(label))
        for image, (boxes, labels) in enumerate(truth.split())
        for box, label in zip(boxes, labels, strict=True)
    ]
    found = [
        annotation(image, box, label, score=float(score))
        for image, row in enumerate(zip(*prediction, strict=True))
        for box, score, label in zip(*row, strict=True)
        if label >= 0
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image} for image in range(len(truth))],
            "categories": [{"id": label} for label in range(len(CLASSES))],
            "annotations": [{"id": number, **row} for number, row in enumerate(true, start=1)],
        }
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, -1]
    per_class = [precision[0, :, label][precision[0, :, label] > -1] for label in range(len(CLASSES))]
    return {
        "map": precision[precision > -1].mean(),
        "map50": precision[0][precision[0] > -1].mean(),
        "ap50": [values.mean() if values.size else None for values in per_class],
    }


@pytest.mark.parametrize("seed", range(6))
def test_map_equals_that_of_pycocotools(seed: int) -> None:
    prediction, truth = scene(seed)
    report, reference = measured(prediction, truth), oracle(prediction, truth)
    assert report.figures["map"] == pytest.approx(reference["map"], abs=1e-6)
    assert report.figures["map50"] == pytest.approx(reference["map50"], abs=1e-6)
    assert [row["ap50"] for row in report.per_class] == [
        None if value is None else pytest.approx(value, abs=1e-6) for value in reference["ap50"]
    ]
    assert report.primary.value == report.figures["map50"]


def test_the_interval_holds_the_value_and_is_the_same_every_time() -> None:
    prediction, truth = scene(1)
    one, two = measured(prediction, truth).primary, measured(prediction, truth).primary
    assert one == two
    assert one.interval is not None
    assert 0 <= one.interval[0] < one.value < one.interval[1] <= 1


def test_no_detection_at_all_is_an_average_precision_of_zero() -> None:
    prediction, truth = scene(2)
    empty = (prediction[0], prediction[1], np.full_like(prediction[2], -1))
    report = measured(empty, truth)
    assert report.figures == {"map50": 0, "map": 0}
    assert [row["ap50"] for row in report.per_class] == [0, 0, 0, None]
    assert sum(row["count"] for row in report.per_class) == len(truth.boxes)


def test_images_without_boxes_count_their_false_alarms() -> None:
    prediction, truth = scene(3)
    nothing = truth.take(torch.arange(0))
    only = Boxes(
        offsets=torch.cat([truth.offsets, truth.offsets[-1:].repeat(4)]), boxes=truth.boxes, labels=truth.labels
    )
    more = tuple(np.concatenate([part, part[:4]]) for part in prediction)
    assert len(nothing) == 0
    assert measured(more, only).primary.value < measured(prediction, truth).primary.value


def test_no_image_and_numbers_that_are_not_finite_are_errors() -> None:
    with pytest.raises(DataError, match="no images"):
        DetectMeter(CLASSES).report()
    prediction, truth = scene(4)
    prediction[1][:] = np.nan
    with pytest.raises(WorkFailed, match="not finite"):
        measured(prediction, truth)


def test_without_faster_coco_eval_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(DataError) as caught:
        measured(*scene(5))
    assert any("resnetctl[detect]" in str(hint) for hint in caught.value.hint)


def test_the_order_of_detections_does_not_count() -> None:
    prediction, _ = scene(6)
    order = np.random.default_rng(0).permutation(prediction[1].shape[1])
    shuffled = tuple(part[:, order] for part in prediction)
    same = Detect().agree(prediction, shuffled)
    assert same.same == same.total == int((prediction[2] >= 0).sum())
    assert same.largest == 0


@pytest.mark.parametrize(("change", "kept"), [(1e-4, True), (0.01, False)])
def test_scores_may_differ_by_rounding_only(change: float, kept: bool) -> None:
    prediction, _ = scene(7)
    other = (prediction[0], prediction[1] + np.float32(change), prediction[2])
    agreement = Detect().agree(prediction, other)
    assert (agreement.share == 1) == kept
    assert bool(agreement.problems) != kept


def test_a_moved_box_another_class_and_a_missing_detection_have_no_equal() -> None:
    boxes = np.array([[[0, 0, 10, 10], [20, 20, 40, 40], [5, 5, 30, 30]]], np.float32)
    scores, labels = np.array([[0.9, 0.8, 0.7]], np.float32), np.array([[0, 1, 2]])
    moved = boxes.copy()
    moved[0, 0] += 1
    for other in (
        (moved, scores, labels),
        (boxes, scores, np.array([[1, 1, 2]])),
        (boxes, scores, np.array([[-1, 1, 2]])),
    ):
        agreement = Detect().agree((boxes, scores, labels), other)
        assert (agreement.same, agreement.total) == (2, 3)
        assert agreement.problems == ("image 0: 1 of 3 detections have no equal",)


def test_a_class_that_does_not_exist_is_an_error_and_padding_is_none() -> None:
    prediction, truth = scene(8)
    prediction[2][0, 0] = len(CLASSES)
    with pytest.raises(WorkFailed, match=r"classes outside 0\.\.3"):
        measured(prediction, truth)
    prediction[2][0, 0] = -1
    prediction[0][0, 0] = np.nan  # padding may be anything
    assert measured(prediction, truth).count == 12


def test_batches_of_any_size_give_the_same_numbers() -> None:
    prediction, truth = scene(9)
    whole, meter = measured(prediction, truth), DetectMeter(CLASSES)
    for start, stop in ((0, 1), (1, 7), (7, 12)):
        meter.add(tuple(part[start:stop] for part in prediction), truth.take(torch.arange(start, stop)))
    assert meter.report() == whole


@pytest.mark.parametrize("scale", [0.25, 8.0])
def test_the_numbers_do_not_depend_on_the_unit_of_the_boxes(scale: float) -> None:
    prediction, truth = scene(10)
    other = Boxes(offsets=truth.offsets, boxes=truth.boxes * scale, labels=truth.labels)
    found = measured((prediction[0] * np.float32(scale), *prediction[1:]), other)
    assert found.figures == measured(prediction, truth).figures


def test_more_detections_than_count_leave_out_the_worst() -> None:
    box, far = [10.0, 10, 20, 20], [50.0, 50, 60, 60]
    truth = Boxes(offsets=torch.tensor([0, 1]), boxes=torch.tensor([box]), labels=torch.tensor([0]))
    boxes = np.array([[far] * MOST + [box]], np.float32)
    scores, labels = np.linspace(1, 0.5, MOST + 1, dtype=np.float32)[None], np.zeros((1, MOST + 1), np.int64)
    assert measured((boxes, scores, labels), truth).figures["map50"] == 0
    kept = (boxes[:, 1:], scores[:, 1:], labels[:, 1:])
    assert measured(kept, truth).figures["map50"] == pytest.approx(1 / MOST)


def test_the_figures_without_any_box_are_unknown_and_the_primary_is_zero() -> None:
    prediction, _ = scene(11, images=3)
    none = Boxes(offsets=torch.zeros(4, dtype=torch.int64), boxes=torch.empty(0, 4), labels=torch.empty(0).long())
    report = measured(prediction, none)
    assert report.figures == {"map50": None, "map": None}
    assert (report.primary.value, report.primary.interval) == (0, None)
    assert {row["ap50"] for row in report.per_class} == {None}


@pytest.mark.parametrize("turned", [False, True])
def test_agreement_is_the_same_in_both_orders(turned: bool) -> None:
    prediction, _ = scene(12)
    fewer = (*prediction[:2], np.where(prediction[1] > 0.5, prediction[2], -1))
    pair = (fewer, prediction) if turned else (prediction, fewer)
    agreement = Detect().agree(*pair)
    assert agreement.total == int((prediction[2] >= 0).sum())
    assert agreement.same == int((fewer[2] >= 0).sum())
    assert 0 < agreement.share < 1


def test_each_image_has_f1_of_the_boxes_that_would_be_shown() -> None:
    truth = Boxes(
        offsets=torch.tensor([0, 2, 2, 2, 3]),
        boxes=torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 9, 9]]),
        labels=torch.tensor([0, 1, 0]),
    )
    box = [0.0, 0, 10, 10]
    boxes = np.array([[box, box, [20, 20, 30, 30]], [box] * 3, [box] * 3, [box] * 3], np.float32)
    scores = np.array([[0.9, 0.8, 0.29], [0.0, 0, 0], [0.5, 0, 0], [0.3, 0, 0]], np.float32)
    labels = np.array([[0, 0, 1], [-1, -1, -1], [0, -1, -1], [1, -1, -1]])
    meter = DetectMeter(["a", "b"])
    meter.add((boxes, scores, labels), truth)
    keys = ("f1", "boxes", "found", "right")
    rows = [tuple(row[key] for key in keys) for row in meter.report().per_image]
    # a second box on one object, and one of too little score; nothing to find; one too many; another class
    assert rows == [(0.5, 2, 2, 1), (1.0, 0, 0, 0), (0.0, 0, 1, 0), (0.0, 1, 1, 0)]


def test_each_class_has_its_interval_and_its_curve() -> None:
    outputs, truth = scene(3)
    meter = DetectMeter(CLASSES)
    meter.add(outputs, truth)
    report = meter.report()
    rows = {row["name"]: row for row in report.per_class}
    assert rows["unseen"]["interval"] is None
    assert [curve.name for curve in report.curves] == ["cell", "plate", "virus"]
    for curve in report.curves:
        low, high = rows[curve.name]["interval"]
        assert low <= rows[curve.name]["ap50"] <= high
        assert np.mean([y for _, y in curve.points]) == pytest.approx(rows[curve.name]["ap50"])
        assert [x for x, _ in curve.points] == pytest.approx(np.linspace(0, 1, 101))
