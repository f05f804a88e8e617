"""The part of a network before its head, walked stage by stage, with the sizes that its modules read."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from resnetctl.spec import Arch

STEM = "stem"


class Trunk(Protocol):
    """A stem and its stages under torchvision's names: a `ResNet`, or a `Backbone`."""

    arch: Arch
    stages: tuple[str, ...]
    preactivation: bool
    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    norm: nn.Module

    def get_submodule(self, target: str) -> nn.Module:
        """Return the stage `target`."""
        ...


def walk(trunk: Trunk, images: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the stem's output before its pool, then the output of each stage, with their names.

    With pre-activation blocks all of them are raw sums: no norm and no ReLU.
    """
    outputs = trunk.conv1(images)
    if not trunk.preactivation:
        outputs = trunk.relu(trunk.bn1(outputs))
    yield STEM, outputs
    outputs = trunk.maxpool(outputs)
    for name in trunk.stages:
        outputs = trunk.get_submodule(name)(outputs)
        yield name, outputs


def in_channels(trunk: Trunk) -> int:
    """Return the channels of the images that the trunk reads."""
    return cast(nn.Conv2d, trunk.conv1).in_channels


def expected_reduction(trunk: Trunk) -> int:
    """Return the reduction of the last stage that follows from the arch: its stem's, doubled by each further stage."""
    stem = 4 if trunk.arch.stem == "imagenet" else 1
    return stem << len(trunk.arch.depths) - 1


def blank(trunk: Trunk, side: int) -> Tensor:
    """Return one image of zeros, `side` pixels a side, on the device of the trunk."""
    weight = cast(nn.Conv2d, trunk.conv1).weight
    return torch.zeros(1, in_channels(trunk), side, side, device=weight.device, dtype=weight.dtype)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode without gradients; leave each module in the mode that it had."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


@contextmanager
def watching(module: nn.Module, watch: Callable[[str, Tensor, Any], None]) -> Iterator[None]:
    """Call `watch(name, input, output)` after every submodule whose first input is `(N, C, H, W)`."""

    def hook(name: str) -> Callable[..., None]:
        def after(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0].dim() == 4:
                watch(name, inputs[0], output)

        return after

    handles = [part.register_forward_hook(hook(name)) for name, part in module.named_modules() if name]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def input_sides(module: nn.Module, run: Callable[[], object]) -> Mapping[str, int]:
    """Return the height in pixels that each submodule reads first while `run()` runs."""
    sides: dict[str, int] = {}

    def keep(name: str, inputs: Tensor, _: object) -> None:
        sides.setdefault(name, inputs.shape[2])

    with watching(module, keep):
        run()
    return sides
