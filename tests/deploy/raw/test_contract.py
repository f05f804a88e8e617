"""`raw/1`: grey, RGB and RGBA pictures of any size go in; an operator with a telling name refuses other shapes."""

import numpy as np
import pytest
from PIL import Image
from support.raw_files import preprocess

from resnetctl.data.images import prepare
from resnetctl.deploy.raw.contract import is_raw, preprocessing, require_raw
from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.spec import ImageSpec

COLOUR = ImageSpec(size=12, resize=16)
GREY = ImageSpec(size=12, resize=16, channels=1, mean=(0.5,), std=(0.5,))
MODES = {"L": 1, "RGB": 3, "RGBA": 4}


@pytest.mark.parametrize("image", [COLOUR, GREY], ids=["to colour", "to grey"])
@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_picture_is_prepared_as_predict_does(image: ImageSpec, mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 23, MODES[mode]), dtype=np.uint8)
    wanted = prepare(Image.fromarray(pixels.squeeze()), image).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    assert np.array_equal(preprocess(image)(pixels[None])[0], wanted)


def test_every_pair_of_colour_and_transparency_is_pillows() -> None:
    levels = np.arange(256, dtype=np.uint8)
    pixels = np.empty((256, 256, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = levels[:, None, None], levels
    image = ImageSpec(size=256)
    wanted = prepare(Image.fromarray(pixels), image).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    assert np.array_equal(preprocess(image)(pixels[None])[0], wanted)


@pytest.mark.parametrize("shape", [(1, 9, 9, 2), (1, 9, 9, 5), (1, 3, 50, 60)])
def test_other_channels_are_refused_by_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(Exception, match="image_needs_1_3_or_4_channels"):
        preprocess(COLOUR)(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(1, 0, 9, 3), (1, 9, 0, 3)])
def test_a_picture_without_pixels_is_refused_by_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(Exception, match="image_needs_pixels"):
        preprocess(COLOUR)(np.zeros(shape, np.uint8))


def test_an_empty_batch_gives_no_result() -> None:
    assert preprocess(COLOUR)(np.zeros((0, 9, 9, 3), np.uint8)).shape == (0, 3, 12, 12)


@pytest.mark.parametrize(
    "image",
    [ImageSpec(size=8, interpolation="nearest"), ImageSpec(size=8, channels=4, mean=(0.5,) * 4, std=(0.5,) * 4)],
    ids=["nearest", "four channels"],
)
def test_what_is_not_proved_is_refused_before_the_work(image: ImageSpec) -> None:
    assert not is_raw(image)
    with pytest.raises(UsageError) as caught:
        require_raw(image)
    assert caught.value.hint == (Setting("input", "float"),)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_the_graph_stays_small(fit: str, interpolation: str) -> None:
    graph = preprocessing(ImageSpec(size=224, resize=256, fit=fit, interpolation=interpolation))
    assert len(graph.steps) <= 400
    assert len({step.name for step in graph.steps}) == len(graph.steps)
    assert sum(array.nbytes for array in graph.constants.values()) < 5000
