"""Boxes are matched as torchvision and COCO match them."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from resnetctl.engine.meters.matching import average_precision, matched, overlaps_of, pairs


def boxes(count: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    corners = draw.uniform(0, 50, (count, 2))
    return np.concatenate([corners, corners + draw.uniform(1, 30, (count, 2))], 1).astype(np.float32)


@pytest.mark.parametrize(("one", "two"), [(5, 7), (0, 3), (4, 0)])
def test_overlaps_are_those_of_torchvision(one: int, two: int) -> None:
    a, b = boxes(one, 1), boxes(two, 2)
    expected = box_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(overlaps_of(a, b), expected, atol=1e-6)


def test_a_box_without_area_overlaps_nothing() -> None:
    flat = np.array([[3, 3, 3, 9]], np.float32)
    assert overlaps_of(flat, flat).tolist() == [[0]]


def test_two_equal_detections_need_two_equals() -> None:
    twice = (np.repeat(boxes(1, 3), 2, axis=0), np.array([0.5, 0.5]), np.array([1, 1]))
    once = tuple(part[:1] for part in twice)
    assert len(pairs(twice, twice, iou=0.99, score=1e-3)) == 2
    assert len(pairs(twice, once, iou=0.99, score=1e-3)) == 1  # type: ignore[arg-type]


def test_each_true_box_is_taken_once_by_the_best_detection() -> None:
    true = np.array([[0, 0, 10, 10]], np.float32)
    found = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [40, 40, 50, 50]], np.float32)
    table = matched([(found, np.array([0.6, 0.9, 0.7]), np.zeros(3))], [(true, np.zeros(1))], label=0, most=100)
    assert table.hits.tolist() == [True, False, False]  # by score: 0.9, 0.7, 0.6
    assert table.counts.tolist() == [1]


def test_average_precision_of_images_drawn_several_times() -> None:
    true = [(np.array([[0, 0, 10, 10]], np.float32), np.zeros(1))] * 2
    right = (np.array([[0, 0, 10, 10]], np.float32), np.array([0.9]), np.zeros(1))
    wrong = (np.array([[30, 30, 40, 40]], np.float32), np.array([0.8]), np.zeros(1))
    table = matched([right, wrong], true, label=0, most=100)
    assert average_precision(table, np.array([1, 0])) == 1
    assert average_precision(table, np.array([0, 3])) == 0
    assert average_precision(table, np.array([0, 0])) is None
    assert average_precision(table, np.array([1, 1])) == pytest.approx(51 / 101)
