"""Sizes that a network cannot train on: images too small for the arch, and one image a step for batch norm."""

import copy
import math
from collections.abc import Iterable

import torch
from torch import nn

from resnetctl.errors import ConfigError
from resnetctl.hints import Setting
from resnetctl.models.resnet import ResNet, minimum_size
from resnetctl.spec import Arch


def require_statistics(model: nn.Module, frozen: Iterable[nn.Module], *, channels: int, side: int) -> None:
    """Raise `ConfigError` when steps of one image leave a batch norm with one value per channel, so no variance.

    Runs a classifier without numbers, on torch's meta device. A network with a head is not judged.

    Args:
        frozen: modules of the network whose statistics stay.
        channels, side: of the first images.
    """
    if not isinstance(model, ResNet):
        return
    shape, still = copy.deepcopy((model, tuple(frozen)))
    shape.to("meta").train()
    for module in still:
        module.eval()
    try:
        shape(torch.empty(1, channels, side, side, device="meta"))
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise ConfigError(
                f"batch norm cannot train on one image per step: a layer of arch '{model.arch.name}' has one pixel for "
                f"images of {side} px, so each channel has one value",
                where=Setting("batch_size", 1),
                hint=[
                    Setting("batch_size", 2, note="or more"),
                    Setting("size", 2 * side, note="or larger images"),
                    Setting("model.norm", "group", note="or a norm that takes one image, in a new network"),
                ],
            ) from None
        raise


def require_first_size(arch: Arch, *, first: int, size: int, unit: int) -> None:
    """Raise `ConfigError` when the first images of progressive resizing are too small for the arch.

    Args:
        first, size: sides of the first images and of the last ones, in pixels.
        unit: sides are multiples of it.
    """
    least = minimum_size(arch)
    if first < least <= size:
        enough = min(size, unit * math.ceil(least / unit))
        raise ConfigError(
            f"progressive resizing begins with images of {first} px, and arch '{arch.name}' needs at least {least} px",
            where=Setting("progressive.initial_scale"),
            hint=Setting("progressive.initial_scale", math.ceil(100 * enough / size) / 100),
        )
