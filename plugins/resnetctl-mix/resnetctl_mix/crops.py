"""Pad, crop at random and mirror, as the papers do before their own augmentation, and as the core's `standard`."""

from __future__ import annotations

import torch
from torch import Tensor

from resnetctl.spec import Batch


def crop_and_mirror(batch: Batch, *, size: int, mirror: bool) -> Tensor:
    """Pad with `size // 8` black pixels, crop `size` x `size` at random, and mirror every image in every other epoch.

    Args:
        batch: images uint8 `(N, C, R, R)`, fastest in channels-last strides.
        size: side of the crops in pixels.
        mirror: False if mirroring changes the class.

    Returns:
        A new uint8 tensor `(N, C, size, size)`, channels-last.
    """
    images, pad = batch.images, size // 8
    corners = torch.randint(images.shape[2] + 2 * pad - size + 1, (2, len(images)), device=images.device)
    pixels = cut(images.permute(0, 2, 3, 1), corners, size=size, pad=pad)
    if mirror:
        pixels = turn(pixels, (batch.index + batch.epoch) % 2 == 0)
    return pixels.permute(0, 3, 1, 2)


def cut(pixels: Tensor, corners: Tensor, *, size: int, pad: int) -> Tensor:
    """Return windows `(N, size, size, C)` of `(N, R, R, C)` pixels, from `corners` `(2, N)` of the padded images."""
    count, side, _, channels = pixels.shape
    wide = side + 2 * pad
    canvas = pixels.new_zeros(count, wide, wide, channels)
    canvas[:, pad : pad + side, pad : pad + side] = pixels
    # the rows of this view are all (overlapping) runs of `size` pixels; a window consists of `size` whole runs
    runs = canvas.as_strided((count * wide * wide - size + 1, size * channels), (channels, 1))
    image, line = (torch.arange(number, device=pixels.device) for number in (count, size))
    starts = ((image * wide + corners[0]) * wide + corners[1])[:, None] + line * wide
    return runs.index_select(0, starts.flatten()).view(count, size, size, channels)


def turn(pixels: Tensor, chosen: Tensor) -> Tensor:
    """Return `(N, H, W, C)` pixels with the `chosen` images, bool `(N,)`, mirrored."""
    if pixels.device.type != "cpu":  # counting the chosen images would stall an accelerator
        return torch.where(chosen[:, None, None, None], pixels.flip(2), pixels)
    count = len(pixels)
    turned = pixels.index_select(0, chosen.nonzero().squeeze(1)).flip(2)
    # index_select copies whole images; index_copy_ copies single bytes, ten times slower
    source = torch.where(chosen, chosen.cumsum(0) + (count - 1), torch.arange(count))
    return torch.cat([pixels, turned]).index_select(0, source)
