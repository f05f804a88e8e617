"""Average precision equals that of torchmetrics; F1 and exact answers are those of the threshold."""

from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.classification import MultilabelAveragePrecision, MultilabelF1Score

from resnetctl.engine.meters.multilabel import FEWEST, Multilabel, MultilabelMeter, best_threshold
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


def f1_from(threshold: float, shares: np.ndarray[Any, Any], true: np.ndarray[Any, Any]) -> float:
    answers = shares >= threshold
    return 2 * int((answers & true).sum()) / int(answers.sum() + true.sum())


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_has_a_better_f1_than_the_chosen_one(seed: int) -> None:
    shares, tags = scene(seed, images=120)
    for column in range(3):
        own, true = 0.05 + 0.9 * shares[:, column].astype(np.float64), tags[:, column].numpy() > 0
        chosen = best_threshold(own, true)
        others = [f1_from(value, own, true) for value in np.linspace(0, 1, 201)]
        assert f1_from(chosen, own, true) == pytest.approx(max(others))
        assert np.abs(own - chosen).min() > 0.01  # between two probabilities: rounding changes no answer


def test_too_few_images_choose_no_threshold() -> None:
    shares, true = np.linspace(0, 0.2, 20), np.zeros(20, bool)
    true[-FEWEST + 1 :] = True
    assert best_threshold(shares, true) == 0.5
    assert best_threshold(shares, ~true) == 0.5
    true[-FEWEST] = True
    assert 0.1 < best_threshold(shares, true) < 0.2


def test_the_thresholds_decide_what_is_an_answer() -> None:
    shares, tags = scene(0)
    meter = MultilabelMeter(CLASSES)
    meter.add((shares,), Tags(tags=tags))
    chosen = meter.thresholds()
    again = Multilabel().meter(CLASSES, thresholds=chosen)
    again.add((shares,), Tags(tags=tags))
    before, after = meter.report(), again.report()
    assert [row["threshold"] for row in after.per_class] == [*chosen]
    assert chosen[3] == 0.5
    assert after.figures["map"] == before.figures["map"]
    assert all(one["f1"] <= two["f1"] for one, two in zip(before.per_class[:3], after.per_class[:3], strict=True))
