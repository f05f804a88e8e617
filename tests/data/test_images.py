"""Squares, crops and channels."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.pictures import encode

from resnetctl.data.images import centre_crop, fit, prepare, prepare_array, resized, with_channels
from resnetctl.errors import DataError
from resnetctl.spec import ImageSpec


def test_an_image_of_the_size_comes_back_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert fit(image, resize=8) is image


def test_crop_takes_the_middle_and_squash_everything() -> None:
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 200
    assert (fit(image, resize=10) == 200).all()
    squashed = fit(image, resize=10, fit="squash", interpolation="nearest")[0, :, 0]
    assert squashed.tolist() == [0, 0, 0, 200, 200, 200, 200, 0, 0, 0] or (squashed == 200).sum() in (3, 4)


def test_pad_keeps_everything_on_black() -> None:
    image = np.full((10, 20, 3), 200, np.uint8)
    padded = fit(image, resize=20, fit="pad")
    assert (padded[5:15] == 200).all()
    assert not padded[:5].any()
    assert not padded[15:].any()


def test_a_thin_image_is_padded_to_at_least_a_line() -> None:
    assert fit(np.full((1, 1000, 3), 9, np.uint8), resize=8, fit="pad").max() == 9


def test_shrinking_is_antialiased() -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    small = fit(board.astype(np.uint8)[..., None], resize=8)
    assert np.abs(small.astype(int) - 127).max() <= 3


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 2, 3, 4]),
    kind=st.sampled_from(["crop", "pad", "squash"]),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
)
def test_fit_returns_a_square_within_the_range_of_the_image(
    height: int, width: int, channels: int, kind: str, interpolation: str
) -> None:
    image = np.full((height, width, channels), 100, np.uint8)
    square = fit(image, resize=12, fit=kind, interpolation=interpolation)
    assert square.shape == (12, 12, channels)
    assert square.dtype == np.uint8
    assert set(np.unique(square)) <= {0, 99, 100, 101}
    assert 100 in square


def test_channels_are_resized_alike() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 14, 5), dtype=np.uint8)
    resized = fit(image, resize=6)
    assert (resized[..., :3] == fit(np.ascontiguousarray(image[..., :3]), resize=6)).all()
    assert (resized[..., 4:] == fit(np.ascontiguousarray(image[..., 4:]), resize=6)).all()


def test_centre_crop_is_a_view_of_the_middle() -> None:
    batch = np.arange(2 * 5 * 5).reshape(2, 5, 5, 1).astype(np.uint8)
    cropped = centre_crop(batch, 3)
    assert (cropped == batch[:, 1:4, 1:4]).all()
    assert np.shares_memory(cropped, batch)
    assert centre_crop(batch[0], 5).shape == (5, 5, 1)


def test_grey_repeats_and_colour_becomes_pillows_grey() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    assert (with_channels(image, 1)[..., 0] == np.asarray(Image.fromarray(image).convert("L"))).all()
    assert with_channels(image, 3) is image
    repeated = with_channels(image[..., :1], 3)
    assert (repeated == image[..., :1]).all()
    assert repeated.shape == image.shape
    with pytest.raises(DataError, match="3 channels"):
        with_channels(image, 2)


def test_prepare_reads_fits_and_crops(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    path.write_bytes(encode(Image.fromarray(pixels)))
    spec = ImageSpec(size=24, resize=32, fit="crop", interpolation="bicubic")
    expected = fit(pixels, resize=32, interpolation="bicubic")[4:28, 4:28]
    assert (prepare(path, spec) == expected).all()
    one = ImageSpec(size=24, channels=1, mean=(0.5,), std=(0.5,))
    assert prepare(path, one).shape == (24, 24, 1)
    assert prepare_array(pixels[..., :1], spec).shape == (24, 24, 3)


def test_the_margin_around_the_crop_scales_with_the_size() -> None:
    image = ImageSpec(size=224, resize=256)
    assert (resized(image, 112).size, resized(image, 112).resize) == (112, 128)
    assert resized(image, 0) is image
    assert resized(image, 224) is image
