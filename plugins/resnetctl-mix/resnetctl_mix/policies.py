"""The registered policies. Each first pads, crops and mirrors as `standard` does, like its paper on CIFAR."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor

from resnetctl.spec import Batch, ImageSpec, Policy
from resnetctl_mix import mixing, spaces
from resnetctl_mix.apply import apply
from resnetctl_mix.crops import crop_and_mirror

Transform = Callable[[Batch], Batch]
Plans = Callable[[int], tuple[spaces.Plan, ...]]
Mixing = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def _augment(image: ImageSpec, num_classes: int, *, plans: Plans, mirror: bool) -> Transform:
    if image.channels not in (1, 3):
        raise ValueError(f"colour operations are for 1 or 3 channels, not {image.channels}")
    table = cache(partial(_table, plans, image.size))  # one for each device, created in the first step

    def augment(batch: Batch) -> Batch:
        images = crop_and_mirror(batch, size=image.size, mirror=mirror)
        for kinds, values in table(images.device).draw(len(images)):
            images = apply(images, kinds, values)
        return replace(batch, images=images)

    return augment


def _randaugment(image: ImageSpec, num_classes: int, *, mirror: bool, magnitude: int = spaces.RAND_BIN) -> Transform:
    plans = partial(spaces.randaugment_plans, strength=magnitude)
    plans(image.size)  # refuses a wrong magnitude before the first step
    return _augment(image, num_classes, plans=plans, mirror=mirror)


def _table(plans: Plans, size: int, device: torch.device) -> spaces.Space:
    return spaces.tabulate(plans(size), size, device=device)


def _mix(image: ImageSpec, num_classes: int, *, how: Mixing, mirror: bool) -> Transform:
    def mix(batch: Batch) -> Batch:
        cropped = crop_and_mirror(batch, size=image.size, mirror=mirror)
        images, targets = how(cropped, batch.targets, num_classes)
        return replace(batch, images=images, targets=targets)

    return mix


def _policy(name: str, make: Callable[..., Transform], summary: str, paper: str) -> Policy:
    return Policy(
        name=name,
        build=partial(make, mirror=True),
        unmirrored=partial(make, mirror=False),
        mirrors=True,
        summary=f"standard, then {summary}",
        paper=paper,
    )


mixup = _policy(
    "mixup",
    partial(_mix, how=mixing.mixup),
    "blend each image with another by its own uniform share",
    "Zhang et al. 2017, arXiv:1710.09412",
)
cutmix = _policy(
    "cutmix",
    partial(_mix, how=mixing.cutmix),
    "paste a box of another into each image",
    "Yun et al. 2019, arXiv:1905.04899",
)
mixup_cutmix = _policy(
    "mixup+cutmix",
    partial(_mix, how=mixing.mixup_cutmix),
    "mixup for half of the images and cutmix for the others",
    "arXiv:1710.09412, arXiv:1905.04899",
)
randaugment = _policy(
    "randaugment",
    _randaugment,
    "two of 14 operations at magnitude 9 of 30",
    "Cubuk et al. 2019, arXiv:1909.13719",
)
trivialaugment = _policy(
    "trivialaugment",
    partial(_augment, plans=spaces.trivialaugment_plans),
    "one of 14 operations at any of 31 wide magnitudes",
    "Mueller and Hutter 2021, arXiv:2103.10158",
)
autoaugment_cifar = _policy(
    "autoaugment-cifar",
    partial(_augment, plans=spaces.autoaugment_cifar_plans),
    "one of the 25 sub-policies found on CIFAR-10",
    "Cubuk et al. 2018, table 7, arXiv:1805.09501",
)
