"""From stored pixels to the model's input, on the device: resize, convert channels, normalise.

Shapes: B images per batch, C channels, S = `spec.size` pixels per side for the model.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from resnetctl.data.images import LUMA, nearest_places
from resnetctl.spec import ImageSpec, Interpolation, VectorSpec

INTERPOLATIONS: tuple[Interpolation, ...] = ("nearest", "bilinear", "bicubic", "lanczos")


def resize(images: Tensor, side: int, *, interpolation: Interpolation) -> Tensor:
    """Resize square images `(B, C, H, H)`, uint8 or float in 0..255, to `(B, C, side, side)`, antialiased.

    Images of that side are returned unchanged. Evaluation and prediction use Pillow (`data.images.fit`), which takes
    several times as long (`benchmarks/resize.md`). "nearest" picks the same pixels as Pillow. With the other filters
    the integer kernel on a CPU differs from Pillow by at most 2 levels, in under 2 % of the values. Other devices
    compute in float32: a quarter of the values differ by one level. More differ only around overshoots of "bicubic" and
    "lanczos", which Pillow and the integer kernel clip between their two passes.
    """
    if images.shape[2:] == (side, side):
        return images
    if interpolation == "nearest":
        places = _nearest(images.shape[2], side, device=images.device)
        picked = images.permute(0, 2, 3, 1).index_select(1, places).index_select(2, places)
        return picked.permute(0, 3, 1, 2)
    if images.is_floating_point() or images.device.type == "cpu":
        return functional.interpolate(images, size=(side, side), mode=interpolation, antialias=True)
    exact = functional.interpolate(images.float(), size=(side, side), mode=interpolation, antialias=True)
    return exact.round_().clamp_(0, 255).to(torch.uint8)


@cache
def _nearest(source: int, side: int, *, device: torch.device) -> Tensor:
    """Return the indices in a line of `source` pixels that "nearest" picks, int64 `(side,)`. Cached, as `_lines`."""
    with torch.inference_mode(False):
        return torch.tensor(nearest_places(source, side), device=device)


def to_grey(images: Tensor) -> Tensor:
    """Convert uint8 `(B, 3, H, W)` to `(B, 1, H, W)`, bit-identical to Pillow's `convert("L")`."""
    red, green, blue = images.int().unbind(1)
    luma = (red * LUMA[0] + green * LUMA[1] + blue * LUMA[2] + 0x8000) >> 16
    return luma.to(torch.uint8).unsqueeze(3).permute(0, 3, 1, 2)


def repeat(images: Tensor, channels: int) -> Tensor:
    """Convert grey uint8 `(B, 1, H, W)` to `(B, channels, H, W)` with equal channels."""
    return images.repeat(1, channels, 1, 1).contiguous(memory_format=torch.channels_last)


def normalise(images: Tensor, spec: ImageSpec) -> Tensor:
    """Return `(images / 255 - mean) / std`, computed in this order, as in the exported graph.

    Args:
        images: `(B, C, S, S)` uint8, or float in 0..255; not modified.

    Returns:
        float32 `(B, C, S, S)`, channels-last.
    """
    count, channels, height, width = images.shape
    mean, std = _lines(spec.mean, spec.std, width=width, device=images.device)
    lines = images.permute(0, 2, 3, 1).reshape(count, height, width * channels)
    scaled = lines.to(torch.float32, copy=True).div_(255.0).sub_(mean).div_(std)
    return scaled.view(count, height, width, channels).permute(0, 3, 1, 2)


def standardise(numbers: Tensor, spec: VectorSpec) -> Tensor:
    """Return `(numbers - mean) / std`, float32 `(B, D)`, as in the exported graph; 0 in a column without spread."""
    mean, scale = _columns(spec, device=numbers.device)
    return (numbers - mean) * scale


