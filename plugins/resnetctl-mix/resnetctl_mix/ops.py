"""The image operations: one call for a batch, one parameter for each image.

Every function takes uint8 images `(N, C, H, W)` with 1 or 3 channels, fastest in channels-last strides, and float32
parameters `(N,)`, and returns new uint8 images of the same shape. On the CPU each equals the function of
`torchvision.transforms.v2.functional` that it names, called for each image with its parameter, in every pixel: the
arithmetic is done in the same order and precision. On other devices a level may differ where a product is rounded.
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
    """`adjust_sharpness`: 0 is smoothed, 1 the image, more sharpens. Outermost pixels keep their values."""
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
    """`solarize`: invert the levels from `threshold` (in 0..255) on."""
    return images ^ (images >= _each(threshold)).to(torch.uint8).mul_(255)


def invert(images: Tensor, _: Tensor) -> Tensor:
    """`invert`: 255 minus the level."""
    return images.bitwise_not()


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """`autocontrast`: stretch each channel to 0..255; a channel of one level stays."""
    count, channels, height, width = images.shape
    lines = _lines(images).float()
    # whole rows first, in float: a CPU has no wide instructions to reduce bytes
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

    `matrix` is float32 `(N, 6)`: two rows that map a place in the output to its source, in pixels from the centre.
    """
    count, channels, height, width = images.shape
    line, column, half, places = _base_grid(height, width, images.device)
    # grid_sample's units; and torchvision's bmm sums in this order, with no fused product, but takes five times as long
    rows = matrix.view(count, 2, 3) / half
    across, down, shift = rows.unsqueeze(3).unbind(2)
    grid = (across * column).add_(down * line).add_(shift)
    # Sampled are places, of which 0 is the black pixel put before each image; then whole pixels move, not channels.
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
    """Tables, uint8 `(P, 256)`, for histograms `(P, 256)`.

    float32 counts whole numbers and floors quotients exactly up to 2^24, and divides four times as fast as int32.
    """
    below = histogram.cumsum(1).sub_(histogram)  # pixels darker than each level
    darker = (below * (histogram > 0)).amax(1, keepdim=True)  # than the brightest level that occurs
    step = darker.div_(255).floor_()
    table = below.add_((step / 2).floor_()).div_(step.clamp(min=1)).floor_().clamp_(max=255)
    return torch.where(step == 0, torch.arange(256.0, device=histogram.device), table).to(torch.uint8)


def _lines(images: Tensor) -> Tensor:
    """All values of each row, `(N, H, W * C)`; broadcasting over channels, an axis of 3, is four times as slow."""
    return images.permute(0, 2, 3, 1).flatten(2)


def _grey(images: Tensor) -> Tensor:
    """Luma `(N, 1, H, W)`, float32 whole numbers, with torchvision's weights."""
    if images.shape[1] == 1:
        return images.float()
    red, green, blue = images.unbind(1)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_().unsqueeze(1)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """`factor * images + (1 - factor) * other`; the second product is fused with the sum, as in `Tensor.add`."""
    return _levels(torch.addcmul(images * _each(factor), other, _each(1 - factor)))


def _levels(values: Tensor) -> Tensor:
    """Float32 to uint8, clipped and cut off. By way of int32, which takes a CPU half the time."""
    return values.clamp_(0, 255).int().to(torch.uint8)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


@cache
def _base_grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of all pixels lines and columns from the centre, `(H * W,)`; half of the sides; places from 1. Made once."""
    with torch.inference_mode(False):
        y, x = (torch.linspace((1 - side) / 2, (side - 1) / 2, side, device=device) for side in (height, width))
        line, column = torch.meshgrid(y, x, indexing="ij")
        half = torch.tensor([[width / 2], [height / 2]], device=device)
        places = torch.arange(1.0, height * width + 1, device=device).view(1, 1, height, width)
        return line.flatten(), column.flatten(), half, places
