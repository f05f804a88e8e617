"""Average precision equals that of torchmetrics; F1 and exact answers are those of the threshold."""

from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.classification import MultilabelAveragePrecision, MultilabelF1Score

from resnetctl.engine.meters.multilabel import Multilabel, MultilabelMeter
from resnetctl.errors import DataError, WorkFailed
from resnetctl.spec import Measured, Tags

CLASSES = ("cat", "dog", "fox", "unseen")


def scene(seed: int, images: int = 40) -> tuple[np.ndarray[Any, Any], torch.Tensor]:
    """Probabilities with many ties, and tags; no image has the last class."""
    draw = np.random.default_rng(seed)
    tags = (draw.random((images, 4)) < [0.5, 0.2, 0.7, 0]).astype(np.uint8)
    shares = np.clip(0.4 * tags + 0.6 * draw.random(tags.shape), 0, 1).round(1).astype(np.float32)
    return shares, torch.from_numpy(tags)


def measured(shares: np.ndarray[Any, Any], tags: torch.Tensor) -> Measured:
    meter = MultilabelMeter(CLASSES)
    meter.add((shares,), Tags(tags=tags))
    return meter.report()


@pytest.mark.parametrize("seed", range(5))
def test_numbers_equal_those_of_torchmetrics(seed: int) -> None:
    shares, tags = scene(seed)
    found = measured(shares, tags)
    each = MultilabelAveragePrecision(3, average="none")(torch.from_numpy(shares[:, :3]), tags[:, :3].long()).tolist()
    assert [row["ap"] for row in found.per_class] == [*(pytest.approx(value, abs=1e-6) for value in each), None]
    assert found.primary.value == pytest.approx(np.mean(each), abs=1e-6)
    # torchmetrics answers above its threshold, we from ours on
    f1 = MultilabelF1Score(3, threshold=0.49, average="none")(torch.from_numpy(shares[:, :3]), tags[:, :3]).tolist()
    assert [row["f1"] for row in found.per_class][:3] == pytest.approx(f1, abs=1e-6)
    assert found.figures["exact"] == ((shares >= 0.5) == tags.numpy()).all(1).mean()


def test_the_interval_and_the_curve_of_a_class_hold_its_number() -> None:
    found = measured(*scene(9))
    assert found.primary.interval is not None
    low, high = found.primary.interval
    assert low < found.primary.value < high
    assert [curve.name for curve in found.curves] == ["cat", "dog", "fox"]
    for curve in found.curves:
        heights = [y for _, y in curve.points]
        assert heights == sorted(heights, reverse=True)


def test_an_image_without_labels_is_right_when_nothing_is_answered() -> None:
    shares = np.array([[0.1, 0.1, 0, 0], [0.9, 0.1, 0, 0], [0.9, 0.9, 0, 0]], np.float32)
    tags = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=torch.uint8)
    rows = measured(shares, tags).per_image
    assert [row["f1"] for row in rows] == [1.0, 0.0, pytest.approx(2 / 3)]


def test_broken_numbers_and_no_images_are_errors() -> None:
    with pytest.raises(DataError, match="no images"):
        MultilabelMeter(CLASSES).report()
    with pytest.raises(WorkFailed, match="broken"):
        measured(np.full((2, 4), np.nan), torch.zeros(2, 4, dtype=torch.uint8))


def test_two_predictions_agree_within_rounding() -> None:
    one = np.array([[0.5, 0.2], [0.1, 0.9]])
    two = one + np.array([[5e-5, 0], [0, -2e-3]])
    found = Multilabel().agree((one,), (two,))
    assert (found.same, found.total, len(found.problems)) == (1, 2, 1)
