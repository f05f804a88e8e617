"""What a run cannot do with its sizes: images too small for the arch, and batch norm on a batch of one image."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch

from resnetctl.errors import ConfigError
from resnetctl.hints import Setting
from resnetctl.models.resnet import minimum_size

if TYPE_CHECKING:
    from resnetctl.training.job import Job


def require_statistics(job: Job, model: torch.nn.Module, frozen: tuple[torch.nn.Module, ...]) -> None:
    """Raise `ConfigError` when steps of one image leave a batch norm with one value per channel, so no variance.

    Runs the network without numbers, on torch's meta device. An epoch never ends with one image: see `batch_rows`.
    """
    if job.config.batch_size > 1 or job.head is not None:
        return
    shape, still = copy.deepcopy((model, frozen))
    shape.to("meta").train()
    for module in still:
        module.eval()
    side = job.sides[0][1]
    try:
        shape(torch.empty(1, job.image.channels, side, side, device="meta"))
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise ConfigError(
                f"batch norm cannot train on one image per step: a layer of arch '{job.arch.name}' has one pixel for "
                f"images of {side} px, so each channel has one value",
                where=Setting("batch_size", 1),
                hint=[Setting("batch_size", 2, note="or more"), Setting("size", 2 * side, note="or larger images")],
            ) from None
        raise


def require_size(job: Job) -> None:
    """Raise `ConfigError` when the first images of progressive resizing are too small for the arch."""
    first, size, least = job.sides[0][1], job.image.size, minimum_size(job.arch)
    if first < least <= size:
        unit = job.config.progressive.size_increment
        enough = min(size, unit * math.ceil(least / unit))
        raise ConfigError(
            f"progressive resizing begins with images of {first} px, "
            f"and arch '{job.arch.name}' needs at least {least} px",
            where=Setting("progressive.initial_scale"),
            hint=Setting("progressive.initial_scale", math.ceil(100 * enough / size) / 100),
        )
