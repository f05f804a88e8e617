"""Pictures of a page are small, and are what they show."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from resnetctl.report.pictures import EXACT, SIDE, data_url, thumbnail


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_keeps_every_pixel(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, channels), dtype=np.uint8)
    shown = np.asarray(Image.open(io.BytesIO(thumbnail(image))))
    assert np.array_equal(shown.reshape(image.shape), image)


@pytest.mark.parametrize(("size", "kind"), [(EXACT, "PNG"), (EXACT + 1, "JPEG"), (500, "JPEG")])
def test_a_large_image_becomes_a_small_jpeg(size: int, kind: str) -> None:
    shown = Image.open(io.BytesIO(thumbnail(np.full((size, size, 3), 90, np.uint8))))
    assert shown.format == kind
    assert max(shown.size) <= SIDE


def test_a_url_contains_the_file() -> None:
    for size in (8, 200):
        data = thumbnail(np.zeros((size, size, 3), np.uint8))
        head, _, text = data_url(data).partition(",")
        assert head == f"data:image/{'png' if size == 8 else 'jpeg'};base64"
        assert base64.b64decode(text) == data


def test_a_long_picture_keeps_its_shape() -> None:
    shown = Image.open(io.BytesIO(thumbnail(np.zeros((40, 400, 3), np.uint8))))
    assert shown.size == (SIDE, round(SIDE * 40 / 400))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
@pytest.mark.parametrize("size", [10, 100])
def test_grey_stays_grey(channels: int, mode: str, size: int) -> None:
    image = np.full((size, size, channels), 120, np.uint8)
    shown = Image.open(io.BytesIO(thumbnail(image)))
    assert shown.mode == mode
    assert np.abs(np.asarray(shown).astype(int) - 120).max() <= 1
    assert thumbnail(image) == thumbnail(image)
