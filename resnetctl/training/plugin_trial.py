"""Trying what a plugin brings before a run begins: its mistakes would train to the end, or look like ours."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from resnetctl import registry
from resnetctl.data import policies
from resnetctl.models.resnet import build, minimum_size
from resnetctl.spec import Batch

if TYPE_CHECKING:
    from resnetctl.training.job import Job

DEEP = 2  # blocks of a stage: the first may halve, the others are alike
SIDE = 64  # pixels at most: a block that computes at all does so at any size
COUNT = 4  # images


def try_plugins(job: Job) -> None:
    """Use the block and the policy of a plugin once, on made-up images. The core's own are not tried.

    A module that draws or seeds while it is imported does so here, and decides nothing: torch's state is put back.

    Raises:
        PluginError: it fails, gives something else than it has to, or keeps weights that its state dict does not have.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        if registry.distribution_of("block", job.arch.block):
            _try_block(job)
        if registry.distribution_of("policy", job.config.augment):
            _try_policy(job)


def _try_block(job: Job) -> None:
    name = job.arch.block
    arch = dataclasses.replace(job.arch, depths=tuple(min(depth, DEEP) for depth in job.arch.depths))
    size = max(minimum_size(arch), min(SIDE, job.image.size))
    image = dataclasses.replace(job.image, size=size, resize=size)
    images = torch.rand(COUNT, image.channels, size, size)

    def answer(seed: int, state: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(seed)
        model = build(arch, classes=len(job.classes), image=image)
        model.train()(images)
        if state is not None:
            model.load_state_dict(state)
        return model.eval()(images), model.state_dict()

    with registry.guarded("block", name):
        first, state = answer(1)
        second, _ = answer(2, state)
    if not first.isfinite().all():
        raise registry.fault("block", name, problem="its output is not finite on ordinary images")
    if (first - second).abs().max() > 1e-4 * first.abs().max():
        differ = "two networks with the same weights differ: it keeps some that its state dict lacks"
        raise registry.fault("block", name, problem=differ)


def _try_policy(job: Job) -> None:
    name, image, classes = job.config.augment, job.image, len(job.classes)
    pixels = torch.randint(0, 256, (COUNT, image.resize, image.resize, image.channels), dtype=torch.uint8)
    place = torch.arange(COUNT)
    given = Batch(images=pixels.permute(0, 3, 1, 2), targets=place % classes, index=place, epoch=0, step=0)
    kept = given.images.clone()
    augment = policies.augmentation(name, image, num_classes=classes, mirror=job.mirror)
    found = augment(given)
    for seen in policies.complaints(given, found, image=image, classes=classes).values():
        raise registry.fault("policy", name, problem=seen)
    if not torch.equal(given.images, kept):
        raise registry.fault("policy", name, problem="it changed the images that it was given")
