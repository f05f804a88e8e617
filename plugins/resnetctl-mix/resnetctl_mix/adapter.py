"""Make a policy of any torchvision v2 transform. It runs image by image, which is slow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from resnetctl.spec import Batch, ImageSpec, Policy

Transform = Callable[[Tensor], Tensor]


def per_image(name: str, transform: Transform, *, mirrors: bool = False, summary: str = "", paper: str = "") -> Policy:
    """Return a policy that calls `transform` on every image of a batch. Its summary says that this is slow.

    Args:
        name: name of the policy, equal to its entry point's.
        transform: maps uint8 `(C, R, R)` at `image.resize` to uint8, or float in 0..255, `(C, S, S)` at `image.size`,
            e.g. `v2.Compose([v2.RandomCrop(32, padding=4), v2.AugMix()])`. It gets a copy and may overwrite it.
        mirrors: whether the transform mirrors images; the policy is then refused if mirroring changes the class.
        summary: text for lists; "" takes the transform's class name.
        paper: source of the policy.

    The policy raises `ValueError` if a result has the wrong shape or type.
    """

    def build(image: ImageSpec, num_classes: int) -> Callable[[Batch], Batch]:
        shape = (image.channels, image.size, image.size)

        def one_by_one(batch: Batch) -> Batch:
            results = [transform(each) for each in batch.images.clone()]
            wrong = [each for each in results if each.shape != shape or not _has_levels(each)]
            if wrong:
                raise ValueError(
                    f"policy '{name}': the transform gave {wrong[0].dtype} {tuple(wrong[0].shape)}, not uint8 or float "
                    f"{shape}; end it with a crop or a resize to {image.size} pixels, and leave out normalisation"
                )
            images = torch.stack(results).contiguous(memory_format=torch.channels_last)
            return replace(batch, images=images if images.dtype == torch.uint8 else images.float())

        return one_by_one

    text = summary or f"torchvision's {type(transform).__name__}"
    return Policy(
        name=name,
        build=build,
        summary=f"{text} (slow: image by image)",
        paper=paper,
        mirrors=mirrors,
        moves=("vectors",),
    )


def _has_levels(image: Tensor) -> bool:
    return image.dtype == torch.uint8 or image.is_floating_point()
