"""Remove inner channels of residual blocks: how many, which ones, and the narrower network that is left.

Widths are multiples of 16, because onnxruntime's kernels work on 8 and 16 channels at once: other widths cost as much
as the next larger one, or more. So a layer of 16 channels stays as it is.
"""

import copy
import dataclasses
import math
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from resnetctl.compress.groups import Group, groups, remove, strength
from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.models import features
from resnetctl.models.channels import shape_of
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch, ImageSpec

MULTIPLE = 16
Widths = Mapping[str, tuple[int, int]]


def prunable(model: ResNet) -> Iterator[tuple[str, nn.Module, Group]]:
    """Yield the name of each block, the block, and each group of its channels that may go."""
    inputs, outputs = shape_of(model.conv1)[1], features.channels(model.arch)
    for stage in model.stages:
        for position, block in model.get_submodule(stage).named_children():
            yield from ((f"{stage}.{position}", block, group) for group in groups(block.eval(), inputs))
            inputs = outputs[stage]  # removing inner channels leaves them as they are


def left(group: Group, width: int, *, share: float) -> int:
    """Return the units that stay of a group with `width` channels: about `share`, and a multiple of 16 channels.

    A group that cannot have such a width keeps all its units.
    """
    size = width // group.units
    step = MULTIPLE // math.gcd(MULTIPLE, size)  # units whose channels are a multiple of 16
    steps = max(1, math.floor(share * group.units / step + 0.5))
    return min(group.units, steps * step)


def narrower(model: ResNet, share: float, *, image: ImageSpec) -> tuple[ResNet, dict[str, tuple[int, int]]]:
    """Return a new network with about this share of the inner channels, and `(before, after)` of each narrower layer.

    The channels that stay are those with the largest weights (`groups.strength`).

    Raises:
        UsageError: no channel can go.
    """
    cut, widths = copy.deepcopy(model), {}
    for name, block, group in prunable(model):
        target = cut.get_submodule(name)
        width = shape_of(block.get_submodule(group.source))[1]
        count = left(group, width, share=share)
        if count < group.units:
            order = strength(block, group).argsort(descending=True, stable=True)
            remove(target, group, kept=order[:count].sort().values)
            widths[f"{name}.{group.source}"] = (width, width // group.units * count)
    if not widths:
        raise UsageError(
            f"no channel of this network can go: widths stay multiples of {MULTIPLE}, and what cannot be proved stays",
            where=Setting("channels"),
            hint=Setting("speedup", 2, note="removes blocks"),
        )
    return _rebuilt(cut, image=image), widths


def channels_of(model: nn.Module, dense: nn.Module) -> dict[str, tuple[int, int, int]]:
    """Return the map of the layers of `model` that are narrower than those of `dense`."""
    parts = dict(model.named_modules())
    return {
        name: shape_of(parts[name])
        for name, module in dense.named_modules()
        if type(module) in (nn.Conv2d, nn.BatchNorm2d) and shape_of(parts[name]) != shape_of(module)
    }


def with_fewer_channels(arch: Arch) -> Arch:
    """Return the arch under a name that says so, since the network is no longer the published one."""
    name = f"{arch.name.removesuffix('-channels')}-channels"
    return dataclasses.replace(arch, name=name, params=None, summary="", paper="")


def _rebuilt(cut: ResNet, *, image: ImageSpec) -> ResNet:
    """Return the network of a cut one as a weights file will give it: from its arch and the map of its channels."""
    arch = with_fewer_channels(cut.arch)
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"):
            dense = build(arch, classes=cut.fc.out_features, image=image)
        channels = channels_of(cut, dense)
        made = build(arch, classes=cut.fc.out_features, image=image, channels=channels)
    made.load_state_dict(cut.state_dict())
    return made.eval()
