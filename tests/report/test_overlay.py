"""The overlay is a PNG that is grey where the map is 0 and coloured where it is 1."""

import io

import numpy as np
import pytest
from PIL import Image

from resnetctl.report.overlay import HIGH, LEAST, STRENGTH, laid_over, overlay


@pytest.mark.parametrize(("size", "wanted"), [(8, 256), (32, 256), (100, 300), (300, 300)])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures_are_enlarged_by_a_whole_factor(size: int, wanted: int, channels: int) -> None:
    image = np.full((size, size, channels), 100, np.uint8)
    picture = Image.open(io.BytesIO(overlay(image, np.zeros((size, size), np.float32))))
    assert picture.size == (wanted, wanted)
    assert wanted >= LEAST
    assert picture.getpixel((0, 0)) == (100, 100, 100)


def test_the_map_colours_its_pixels_only() -> None:
    image = np.full((256, 256, 3), 100, np.uint8)
    shares = np.zeros((256, 256), np.float32)
    shares[3, 5] = 1
    picture = Image.open(io.BytesIO(overlay(image, shares)))
    assert picture.getpixel((5, 3)) == tuple(np.rint(100 + (HIGH - 100) * STRENGTH).astype(int))
    assert picture.getpixel((6, 3)) == (100, 100, 100)


def test_a_map_of_zeros_leaves_the_grey_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    shown = laid_over(image, np.zeros((4, 4), np.float32))
    assert np.ptp(shown, axis=2).max() == 0
    assert np.abs(shown[..., 0] - image.mean(axis=2)).max() <= 0.5
    assert laid_over(image, np.ones((4, 4), np.float32))[..., 0].min() > shown[..., 1].min() * 0.3