@cache
def _columns(spec: VectorSpec, *, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return mean and `1 / std` of each column, `(D,)`. Cached, as `_lines`."""
    with torch.inference_mode(False):
        return torch.tensor(spec.mean, device=device), torch.tensor(spec.scale, device=device)


@cache
def _lines(
    mean: tuple[float, ...], std: tuple[float, ...], *, width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return mean and std for each value in a line of pixels, `(width * C,)`. Cached.

    Creating them in every step would stall the queue of the device for a copy. Broadcasting only C values would take a
    CPU four times as long.
    """
    with torch.inference_mode(False):
        first, second = (torch.tensor(values, device=device).repeat(width) for values in (mean, std))
    return first, second


def resample(images: Tensor, boxes: Tensor, *, size: int) -> Tensor:
    """Scale a box of each image to `size` x `size`, bilinear and antialiased, as torchvision resizes a crop.

    Each box needs its own interpolation weights. So each image is multiplied by two matrices of its own, one for the
    rows and one for the columns. Unlike `grid_sample`, this is antialiased when a box shrinks.

    Args:
        images: uint8 `(N, C, R, R)`.
        boxes: int64 `(4, N)`: top, left, height, width.

    Returns:
        A new uint8 tensor `(N, C, size, size)`, channels-last.
    """
    count, channels, side, _ = images.shape
    top, left, height, width = boxes
    pixels = images.permute(0, 2, 3, 1).float().reshape(count, side, side * channels)
    rows = torch.bmm(_weights(top, height, side=side, size=size), pixels).view(count, size, side, channels)
    turned = rows.transpose(1, 2).reshape(count, side, size * channels)
    columns = torch.bmm(_weights(left, width, side=side, size=size), turned).view(count, size, size, channels)
    levels = columns.round_().clamp_(0, 255).int().to(torch.uint8)  # through int32, which halves the time on a CPU
    return levels.transpose(1, 2).contiguous().permute(0, 3, 1, 2)


def _weights(start: Tensor, length: Tensor, *, side: int, size: int) -> Tensor:
    """Return float32 `(N, size, side)`: the share of each source pixel of `[start, start + length)` in a new pixel."""
    line = torch.arange(side, device=start.device)
    scale = (length.float() / size)[:, None, None]
    centre = (torch.arange(size, device=start.device) + 0.5)[None, :, None] * scale + start[:, None, None]
    weights = (1 - (line + 0.5 - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    inside = (line >= start[:, None]) & (line < (start + length)[:, None])
    weights = weights * inside[:, None, :]
    return weights / weights.sum(dim=2, keepdim=True)


def crop(images: Tensor, corners: Tensor, *, size: int, pad: int = 0) -> Tensor:
    """Cut a square of `size` pixels out of every image, each at its own corner.

    Args:
        images: uint8 `(N, C, H, W)`, fastest in channels-last strides.
        corners: int64 `(2, N)`, top and left in the image after padding with `pad` black pixels on all sides.

    Returns:
        A new tensor `(N, C, size, size)`, channels-last.
    """
    count, channels, height, width = images.shape
    tall, wide = height + 2 * pad, width + 2 * pad
    canvas = images.new_zeros(count, tall, wide, channels)
    canvas[:, pad : pad + height, pad : pad + width] = images.permute(0, 2, 3, 1)
    # View every run of `size` pixels in a line of the canvas as one row; the rows overlap. Then size * N of these rows
    # are picked in one gather, which is three times as fast as picking N windows by three indices.
    runs = canvas.as_strided((count * tall * wide - size + 1, size * channels), (channels, 1))
    top, left = corners
    first = (torch.arange(count, device=images.device) * tall + top) * wide + left
    starts = first[:, None] + torch.arange(size, device=images.device) * wide
    return runs.index_select(0, starts.flatten()).view(count, size, size, channels).permute(0, 3, 1, 2)


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Return the images with the `chosen` ones, bool `(N,)`, mirrored left to right: a new tensor, channels-last."""
    if images.device.type != "cpu":  # `nonzero` would make an accelerator wait for the number of chosen images
        return flip_all(images, chosen)
    pixels, count = images.permute(0, 2, 3, 1), len(images)
    some = chosen.nonzero().squeeze(1)
    mirrored = pixels.index_select(0, some).flip(2)
    # Copying mirrored images into place copies single bytes; picking whole images from both is four times as fast.
    places = torch.arange(count).index_copy_(0, some, torch.arange(count, count + len(some)))
    return torch.cat([pixels, mirrored]).index_select(0, places).permute(0, 3, 1, 2)


def flip_all(images: Tensor, chosen: Tensor) -> Tensor:
    """Return what `flip` does, from a mirrored copy of every image: more work, but with static shapes."""
    pixels = images.permute(0, 2, 3, 1)
    return torch.where(chosen[:, None, None, None], pixels.flip(2), pixels).permute(0, 3, 1, 2)


def hide(images: Tensor, corners: Tensor, *, side: int, fill: Tensor) -> Tensor:
    """Return the images with a square of `side` pixels painted over each, clipped at the borders.

    Args:
        corners: int64 `(2, N)`, top and left of each square.
        fill: uint8 `(C,)`, its colour.

    Returns:
        A new tensor `(N, C, H, W)`.
    """
    line = torch.arange(images.shape[2], device=images.device)
    rows, columns = ((line >= first[:, None]) & (line < first[:, None] + side) for first in corners)
    hidden = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(hidden, fill[None, :, None, None], images)
