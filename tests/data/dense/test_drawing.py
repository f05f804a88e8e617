"""Boxes and masks are drawn where they are, and unknown pixels stay as they were."""

import numpy as np
import pytest
from PIL import Image

from resnetctl.data.dense.drawing import COLOURS, SHARE, colour, draw_boxes, draw_mask

GREY = Image.new("L", (60, 50), 100)


def test_the_border_of_a_box_has_the_colour_of_its_class() -> None:
    drawn = np.asarray(draw_boxes(GREY, np.array([[10, 20, 30, 40]]), labels=np.array([1])))
    assert tuple(drawn[20, 15]) == tuple(drawn[39, 15]) == tuple(drawn[30, 10]) == colour(1)
    assert tuple(drawn[30, 20]) == tuple(drawn[5, 5]) == (100, 100, 100)


def test_texts_are_written_and_stay_inside_the_picture() -> None:
    boxes, labels = np.array([[0, 0, 30, 40]]), np.array([0])
    plain = np.asarray(draw_boxes(GREY, boxes, labels=labels))
    titled = np.asarray(draw_boxes(GREY, boxes, labels=labels, texts=["cat 0.9"]))
    assert titled.shape == plain.shape
    assert (titled != plain).any()


def test_a_mask_tints_known_pixels_only() -> None:
    mask = np.full((50, 60), 255, np.uint8)
    mask[:10] = 2
    drawn = np.asarray(draw_mask(GREY, mask))
    assert (drawn[10:] == 100).all()
    assert (drawn[0, 0] != 100).any()


def test_there_is_a_colour_for_every_class() -> None:
    assert colour(len(COLOURS)) == colour(0)
    assert len(set(COLOURS)) == len(COLOURS)


@pytest.mark.parametrize(
    "box", [[-5, -5, 200, 200], [10, 10, 10, 10], [10.6, 3.2, 11.1, 3.4], [59, 49, 60, 50], [0, 0, 1, 50]]
)
def test_any_box_can_be_drawn(box: list[float]) -> None:
    drawn = draw_boxes(GREY, np.array([box]), labels=np.array([300]), texts=["a" * 99])
    assert (drawn.size, drawn.mode) == ((60, 50), "RGB")
    assert (np.asarray(drawn) != 100).any()


def test_the_picture_itself_stays_as_it_was_and_without_a_box_nothing_is_drawn() -> None:
    picture = Image.new("RGB", (60, 50), (100, 100, 100))
    draw_boxes(picture, np.array([[1, 1, 9, 9]]), labels=np.array([0]))
    draw_mask(picture, np.zeros((50, 60), np.uint8))
    assert (np.asarray(picture) == 100).all()
    assert (np.asarray(draw_boxes(picture, np.empty((0, 4)), labels=np.empty(0, int))) == 100).all()


def test_boxes_and_labels_of_different_lengths_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="zip"):
        draw_boxes(GREY, np.array([[1, 1, 9, 9]]), labels=np.array([0, 1]))


@pytest.mark.parametrize("label", [0, 6, 7, 254])
def test_a_mask_mixes_its_colour_with_the_picture(label: int) -> None:
    drawn = np.asarray(draw_mask(GREY, np.full((50, 60), label, np.uint8)))
    wanted = np.rint((1 - SHARE) * 100 + SHARE * np.array(colour(label)))
    assert np.abs(drawn[3, 4] - wanted).max() <= 1
    assert (drawn == drawn[0, 0]).all()
