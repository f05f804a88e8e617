"""Resizing and normalising on the device equal slow references, and leave their input unchanged."""

import numpy as np
import pytest
import torch

from resnetctl.data import preprocess
from resnetctl.data.images import fit
from resnetctl.spec import ImageSpec, Interpolation


def batch(count: int, side: int) -> torch.Tensor:
    """Return random colour images, uint8 `(count, 3, side, side)`."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


@pytest.mark.parametrize("interpolation", preprocess.INTERPOLATIONS)
@pytest.mark.parametrize(("source", "side"), [(16, 5), (16, 9), (16, 32), (32, 24), (64, 96), (256, 224), (224, 288)])
def test_training_resizes_as_pillow_within_the_bounds_of_the_benchmark(
    interpolation: Interpolation, source: int, side: int
) -> None:
    images = batch(6, source)
    pixels = images.permute(0, 2, 3, 1).numpy()
    pillow = np.stack([fit(image, resize=side, interpolation=interpolation) for image in pixels]).astype(int)
    ours = preprocess.resize(images, side, interpolation=interpolation)
    apart = np.abs(ours.permute(0, 2, 3, 1).numpy() - pillow)
    assert apart.max() <= (0 if interpolation == "nearest" else 2)
    assert (apart > 0).mean() < 0.02
    assert ours.dtype == torch.uint8
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_bilinear_on_other_devices_differs_by_at_most_one_level() -> None:
    images = batch(4, 24)
    for side in (8, 24, 50):
        exact = preprocess.resize(images.float(), side, interpolation="bilinear")
        assert (exact.round() - preprocess.resize(images, side, interpolation="bilinear")).abs().max() <= 1


def test_nearest_picks_the_same_pixels_from_floats() -> None:
    images = batch(4, 24)
    picked = preprocess.resize(images, 18, interpolation="nearest")
    assert torch.equal(preprocess.resize(images.float(), 18, interpolation="nearest"), picked.float())


@pytest.mark.parametrize("interpolation", preprocess.INTERPOLATIONS)
def test_resizing_keeps_the_dtype_and_images_of_the_right_side(interpolation: str) -> None:
    images = batch(5, 16)
    whole = preprocess.resize(images, 8, interpolation=interpolation)
    assert (whole.dtype, whole.shape) == (torch.uint8, (5, 3, 8, 8))
    exact = preprocess.resize(images.float(), 8, interpolation=interpolation)
    assert exact.dtype == torch.float32
    assert (exact.clamp(0, 255) - whole).abs().mean() < 0.5
    assert preprocess.resize(images, 16, interpolation=interpolation) is images


@pytest.mark.parametrize("channels", [1, 3])
def test_normalise_is_exact_and_does_not_change_its_input(channels: int) -> None:
    image = ImageSpec(size=16, channels=channels, mean=(0.49, 0.48, 0.45)[:channels], std=(0.2, 0.3, 0.26)[:channels])
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(2, channels, 1, 1)
    before = levels.clone()
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (image.mean, image.std))
    expected = (levels.float() / 255 - mean) / std
    for inputs in (levels, levels.float()):
        out = preprocess.normalise(inputs, image)
        assert out.dtype == torch.float32
        assert torch.equal(out, expected)
        assert out.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(inputs.to(torch.uint8), before)


def test_normalise_accepts_views() -> None:
    wide = torch.randint(0, 256, (2, 12, 12, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    view = wide[:, :, 2:10, 2:10]
    out = preprocess.normalise(view, ImageSpec(size=8, mean=(0.5,) * 3, std=(0.25,) * 3))
    assert torch.equal(out, (view.float() / 255 - 0.5) / 0.25)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_normalise_after_inference_mode_can_be_trained_through() -> None:
    image = ImageSpec(size=4, mean=(0.11, 0.12, 0.13))  # not in the cache yet
    pixels = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    with torch.inference_mode():
        preprocess.normalise(pixels, image)
    scale = torch.ones(1, requires_grad=True)
    (preprocess.normalise(pixels, image) * scale).sum().backward()
    assert scale.grad is not None
