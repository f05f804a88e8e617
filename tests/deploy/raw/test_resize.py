"""The resize in ONNX gives Pillow's pixels, bit for bit."""

import io
import itertools
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.raw_files import preprocess

from resnetctl.data.images import prepare, prepare_array
from resnetctl.deploy.raw.resize import SUPPORT
from resnetctl.spec import ImageSpec

FITS = ("crop", "pad", "squash")
SIZES = [(1, 1), (1, 90), (90, 1), (24, 24), (13, 7), (200, 31), (31, 200), (77, 101), (150, 149), (500, 375)]


def spec(channels: int = 3, **values: object) -> ImageSpec:
    sides = {"size": 24, "resize": 30, "mean": (0.5,) * channels, "std": (0.5,) * channels}
    return ImageSpec(channels=channels, **(sides | values))


def noise(height: int, width: int, channels: int = 3, *, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (batch, height, width, channels), dtype=np.uint8)


def expected(pictures: np.ndarray, image: ImageSpec) -> np.ndarray:
    prepared = np.stack([prepare_array(picture, image) for picture in pictures])
    return prepared.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)


@pytest.mark.parametrize(("fit", "interpolation"), [*itertools.product(FITS, SUPPORT)])
def test_every_size_gives_the_pixels_of_pillow(fit: str, interpolation: str) -> None:
    image = spec(fit=fit, interpolation=interpolation)
    run = preprocess(image)
    for size in SIZES:
        assert np.array_equal(run(noise(*size)), expected(noise(*size), image)), size


def test_random_sizes_give_the_pixels_of_pillow() -> None:
    image = spec(interpolation="bicubic")
    run = preprocess(image)
    generator = np.random.default_rng(7)
    for height, width in generator.integers(1, 400, (60, 2)).tolist():
        assert np.array_equal(run(noise(height, width)), expected(noise(height, width), image)), (height, width)


def test_both_orders_of_the_passes_occur() -> None:
    """Pillow 13 takes the rows first where the height shrinks by more than twice as many pixels as the width."""
    image = spec(fit="squash", interpolation="bicubic")
    tall = noise(400, 60)[0]
    resample = Image.Resampling.BICUBIC
    across = Image.fromarray(tall).resize((30, 400), resample).resize((30, 30), resample)
    down = Image.fromarray(tall).resize((60, 30), resample).resize((30, 30), resample)
    ours = np.asarray(Image.fromarray(tall).resize((30, 30), resample))
    assert np.array_equal(ours, np.asarray(down))
    assert not np.array_equal(ours, np.asarray(across))
    assert np.array_equal(preprocess(image)(tall[None]), expected(tall[None], image))


def test_batches_and_threads_change_no_bit() -> None:
    image = spec()
    pictures = noise(97, 203, batch=7)
    assert np.array_equal(preprocess(image, threads=2)(pictures), expected(pictures, image))


@pytest.mark.parametrize("size", [1, 7, 16, 17, 33])
def test_sides_that_are_no_multiple_of_a_block(size: int) -> None:
    image = spec(size=size, resize=size)
    assert np.array_equal(preprocess(image)(noise(50, 41)), expected(noise(50, 41), image))


def test_real_photos_give_the_pixels_of_pillow(shared_data: Path) -> None:
    image = spec(size=224, resize=256)
    run = preprocess(image)
    with tarfile.open(shared_data / "bccd.tar.xz") as archive:
        files = (item for item in archive if item.name.endswith(".jpg"))
        photos = [archive.extractfile(item).read() for item in itertools.islice(files, 6)]
    for photo in photos:
        picture = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))
        wanted = prepare(photo, image).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        assert np.array_equal(run(picture[None])[0], wanted)
