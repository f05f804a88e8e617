"""Batches of stored images: gather, resize and normalise them on the device, without a Python loop over images.

Images are decoded once, when the store is built. A training step only gathers uint8 rows. Shapes: B images per batch,
C channels, R = `spec.resize` pixels per side for policies, S = `spec.size` for the model.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from resnetctl import rng
from resnetctl.data.images import LUMA, nearest_places
from resnetctl.errors import DataError
from resnetctl.hints import Setting
from resnetctl.spec import Batch, ImageSpec, Interpolation

if TYPE_CHECKING:
    from resnetctl.data.splits import ImageSet

RESIDENT_BYTES = 2 * 2**30  # up to this size a split is copied to the accelerator; a larger one batch by batch
INTERPOLATIONS: tuple[Interpolation, ...] = ("nearest", "bilinear", "bicubic", "lanczos")


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return the number of steps in an epoch of `count` images, by the tail rule of `batch_rows`.

    Raises `DataError` for fewer than two images, because batch normalisation needs two.
    """
    if count < 2:
        raise DataError(
            f"training needs at least 2 images, not {count}",
            hint=Setting("val_fraction", note="a smaller value leaves more images to train on"),
        )
    whole, rest = divmod(count, batch_size)
    return whole + (rest > 1)


def epoch_order(count: int, seed: int, *, epoch: int) -> Tensor:
    """Return a permutation of 0..count-1, int64 on the CPU. It depends on (seed, epoch) only."""
    generator = torch.Generator().manual_seed(rng.derive(seed, "order", epoch))
    return torch.randperm(count, generator=generator)


def batch_rows(order: Tensor, step: int, *, batch_size: int) -> Tensor:
    """Return the rows of `order` for `step` (from 0 within the epoch), at most `batch_size` of them.

    Tail rule: a smaller last batch is used, unless it has a single image, because batch normalisation needs two. This
    epoch leaves that image out; the next epoch, in another order, leaves out another one.
    """
    assert 0 <= step < steps_per_epoch(len(order), batch_size), f"step {step} is not in an epoch of {len(order)} images"
    return order[step * batch_size : (step + 1) * batch_size]


class Feed:
    """Gathers batches of one image set on one device, as input of a policy.

    Up to `RESIDENT_BYTES` of pixels are copied to an accelerator once. Larger sets, and all sets on the CPU, are
    gathered batch by batch from the memory map. A batch is resized when the stored side is not `spec.resize`. Channels
    are converted as in Pillow: colour to grey by luma, grey to colour by repeating.
    """

    def __init__(self, images: ImageSet, spec: ImageSpec, device: torch.device) -> None:
        """Raise `DataError` when the channels cannot be converted, or images copied to the device are damaged."""
        pixels = torch.from_numpy(images.images)
        if pixels.shape[3] not in (1, spec.channels) and (pixels.shape[3], spec.channels) != (3, 1):
            raise DataError(
                f"images with {pixels.shape[3]} channels cannot be used by a model for {spec.channels}",
                hint="1 channel (grey) can be repeated, 3 channels (colour) can become grey; other numbers must match",
            )
        resident = device.type != "cpu" and pixels.nbytes <= RESIDENT_BYTES
        home = device if resident else torch.device("cpu")
        self._check = images.check
        if resident:
            images.check(images.index)
        self.spec = spec
        self.device = device
        self._pixels = pixels.to(home)
        self._labels = torch.from_numpy(images.labels).to(home)
        self._index = torch.from_numpy(images.index).to(home)

    def __len__(self) -> int:
        return len(self._index)

    def batch(self, rows: Tensor, *, epoch: int, step: int) -> Batch:
        """Return the batch of `rows`, int64 `(B,)` places in the image set.

        Returns:
            uint8 images `(B, C, R, R)` in channels-last strides, targets `(B,)`, and `index` `(B,)`: the rows in the
            stored split, which do not depend on `val_fraction`.

        Raises:
            DataError: an image changed since it was stored. Each segment is verified once.
        """
        index = self._index.index_select(0, rows.to(self._index.device))
        if index.device.type == "cpu":
            self._check(index.numpy())
        # index_select copies whole images; pixels[index] copies single bytes and takes 16 times as long on a CPU
        gathered = self._pixels.index_select(0, index).to(self.device, non_blocking=True)
        images = gathered.permute(0, 3, 1, 2)
        images = resize(images, self.spec.resize, interpolation=self.spec.interpolation)
        if images.shape[1] != self.spec.channels:
            images = to_grey(images) if self.spec.channels == 1 else repeat(images, self.spec.channels)
        targets = self._labels.index_select(0, index)
        return Batch(
            images=images, targets=targets.to(self.device), index=index.to(self.device), epoch=epoch, step=step
        )


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
