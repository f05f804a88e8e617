"""Answers come back to the pixels of the pictures."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnetctl.errors import WorkFailed
from resnetctl.spec import ImageSpec
from resnetctl.tasks.nets.answers import boxes_in_pictures, enlarged, masks_in_pictures, places

PADDED = ImageSpec(size=40, fit="pad")
SIZES = np.array([[80, 40], [40, 40]])


def test_boxes_are_scaled_clipped_and_lose_their_class_without_area() -> None:
    boxes = np.array([[[0, 10, 20, 30], [0, 0, 40, 9]], [[5, 5, 9, 9], [0, 0, 0, 0]]], np.float32)
    scores, labels = np.array([[0.9, 0.8], [0.7, 0.0]], np.float32), np.array([[1, 0], [0, -1]])
    found, kept, classes = boxes_in_pictures((boxes, scores, labels), places(SIZES, PADDED))
    assert found[0, 0].tolist() == [0, 0, 40, 40]
    assert found[1, 0].tolist() == [5, 5, 9, 9]
    assert classes.tolist() == [[1, -1], [0, -1]]  # the second box lies in the padding
    assert kept[0, 1] == 0


def test_the_side_of_the_network_may_differ_from_that_of_the_store() -> None:
    prediction = (np.array([[[0, 5, 10, 15]]], np.float32), np.ones((1, 1)), np.zeros((1, 1), np.int64))
    found, _, _ = boxes_in_pictures(prediction, places(SIZES[:1], PADDED), scale=2.0)
    assert found[0, 0].tolist() == [0, 0, 40, 40]


def test_maps_have_the_size_of_their_pictures() -> None:
    maps = np.zeros((2, 40, 40), np.int64)
    maps[:, 20:] = 3
    one, two = masks_in_pictures((maps,), places(SIZES, PADDED))
    assert one.shape == (40, 80)
    assert two.shape == (40, 40)
    assert one[19].max() == 0
    assert one[20].min() == 3


def test_enlarged_maps_repeat_pixels() -> None:
    maps = np.arange(4).reshape(1, 2, 2)
    assert enlarged(maps, 4)[0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


@pytest.mark.parametrize("side", [1, 3, 5, 8])
def test_maps_of_any_side_are_enlarged_or_reduced_as_pillow_does(side: int) -> None:
    maps = np.random.default_rng(side).integers(0, 9, (2, 5, 5)).astype(np.uint8)
    for own, expected in zip(enlarged(maps, side), maps, strict=True):
        wanted = Image.fromarray(expected).resize((side, side), Image.Resampling.NEAREST)
        assert np.array_equal(own, np.asarray(wanted))


@pytest.mark.parametrize("fit", ["pad", "crop", "squash"])
def test_boxes_of_the_store_come_back_to_the_picture_at_every_size_of_the_network(fit: str) -> None:
    image: Any = {"size": 40, "fit": fit}
    where = places(np.array([[80, 60]]), ImageSpec(**image))
    true = np.array([[20, 15, 50, 45]], np.float32)
    for size in (20, 40, 64):
        seen = where[0].inside(true) * (size / 40)
        found, _, _ = boxes_in_pictures((seen[None], np.ones((1, 1)), np.zeros((1, 1), int)), where, scale=40 / size)
        np.testing.assert_allclose(found[0], true, atol=1e-3)


def test_padding_keeps_its_class_and_no_detection_is_no_problem() -> None:
    where = places(SIZES, PADDED)
    none = (np.zeros((2, 0, 4), np.float32), np.zeros((2, 0)), np.zeros((2, 0), np.int64))
    assert [part.shape for part in boxes_in_pictures(none, where)] == [(2, 0, 4), (2, 0), (2, 0)]
    padding = (np.zeros((2, 1, 4), np.float32), np.zeros((2, 1)), np.full((2, 1), -1))
    assert boxes_in_pictures(padding, where)[2].tolist() == [[-1], [-1]]


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_an_error_but_in_padding(part: int, value: float) -> None:
    prediction = (np.ones((2, 1, 4), np.float32), np.ones((2, 1), np.float32), np.array([[0], [-1]]))
    where = places(SIZES, PADDED)
    prediction[part][1] = value
    assert boxes_in_pictures(prediction, where)[2][1].tolist() == [-1]
    prediction[part][0] = value
    with pytest.raises(WorkFailed, match="its weights are broken"):
        boxes_in_pictures(prediction, where)
