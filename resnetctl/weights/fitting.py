"""What a state dict must have for an arch, and the arguments of the arch's block that would fit a file."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import suppress

import torch
from torch import Tensor

from resnetctl import registry
from resnetctl.config.arguments import own_arguments
from resnetctl.errors import ResnetctlError
from resnetctl.hints import Hint, Setting
from resnetctl.models.resnet import RESERVED, build
from resnetctl.spec import Arch, ImageSpec, Scalar

COUNTER = "num_batches_tracked"  # absent from files older than PyTorch 0.4.1, and used by no evaluation
TRIED = (*range(1, 10), 11, 13, 16, 32, 64)  # values of a whole number: kernels, groups, reductions, expansions


def expected_state(arch: Arch, *, classes: int, image: ImageSpec) -> dict[str, Tensor]:
    """Return the state dict of the arch, without memory. Raises as `models.resnet.build`."""
    with torch.device("meta"):
        return build(arch, classes=classes, image=image).state_dict()


def shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shape of each tensor but the counters, which old files do not have."""
    return {name: tensor.shape for name, tensor in state.items() if not name.endswith(COUNTER)}


def argument_hints(
    arch: Arch, state: Mapping[str, Tensor], *, expected: Mapping[str, Tensor], classes: int, image: ImageSpec
) -> list[Hint]:
    """Return hints at the block's arguments if only shapes inside blocks differ: those that fit, else all of them."""
    found, needed = shapes(state), shapes(expected)
    wrong = [name for name in needed if found.get(name) != needed[name]]
    if found.keys() != needed.keys() or not all(name.startswith("layer") for name in wrong):
        return []
    own = own_arguments(registry.get("block", arch.block), RESERVED)
    values = {
        name: arch.block_args.get(name, default) for name, default in own.items() if not isinstance(default, type)
    }
    for name, value in values.items():
        for other in _others(value):
            with suppress(ResnetctlError):  # the block refuses this value
                changed = dataclasses.replace(arch, block_args={**arch.block_args, name: other}, params=None)
                if shapes(expected_state(changed, classes=classes, image=image)) == found:
                    return [Setting(f"model.block_args.{name}", other, note="fits the file")]
    return [
        Setting(f"model.block_args.{name}", "OTHER", note=f"an argument of the block; now {value!r}")
        for name, value in values.items()
    ]


def _others(value: Scalar) -> Iterator[Scalar]:
    """Yield the values to try in place of a switch or a whole number."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (number for number in TRIED if number != value)
