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
