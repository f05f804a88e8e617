"""Boxes and masks go the way of the pixels, and back."""

import numpy as np
import pytest

from resnetctl.data.dense.geometry import fit_mask, mask_back, placement
from resnetctl.data.images import fit

SIZES = [(40, 30), (30, 40), (17, 60), (25, 25), (100, 99)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [20, 32, 64])
@pytest.mark.parametrize("kind", ["pad", "squash", "crop"])
def test_a_bright_patch_is_where_its_box_goes(size: tuple[int, int], side: int, kind: str) -> None:
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = width // 4, height // 4, width // 4 + width // 2, height // 4 + height // 2
    picture[y1:y2, x1:x2] = 255
    square = fit(picture, resize=side, fit=kind)[..., 0].astype(float)
    place = placement(width, height, side=side, fit=kind)
    a, b, c, d = place.inside(np.array([[x1, y1, x2, y2]], np.float32))[0]
    line = np.arange(side) + 0.5
    weights = square / square.sum()
    assert (weights.sum(0) * line).sum() == pytest.approx((a + c) / 2, abs=0.35)
    assert (weights.sum(1) * line).sum() == pytest.approx((b + d) / 2, abs=0.35)
    assert square.sum() / 255 == pytest.approx((c - a) * (d - b), rel=0.12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["pad", "squash"])
def test_boxes_come_back_to_the_picture(size: tuple[int, int], kind: str) -> None:
    place = placement(*size, side=32, fit=kind)
    boxes = np.array([[1, 2, 12, 20], [0, 0, *size]], np.float32)
    np.testing.assert_allclose(place.back(place.inside(boxes)), boxes.clip(0, [*size, *size]), atol=1e-4)


def test_boxes_are_clipped_at_the_borders_of_the_picture() -> None:
    place = placement(40, 20, side=40, fit="pad")
    assert place.visible() == (0, 10, 40, 30)
    assert place.back(np.array([[-3, 0, 50, 40]], np.float32)).tolist() == [[0, 0, 40, 20]]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["pad", "squash", "crop"])
def test_masks_have_the_shape_of_the_square_and_come_back_in_that_of_the_picture(
    size: tuple[int, int], kind: str
) -> None:
    mask = np.arange(size[0] * size[1]).reshape(size[1], size[0]).astype(np.uint8) % 5
    place = placement(*size, side=64, fit=kind)
    square = fit_mask(mask, side=64, fit=kind)
    assert square.shape == (64, 64)
    assert set(np.unique(square)) <= {0, 1, 2, 3, 4, 255}
    assert mask_back(square, place).shape == mask.shape


def test_an_enlarged_mask_comes_back_as_it_was() -> None:
    mask = np.random.default_rng(0).integers(0, 9, (30, 40), dtype=np.uint8)
    for kind in ("pad", "squash"):
        place = placement(40, 30, side=80, fit=kind)  # type: ignore[arg-type]
        assert (mask_back(fit_mask(mask, side=80, fit=kind), place) == mask).all()  # type: ignore[arg-type]


def test_padding_of_a_mask_is_not_known() -> None:
    square = fit_mask(np.zeros((10, 20), np.uint8), side=20, fit="pad")
    assert (square[:5] == 255).all()
    assert (square[15:] == 255).all()
    assert (square[5:15] == 0).all()


@pytest.mark.parametrize("size", [(4, 1), (1, 4), (6, 3), (3, 6), (7, 4), (1000, 1), (9, 9)])
def test_a_crop_comes_back_to_the_part_that_it_shows(size: tuple[int, int]) -> None:
    width, height = size
    cut = min(size)
    place = placement(width, height, side=12, fit="crop")
    back = mask_back(np.full((12, 12), 7, np.uint8), place)
    rows, columns = np.nonzero(back)
    assert len(rows) == cut * cut
    for found, whole in ((rows, height), (columns, width)):
        assert found.max() - found.min() + 1 == cut
        assert abs(found.min() - (whole - cut) / 2) <= 0.5


def test_a_very_thin_picture_keeps_a_pixel_of_its_short_side() -> None:
    place = placement(1000, 1, side=20, fit="pad")
    x1, y1, x2, y2 = place.visible()
    assert (x2 - x1, y2 - y1) == (20, 1)
    mask = np.full((1, 1000), 3, np.uint8)
    assert (mask_back(fit_mask(mask, side=20, fit="pad"), place) == 3).all()


@pytest.mark.parametrize("kind", ["pad", "squash", "crop"])
def test_a_picture_of_the_right_size_stays_as_it_is(kind: str) -> None:
    mask = np.random.default_rng(1).integers(0, 256, (16, 16), dtype=np.uint8)
    place = placement(16, 16, side=16, fit=kind)  # type: ignore[arg-type]
    assert fit_mask(mask, side=16, fit=kind) is mask  # type: ignore[arg-type]
    assert (mask_back(mask, place) == mask).all()
    boxes = np.array([[0, 0, 16, 16], [3.5, 1, 9, 15.25]], np.float32)
    assert np.array_equal(place.inside(boxes), boxes)


def test_no_box_is_no_box_in_every_direction() -> None:
    place, none = placement(40, 30, side=20, fit="pad"), np.empty((0, 4), np.float32)
    assert place.inside(none).shape == place.back(none).shape == (0, 4)


def test_a_mask_that_is_no_whole_piece_of_memory_is_placed_alike() -> None:
    whole = np.random.default_rng(2).integers(0, 9, (30, 80), dtype=np.uint8)
    part = whole[:, ::2]
    assert (fit_mask(part, side=20, fit="pad") == fit_mask(part.copy(), side=20, fit="pad")).all()
