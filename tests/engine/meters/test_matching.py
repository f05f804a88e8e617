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


def test_overlaps_are_the_same_in_both_orders_and_of_whole_numbers() -> None:
    a, b = boxes(6, 4), boxes(5, 5)
    assert np.array_equal(overlaps_of(a, b), overlaps_of(b, a).T)
    whole = np.array([[0, 0, 2, 2]]), np.array([[1, 1, 3, 3], [2, 0, 4, 2], [0, 0, 2, 2]])
    assert overlaps_of(*whole).tolist() == [[1 / 7, 0, 1]]


@pytest.mark.parametrize(("at", "hits"), [(0.5, True), (0.51, False)])
def test_an_overlap_of_exactly_the_threshold_hits(at: float, hits: bool) -> None:
    true, half = np.array([[0, 0, 10, 10]], np.float32), np.array([[0, 0, 10, 5]], np.float32)
    table = matched([(half, np.ones(1), np.zeros(1))], [(true, np.zeros(1))], label=0, most=100, at=at)
    assert table.hits.tolist() == [hits]


def test_a_threshold_of_one_is_reached_in_spite_of_rounding() -> None:
    true = boxes(1, 6)
    table = matched([(true, np.ones(1), np.zeros(1))], [(true, np.zeros(1))], label=0, most=1, at=1.0)
    assert table.hits.tolist() == [True]


def test_other_classes_and_the_worst_beyond_the_limit_are_left_out() -> None:
    true = boxes(3, 7)
    found = (true, np.array([0.1, 0.3, 0.2]), np.array([0, 0, 1]))
    table = matched([found], [(true, np.array([0, 0, 1]))], label=0, most=1)
    assert (len(table.hits), table.counts.tolist()) == (1, [2])
    assert average_precision(table, np.ones(1, np.int64)) == pytest.approx(51 / 101)


def test_the_best_pair_wins_where_several_are_alike() -> None:
    true = np.array([[0, 0, 100, 100]], np.float32)
    one = (np.array([[0, 0, 100, 99.5], [0, 0, 100, 100]], np.float32), np.full(2, 0.5), np.zeros(2))
    two = (true, np.full(1, 0.5), np.zeros(1))
    assert pairs(one, two, iou=0.99, score=1e-3) == [(1, 0)]
    assert pairs(two, one, iou=0.99, score=1e-3) == [(0, 1)]


@pytest.mark.parametrize("scores", [[0.5, 0.5011], [0.5, 0.4989]])
def test_scores_that_differ_by_more_than_is_allowed_are_no_pair(scores: list[float]) -> None:
    true = boxes(1, 8)
    one, two = ((true, np.array([score]), np.zeros(1)) for score in scores)
    assert pairs(one, two, iou=0.9, score=1e-3) == []
    assert pairs(one, two, iou=0.9, score=2e-3) == [(0, 0)]
