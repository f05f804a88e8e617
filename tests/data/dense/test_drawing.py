"""Boxes and masks are drawn where they are, and unknown pixels stay as they were."""

import numpy as np
from PIL import Image

from resnetctl.data.dense.drawing import COLOURS, colour, draw_boxes, draw_mask

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
