"""Changes to a trained network before it learns something else: a new head, other channels, frozen parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from resnetctl.errors import UsageError
from resnetctl.hints import Setting, suggest
from resnetctl.models.resnet import ResNet


@dataclass(frozen=True, kw_only=True)
class HeadSwap:
    """What `swap_head` did: class names in the order of their outputs."""

    kept: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]


def swap_head(model: ResNet, *, old: Sequence[str], new: Sequence[str]) -> HeadSwap:
    """Replace `model.fc` by one for the classes `new`.

    A class in both lists keeps its weights, whatever its place; the others start fresh (torch's default
    initialisation, from the global generator). Device, dtype and `requires_grad` stay.
    """
    before = model.fc
    if before.out_features != len(old):
        raise ValueError(f"the head has {before.out_features} outputs, but {len(old)} class names were given")
    fc = nn.Linear(before.in_features, len(new), device=before.weight.device, dtype=before.weight.dtype)
    rows = {name: row for row, name in enumerate(old)}
    with torch.no_grad():
        for row, name in enumerate(new):
            if name in rows:
                fc.weight[row] = before.weight[rows[name]]
                fc.bias[row] = before.bias[rows[name]]
    fc.requires_grad_(before.weight.requires_grad)
    model.fc = fc.train(before.training)
    return HeadSwap(
        kept=tuple(name for name in new if name in rows),
        new=tuple(name for name in new if name not in rows),
        dropped=tuple(name for name in old if name not in set(new)),
    )


def adapt_input(model: ResNet, channels: int) -> None:
    """Make the first convolution read `channels` channels, with the same output for images of equal channels.

    The sum of the kernels over channels stays. Going to one channel, they are summed; going from one, each new channel
    gets an equal share; otherwise the kernels repeat in turn, scaled.
    """
    conv = model.conv1
    if conv.in_channels == channels:
        return
    weight = conv.weight.detach()
    turns = torch.arange(channels, device=weight.device) % conv.in_channels
    times = torch.bincount(turns, minlength=conv.in_channels)[turns].view(1, -1, 1, 1)
    left_out = weight[:, channels:].sum(dim=1, keepdim=True)  # fewer channels than before: spread the rest over all
    adapted = weight[:, turns] / times + left_out / channels
    conv.in_channels = channels
    conv.weight = nn.Parameter(adapted.contiguous(), requires_grad=conv.weight.requires_grad)


def freeze(model: ResNet, names: str) -> tuple[nn.Module, ...]:
    """Switch off the gradients of the parts that `names` lists, and return their modules.

    Keep the returned modules in `eval()`, so that their batch-norm statistics stay, too.

    Args:
        names: `none`, `backbone` (all but the head) or parts such as `stem,layer1`.

    Raises:
        UsageError: the network has no such part; the error lists its parts.
    """
    parts = model.parts()
    chosen = _parse(names, parts)
    modules = tuple(module for name in chosen for module in parts[name])
    for module in modules:
        module.requires_grad_(False)
    return modules


def _parse(names: str, parts: Mapping[str, object]) -> list[str]:
    """Part names without repetition, in the order of the network."""
    asked = [name.strip() for name in names.split(",") if name.strip()]
    if asked in ([], ["none"]):
        return []
    groups = {"backbone": [name for name in parts if name != "head"]}
    wanted: set[str] = set()
    for name in asked:
        if name not in parts and name not in groups:
            raise UsageError(
                f"the network has no part '{name}'",
                where=Setting("freeze"),
                hint=[suggest(name, [*parts, *groups]), f"parts: none, backbone, {', '.join(parts)}"],
            )
        wanted.update(groups.get(name, [name]))
    return [name for name in parts if name in wanted]
