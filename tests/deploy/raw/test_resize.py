"""The resize in ONNX gives Pillow's pixels, bit for bit."""

import io
import itertools
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.raw_files import preprocess

from resnetctl.data.images import prepare, prepare_array
from resnetctl.deploy.raw.gate import as_image
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


@pytest.mark.parametrize("interpolation", SUPPORT)
@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_a_flat_picture_keeps_its_value_to_the_bit(interpolation: str, value: int) -> None:
    image = spec(interpolation=interpolation)
    run = preprocess(image)
    for size in ((1, 1), (24, 30), (211, 95)):
        assert (run(np.full((1, *size, 3), value, np.uint8)) == np.float32(value) / np.float32(255)).all()


@pytest.mark.parametrize("interpolation", ["bicubic", "lanczos"])
def test_filters_that_overshoot_are_clipped_as_pillow_clips(interpolation: str) -> None:
    image = spec(interpolation=interpolation)
    edges = np.zeros((1, 60, 60, 3), np.uint8)
    edges[:, ::7], edges[:, :, 30:] = 255, 255
    result = preprocess(image)(edges)
    assert np.array_equal(result, expected(edges, image))
    assert (result.min(), result.max()) == (0, 1)


@pytest.mark.parametrize("shape", [(1, 0, 5, 3), (1, 5, 0, 3)])
def test_a_picture_without_pixels_is_refused_by_a_telling_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(Exception, match="image_needs_pixels"):  # onnxruntime's exceptions share no base
        preprocess(spec())(np.zeros(shape, np.uint8))


def test_a_batch_without_pictures_gives_none() -> None:
    assert preprocess(spec())(np.zeros((0, 40, 50, 3), np.uint8)).shape == (0, 3, 24, 24)


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from(FITS),
    st.sampled_from([*SUPPORT]),
    st.sampled_from([1, 3, 4]),
)
@settings(max_examples=40, deadline=None)
def test_small_pictures_of_every_kind_give_the_pixels_of_pillow(
    height: int, width: int, fit: str, interpolation: str, depth: int
) -> None:
    image = spec(size=9, resize=11, fit=fit, interpolation=interpolation)
    picture = noise(height, width, depth)
    wanted = np.stack([prepare(as_image(picture[0]), image)]).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    assert np.array_equal(preprocess(image)(picture), wanted)
