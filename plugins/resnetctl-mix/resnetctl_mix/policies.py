"""The registered policies. Each first pads, crops and mirrors as `standard` does, like its paper on CIFAR."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor

from resnetctl.spec import Batch, ImageSpec, Policy
from resnetctl_mix import mixing, ops, spaces
from resnetctl_mix.apply import apply
from resnetctl_mix.crops import crop_and_mirror

Transform = Callable[[Batch], Batch]
Plans = Callable[[int], tuple[spaces.Plan, ...]]
Mixing = Callable[..., tuple[Tensor, Tensor]]


def _augment(image: ImageSpec, num_classes: int, *, plans: Plans, mirror: bool) -> Transform:
    _require_colours(image)
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


def _require_colours(image: ImageSpec) -> None:
    if image.channels not in (1, 3):
        raise ValueError(f"colour operations are for 1 or 3 channels, not {image.channels}")


def _table(plans: Plans, size: int, device: torch.device) -> spaces.Space:
    return spaces.tabulate(plans(size), size, device=device)


def _mix(image: ImageSpec, num_classes: int, *, how: Mixing, mirror: bool, alpha: float = 1.0) -> Transform:
    """`alpha` is that of the Beta distribution of the shares: near 0, most images are hardly mixed."""
    if alpha <= 0:
        raise ValueError(f"alpha is {alpha:g}, not above 0")

    def mix(batch: Batch) -> Batch:
        cropped = crop_and_mirror(batch, size=image.size, mirror=mirror)
        images, share = how(cropped, alpha=alpha)
        targets = mixing.mix_targets(batch.targets, share, num_classes=num_classes)
        vectors = None if batch.vectors is None else mixing.mix_vectors(batch.vectors, share)
        return replace(batch, images=images, targets=targets, vectors=vectors)

    return mix


def _jitter(
    image: ImageSpec,
    num_classes: int,
    *,
    mirror: bool,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
) -> Transform:
    """Each argument is the largest change: a factor is uniform in `1 - x` to `1 + x`."""
    changes = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, change in changes.items():
        if not 0 <= change <= 1:
            raise ValueError(f"{name} is {change:g}, not in 0..1")
    _require_colours(image)

    def jitter(batch: Batch) -> Batch:
        images = crop_and_mirror(batch, size=image.size, mirror=mirror)
        for name, change in changes.items():
            if change:
                factor = torch.empty(len(images), device=images.device).uniform_(1 - change, 1 + change)
                images = getattr(ops, name)(images, factor)
        return replace(batch, images=images.contiguous(memory_format=torch.channels_last))

    return jitter


def _erasing(
    image: ImageSpec,
    num_classes: int,
    *,
    mirror: bool,
    probability: float = 0.25,
    smallest: float = 0.02,
    largest: float = 0.33,
    ratio: float = 3.3,
) -> Transform:
    """Areas are shares of the image, uniform in `smallest` to `largest`; `ratio` is the largest of height to width."""
    if not 0 <= probability <= 1:
        raise ValueError(f"probability is {probability:g}, not in 0..1")
    if not 0 < smallest <= largest <= 1:
        raise ValueError(f"areas are {smallest:g} to {largest:g}, not rising shares of the image")
    if ratio < 1:
        raise ValueError(f"ratio is {ratio:g}, not 1 or more")

    colour = cache(partial(_mean_colour, image))  # one for each device: a copy stalls it

    def erase(batch: Batch) -> Batch:
        images = crop_and_mirror(batch, size=image.size, mirror=mirror)
        count, device = len(images), images.device
        area = torch.empty(count, device=device).uniform_(smallest, largest)
        shape = torch.empty(count, device=device).uniform_(-math.log(ratio), math.log(ratio)).exp()
        sides = torch.stack([(area * shape).sqrt(), (area / shape).sqrt()]) * image.size
        sides = sides.round().clamp(1, image.size)
        starts = (torch.rand(2, count, device=device) * (image.size - sides + 1)).floor()
        inside = [_inside(starts[axis], sides[axis], size=image.size) for axis in range(2)]
        chosen = torch.rand(count, device=device) < probability
        hidden = (inside[0][:, :, None] & inside[1][:, None, :] & chosen[:, None, None])[:, None]
        # with bit operations, as `mixing.paste`: they keep the strides, and CPUs do many bytes at once
        change = (images ^ colour(device)) & hidden.to(torch.uint8).mul_(255)
        return replace(batch, images=images.bitwise_xor_(change))  # the crops are new tensors

    return erase


def _inside(start: Tensor, side: Tensor, *, size: int) -> Tensor:
    """Return which of `size` places lie in each range, bool `(N, size)`."""
    place = torch.arange(size, device=start.device)
    return (place >= start[:, None]) & (place < (start + side)[:, None])


def _mean_colour(image: ImageSpec, device: torch.device) -> Tensor:
    levels = torch.tensor([round(255 * value) for value in image.mean], dtype=torch.uint8, device=device)
    return levels[:, None, None]


def _policy(name: str, make: Callable[..., Transform], summary: str, paper: str) -> Policy:
    return Policy(
        name=name,
        build=partial(make, mirror=True),
        unmirrored=partial(make, mirror=False),
        mirrors=True,
        summary=f"standard, then {summary}",
        paper=paper,
        moves=("vectors",),
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
color_jitter = _policy(
    "color-jitter",
    _jitter,
    "change brightness, contrast and saturation at random",
    "Krizhevsky et al. 2012; ranges as in torchvision's ColorJitter and SimCLR, arXiv:2002.05709",
)
erasing = _policy(
    "erasing",
    _erasing,
    "hide a box of the mean colour in a quarter of the images",
    "Zhong et al. 2017, arXiv:1708.04896",
)
