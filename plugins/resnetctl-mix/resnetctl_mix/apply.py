"""Apply a different operation to each image of a batch, without a Python loop over images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from resnetctl_mix import ops

PARAMETERS: Final = 6  # numbers of each operation, enough for an affine matrix; other kernels read only the first
Kernel = Callable[[Tensor, Tensor], Tensor]


def _same(images: Tensor, _: Tensor) -> Tensor:
    return images


KERNELS: Final[dict[str, Kernel]] = {
    "identity": _same,  # must be first: operation 0 does not change an image
    "affine": ops.affine,
    "brightness": ops.brightness,
    "saturation": ops.saturation,
    "contrast": ops.contrast,
    "sharpness": ops.sharpness,
    "posterize": ops.posterize,
    "solarize": ops.solarize,
    "autocontrast": ops.autocontrast,
    "equalize": ops.equalize,
    "invert": ops.invert,
}


def apply(images: Tensor, kinds: Tensor, values: Tensor) -> Tensor:
    """Apply to each image its own operation.

    Args:
        images: uint8 `(N, C, H, W)`, fastest in channels-last strides; not changed.
        kinds: int64 `(N,)`, positions in `KERNELS`.
        values: float32 `(N, PARAMETERS)`.

    Returns:
        uint8 `(N, C, H, W)`, channels-last.
    """
    on_cpu = images.device.type == "cpu"
    return by_groups(images, kinds, values) if on_cpu else by_masks(images, kinds, values)


def by_groups(images: Tensor, kinds: Tensor, values: Tensor) -> Tensor:
    """Sort the batch by operation, run each on its part, and sort back.

    No work is wasted, but the CPU must read the counts, so an accelerator would wait.
    """
    order = kinds.argsort()
    counts = kinds.bincount(minlength=len(KERNELS)).tolist()
    pixels = images.permute(0, 2, 3, 1).index_select(0, order).permute(0, 3, 1, 2)
    split = torch.split(pixels, counts), torch.split(values.index_select(0, order), counts)
    parts = zip(KERNELS.items(), *split, strict=True)
    done = [_run(name, kernel, part, numbers) for (name, kernel), part, numbers in parts if len(part)]
    return torch.cat(done).index_select(0, order.argsort()).permute(0, 3, 1, 2)


def by_masks(images: Tensor, kinds: Tensor, values: Tensor) -> Tensor:
    """Run every operation on the whole batch and select: it wastes work, but an accelerator never waits for the CPU."""
    for place, (name, kernel) in enumerate(KERNELS.items()):
        if place:
            done = _run(name, kernel, images, values).permute(0, 3, 1, 2)
            images = torch.where((kinds == place)[:, None, None, None], done, images)
    return images


def _run(name: str, kernel: Kernel, images: Tensor, values: Tensor) -> Tensor:
    """Run a kernel and return `(N, H, W, C)` pixels."""
    return kernel(images, values if name == "affine" else values[:, 0]).permute(0, 2, 3, 1).contiguous()
