"""mIoU equals torchmetrics; pixels whose class is not known count nowhere."""

from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from resnetctl.engine.meters.segment import Segment, SegmentMeter, confusion, ious
from resnetctl.errors import DataError, WorkFailed
from resnetctl.spec import IGNORE, Masks, Measured

CLASSES = ("sky", "road", "car", "unseen")


def scene(seed: int, images: int = 6) -> tuple[np.ndarray[Any, Any], torch.Tensor]:
    draw = np.random.default_rng(seed)
    masks = draw.integers(0, 3, (images, 10, 12), dtype=np.uint8)
    maps = np.where(draw.random(masks.shape) < 0.7, masks, draw.integers(0, 3, masks.shape)).astype(np.int64)
    masks[draw.random(masks.shape) < 0.1] = IGNORE
    return maps, torch.from_numpy(masks)


def measured(maps: np.ndarray[Any, Any], masks: torch.Tensor) -> Measured:
    meter = SegmentMeter(CLASSES)
    meter.add((maps,), Masks(masks=masks))
    return meter.report()


@pytest.mark.parametrize("seed", range(4))
def test_miou_and_accuracy_equal_those_of_torchmetrics(seed: int) -> None:
    maps, masks = scene(seed)
    report = measured(maps, masks)
    given = torch.from_numpy(maps), masks.long()
    options: Any = {"num_classes": len(CLASSES), "ignore_index": IGNORE}
    assert report.primary.value == pytest.approx(float(MulticlassJaccardIndex(**options)(*given)), abs=1e-6)
    accuracy = MulticlassAccuracy(**options, average="micro")(*given)
    assert report.figures["pixel_accuracy"] == pytest.approx(float(accuracy), abs=1e-6)
    each = MulticlassJaccardIndex(**options, average="none")(*given)
    assert [row["iou"] for row in report.per_class][:3] == pytest.approx(each[:3].tolist(), abs=1e-6)


def test_a_class_without_pixels_has_no_iou_and_does_not_lower_the_mean() -> None:
    report = measured(*scene(0))
    assert report.per_class[3] == {"name": "unseen", "count": 0, "iou": None, "interval": None}
    assert report.primary.value == pytest.approx(np.mean([row["iou"] for row in report.per_class[:3]]))


def test_a_mask_that_is_ignored_everywhere_changes_nothing() -> None:
    maps, masks = scene(1)
    hidden = torch.cat([masks, torch.full_like(masks[:1], IGNORE)])
    report, other = measured(maps, masks), measured(np.concatenate([maps, maps[:1]]), hidden)
    assert other.figures == report.figures
    assert other.count == report.count + 1


def test_only_ignored_masks_give_no_accuracy() -> None:
    maps, masks = scene(2)
    report = measured(maps, torch.full_like(masks, IGNORE))
    assert report.figures == {"miou": 0, "pixel_accuracy": None}
    assert report.primary.interval is None


def test_the_interval_holds_the_value() -> None:
    primary = measured(*scene(3)).primary
    assert primary.interval is not None
    assert primary.interval[0] < primary.value < primary.interval[1]


def test_no_image_and_an_unknown_class_are_errors() -> None:
    with pytest.raises(DataError, match="no images"):
        SegmentMeter(CLASSES).report()
    maps, masks = scene(4)
    with pytest.raises(WorkFailed, match=r"outside 0\.\.3"):
        measured(maps + 4, masks)


def test_agreement_counts_pixels_and_names_images() -> None:
    maps, _ = scene(5)
    other = maps.copy()
    other[2, :2] += 1
    agreement = Segment().agree((maps,), (other,))
    assert (agreement.same, agreement.total) == (maps.size - 24, maps.size)
    assert agreement.problems == ("image 2: 24 of 120 pixels differ",)


def test_batches_of_any_size_and_pictures_of_any_size_give_the_same_numbers() -> None:
    maps, masks = scene(6)
    meter = SegmentMeter(CLASSES)
    for row in range(len(maps)):
        meter.add((maps[row : row + 1, :, ::-1].transpose(0, 2, 1),), Masks(masks=masks[row : row + 1].flip(2).mT))
    assert meter.report().figures == measured(maps, masks).figures


@pytest.mark.parametrize("value", [-1, np.nan])
def test_a_negative_class_and_a_number_that_is_none_are_errors(value: float) -> None:
    maps, masks = scene(7)
    broken = maps.astype(np.float32)
    broken[0, 0, 0] = value
    with pytest.raises(WorkFailed, match=r"outside 0\.\.3"):
        measured(broken, masks)


def test_the_confusion_has_a_row_for_each_true_class() -> None:
    truth, found = np.array([[0, 0, 1, IGNORE]], np.uint8), np.array([[0, 2, 1, 1]])
    assert confusion(found, truth, count=3).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    each = ious(confusion(found, truth, count=4))
    assert each[:3].tolist() == [0.5, 1, 0]
    assert np.isnan(each[3])


def test_a_class_that_is_only_predicted_lowers_the_mean() -> None:
    truth = torch.zeros(2, 4, 4, dtype=torch.uint8)
    maps = np.zeros((2, 4, 4), np.int64)
    maps[0, 0] = 3
    report = measured(maps, truth)
    assert report.per_class[3] == {"name": "unseen", "count": 0, "iou": 0, "interval": (0, 0)}
    assert report.figures == {"miou": pytest.approx(28 / 32 / 2), "pixel_accuracy": 28 / 32}


def test_one_image_has_no_interval_and_equal_maps_agree() -> None:
    maps, masks = scene(8, images=1)
    assert measured(maps, masks).primary.interval is None
    agreement = Segment().agree((maps,), (maps.copy(),))
    assert (agreement.share, agreement.problems) == (1, ())


def test_each_image_has_its_own_numbers_and_none_without_a_known_pixel() -> None:
    truth = torch.tensor([[[0, 0], [1, 1]], [[255, 255], [255, 255]], [[0, 0], [0, 255]]], dtype=torch.uint8)
    meter = SegmentMeter(["a", "b"])
    meter.add((np.array([[[0, 1], [1, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 1]]]),), Masks(masks=truth))
    rows = meter.report().per_image
    assert rows[0] == {"miou": pytest.approx((1 / 2 + 2 / 3) / 2), "pixel_accuracy": 0.75}
    assert rows[1] == {"miou": None, "pixel_accuracy": None}
    assert rows[2] == {"miou": 1.0, "pixel_accuracy": 1.0}
