"""The image operations: one call for a batch, one parameter for each image.

Every function takes uint8 images `(N, C, H, W)` with 1 or 3 channels, fastest in channels-last strides, and float32
parameters `(N,)`. It returns new uint8 images of the same shape. Its docstring names a function of
`torchvision.transforms.v2.functional`. On the CPU all pixels equal those of that function, called for each image with
its parameter, because the arithmetic has the same order and precision. Two exceptions differ by one level in rare
pixels: `contrast` where an image does not fill torch's vector registers, and every rounded product on other devices.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """`adjust_brightness`: 0 is black, 1 the image."""
    return _levels(images * _each(factor))


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """`adjust_saturation`: 0 is grey, 1 the image. Images with one channel stay as they are."""
    if images.shape[1] == 1:
        return images.clone()
    return _blend(images, _grey(images), factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """`adjust_contrast`: 0 is the image's mean grey everywhere, 1 the image."""
    return _blend(images, _grey(images).mean(dim=(1, 2, 3), keepdim=True), factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """`adjust_sharpness`: 0 smooths, 1 is the image, more sharpens. Outermost pixels keep their values."""
    if min(images.shape[2:]) <= 2:
        return images.clone()
    pixels = images.permute(0, 2, 3, 1).float()
    inner = pixels[:, 1:-1, 1:-1]
    lines = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    box = (lines[:, :, :-2] + lines[:, :, 1:-1]).add_(lines[:, :, 2:])
    # the filter weighs the centre with 5/13, the others with 1/13; sums are integers, and k/13 is never a tie
    smooth = box.add_(inner, alpha=4).mul_(1 / 13).round_()
    pixels[:, 1:-1, 1:-1] = torch.addcmul(inner, smooth.sub_(inner), _each(1 - factor))
    return _levels(pixels).permute(0, 3, 1, 2)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """`posterize`: keep the upper `bits` (whole numbers, 0 to 8) of every level."""
    return images & _each(((0xFF00 >> bits.int()) & 0xFF).to(torch.uint8))


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """`solarize`: invert the levels at and above `threshold` (in 0..255)."""
    return images ^ (images >= _each(threshold)).to(torch.uint8).mul_(255)


def invert(images: Tensor, _: Tensor) -> Tensor:
    """`invert`: 255 minus the level."""
    return images.bitwise_not()


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """`autocontrast`: stretch each channel to 0..255; a channel of one level stays."""
    count, channels, height, width = images.shape
    lines = _lines(images).float()
    # reduce whole rows first, in float: CPUs have no fast instructions for the minimum of bytes
    low, high = lines.amin(1).view(count, width, channels), lines.amax(1).view(count, width, channels)
    low, high = low.amin(1, keepdim=True), high.amax(1, keepdim=True)
    flat = low == high
    scale = ((high - low) * (1 / 255)).masked_fill_(flat, 1)
    stretched = lines.sub_(low.masked_fill(flat, 0).repeat(1, 1, width)).div_(scale.repeat(1, 1, width))
    return _levels(stretched).view(count, height, width, channels).permute(0, 3, 1, 2)


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """`equalize`: map each channel's levels so that they are equally frequent, by Pillow's integer rule."""
    count, channels, height, width = images.shape
    planes = count * channels
    lines = _lines(images)
    offset = 256 * torch.arange(planes, device=images.device, dtype=torch.int32).view(count, 1, channels)
    places = (lines + offset.repeat(1, 1, width)).flatten()
    histogram = torch.zeros(planes * 256, device=images.device)
    histogram.scatter_add_(0, places.long(), histogram.new_ones(1).expand_as(places))
    table = _equal_levels(histogram.view(planes, 256)).flatten()
    return table.index_select(0, places).view(count, height, width, channels).permute(0, 3, 1, 2)


def affine(images: Tensor, matrix: Tensor) -> Tensor:
    """`affine` and `rotate` with nearest neighbours and black outside.

    `matrix` is float32 `(N, 6)`: two rows that map an output position to its source, in pixels from the centre.
    """
    count, channels, height, width = images.shape
    line, column, half, places = _base_grid(height, width, images.device)
    # units of grid_sample; torchvision's bmm sums in the same order, also without fused products, but five times slower
    rows = matrix.view(count, 2, 3) / half
    across, down, shift = rows.unsqueeze(3).unbind(2)
    grid = (across * column).add_(down * line).add_(shift)
    # sample the pixels' numbers, where 0 is a black pixel put before each image; then move pixels with all channels
    source = functional.grid_sample(
        places.expand(count, 1, height, width),
        grid.view(count, 2, height, width).permute(0, 2, 3, 1),
        mode="nearest",
        padding_mode="zeros",
        align_corners=False,
    )
    pixels = functional.pad(images.permute(0, 2, 3, 1).reshape(count, -1, channels), (0, 0, 1, 0))
    first = (height * width + 1) * torch.arange(count, device=images.device, dtype=torch.int32)
    rows = source.flatten(1).int().add_(first[:, None]).flatten()
    moved = pixels.view(-1, channels).index_select(0, rows)
    return moved.view(count, height, width, channels).permute(0, 3, 1, 2)


def _equal_levels(histogram: Tensor) -> Tensor:
    """Return tables of new levels, uint8 `(P, 256)`, for histograms `(P, 256)`.

    float32 is exact for whole numbers and floors of quotients up to 2^24, and divides four times as fast as int32.
    """
    below = histogram.cumsum(1).sub_(histogram)  # pixels darker than each level
    darker = (below * (histogram > 0)).amax(1, keepdim=True)  # than the brightest level that occurs
    step = darker.div_(255).floor_()
    table = below.add_((step / 2).floor_()).div_(step.clamp(min=1)).floor_().clamp_(max=255)
    return torch.where(step == 0, torch.arange(256.0, device=histogram.device), table).to(torch.uint8)


def _lines(images: Tensor) -> Tensor:
    """Return all values of each row, `(N, H, W * C)`: broadcasting over an axis of 3 channels is four times slower."""
    return images.permute(0, 2, 3, 1).flatten(2)


def _grey(images: Tensor) -> Tensor:
    """Return the grey levels `(N, 1, H, W)`, float32 whole numbers, with torchvision's weights."""
    if images.shape[1] == 1:
        return images.float()
    red, green, blue = images.unbind(1)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_().unsqueeze(1)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """Return `factor * images + (1 - factor) * other`; the second product is fused with the sum, as in `Tensor.add`."""
    return _levels(torch.addcmul(images * _each(factor), other, _each(1 - factor)))


def _levels(values: Tensor) -> Tensor:
    """Return float32 values as uint8, clipped and truncated. Through int32 it takes a CPU half the time."""
    return values.clamp_(0, 255).int().to(torch.uint8)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


@cache
def _base_grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the pixels' rows and columns from the centre, each `(H * W,)`; half of the sides; numbers from 1."""
    with torch.inference_mode(False):
        y, x = (torch.linspace((1 - side) / 2, (side - 1) / 2, side, device=device) for side in (height, width))
        line, column = torch.meshgrid(y, x, indexing="ij")
        half = torch.tensor([[width / 2], [height / 2]], device=device)
        places = torch.arange(1.0, height * width + 1, device=device).view(1, 1, height, width)
        return line.flatten(), column.flatten(), half, places
