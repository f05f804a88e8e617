"""Try a plugin's block and policy before a run. Otherwise a mistake would show after hours, or look like ours."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from resnetctl import registry
from resnetctl.data import policies
from resnetctl.models.resnet import build, minimum_size
from resnetctl.spec import Arch, Batch, ImageSpec

DEPTH = 2  # blocks a stage, at most: the first may halve the image, the others are alike
SIDE = 64  # pixels, at most: a block that works on small images works on large ones
COUNT = 4  # images a batch


def try_plugins(arch: Arch, policy: str, *, image: ImageSpec, classes: int, mirror: bool) -> None:
    """Use a plugin's block and policy once, on random images. Does not try those of the core.

    Restores torch's random state, because a plugin's module may draw or seed random numbers on import.

    Raises:
        PluginError: the plugin raises, returns wrong values, or keeps weights outside its state dict.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        if registry.distribution_of("block", arch.block):
            _try_block(arch, image=image, classes=classes)
        if registry.distribution_of("policy", policy):
            _try_policy(policy, image=image, classes=classes, mirror=mirror)


def _try_block(arch: Arch, *, image: ImageSpec, classes: int) -> None:
    name = arch.block
    arch = dataclasses.replace(arch, depths=tuple(min(depth, DEPTH) for depth in arch.depths))
    size = max(minimum_size(arch), min(SIDE, image.size))
    image = dataclasses.replace(image, size=size, resize=size)
    images = torch.rand(COUNT, image.channels, size, size)

    # Two networks with different first weights and one state dict: they differ if the state dict lacks a weight.
    def logits(seed: int, state: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(seed)
        model = build(arch, classes=classes, image=image)
        model.train()(images)
        if state is not None:
            model.load_state_dict(state)
        return model.eval()(images), model.state_dict()

    with registry.guarded("block", name):
        first, state = logits(1)
        second, _ = logits(2, state)
    if not first.isfinite().all():
        raise registry.fault("block", name, problem="its output is not finite on ordinary images")
    if (first - second).abs().max() > 1e-4 * first.abs().max():
        differ = "two networks with the same weights differ: its state dict lacks some weights"
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
        raise registry.fault("policy", name, problem="it changed its input images")
