"""The trial of a plugin before a run begins: its mistake would otherwise train to the end, or look like ours."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from resnetctl import registry
from resnetctl.data import policies
from resnetctl.models.resnet import build, minimum_size
from resnetctl.spec import Arch, Batch, ImageSpec

DEEP = 2  # blocks of a stage: the first may halve, the others are alike
SIDE = 64  # pixels at most: a block that computes at all does so at any size
COUNT = 4  # images


def try_plugins(arch: Arch, policy: str, *, image: ImageSpec, classes: int, mirror: bool) -> None:
    """Use a plugin's block and policy once, on made-up images. The core's own are not tried.

    A plugin module may draw or seed random numbers while it is imported: torch's random state is put back afterwards.

    Raises:
        PluginError: it fails, returns what it must not, or keeps weights that its state dict lacks.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        if registry.distribution_of("block", arch.block):
            _try_block(arch, image=image, classes=classes)
        if registry.distribution_of("policy", policy):
            _try_policy(policy, image=image, classes=classes, mirror=mirror)


def _try_block(arch: Arch, *, image: ImageSpec, classes: int) -> None:
    name = arch.block
    arch = dataclasses.replace(arch, depths=tuple(min(depth, DEEP) for depth in arch.depths))
    size = max(minimum_size(arch), min(SIDE, image.size))
    image = dataclasses.replace(image, size=size, resize=size)
    images = torch.rand(COUNT, image.channels, size, size)

    def answer(seed: int, state: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(seed)
        model = build(arch, classes=classes, image=image)
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


def _try_policy(name: str, *, image: ImageSpec, classes: int, mirror: bool) -> None:
    pixels = torch.randint(0, 256, (COUNT, image.resize, image.resize, image.channels), dtype=torch.uint8)
    place = torch.arange(COUNT)
    batch = Batch(images=pixels.permute(0, 3, 1, 2), targets=place % classes, index=place, epoch=0, step=0)
    kept = batch.images.clone()
    augment = policies.augmentation(name, image, num_classes=classes, mirror=mirror)
    for problem in policies.complaints(batch, augment(batch), image=image, classes=classes).values():
        raise registry.fault("policy", name, problem=problem)
    if not torch.equal(batch.images, kept):
        raise registry.fault("policy", name, problem="it changed the images that it was given")
