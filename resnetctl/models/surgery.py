"""Changes to a trained network before it learns something else: a new head, other channels, frozen parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from resnetctl.errors import UsageError, suggest
from resnetctl.models.resnet import ResNet


@dataclass(frozen=True, kw_only=True)
class HeadSwap:
    """What `swap_head` did, as class names in the order of their outputs."""

    kept: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]


def swap_head(model: ResNet, old: Sequence[str], new: Sequence[str]) -> HeadSwap:
    """Replace `model.fc` by one for the classes `new`.

    A class that both lists name keeps its weights wherever it stands; the others start fresh (torch's default
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
    """Make the first convolution read `channels` channels and answer as before to images that it can recognise.

    To one channel the kernels are summed: a grey image gets the answer of its RGB copy. From one, each new channel
    gets an equal share. Otherwise they are repeated in turn and scaled so that their sum over channels stays, so
    the mean response does too.
    """
    before = model.conv1
    if before.in_channels == channels:
        return
    weight = before.weight.detach()
    if channels == 1:
        adapted = weight.sum(dim=1, keepdim=True)
    else:
        turns = torch.arange(channels, device=weight.device) % before.in_channels
        repeated = weight[:, turns]
        share = torch.bincount(turns, minlength=before.in_channels)[turns]
        # channel i occurs share[i] times; what no new channel repeats (fewer channels than before) is spread over all
        left_out = weight[:, channels:].sum(dim=1, keepdim=True) / channels
        adapted = repeated / share.view(1, -1, 1, 1) + left_out
    model.conv1 = _with_weight(before, adapted)


def freeze(model: ResNet, names: str) -> tuple[nn.Module, ...]:
    """Switch gradients off for the parts that `names` lists and return their modules.

    The caller keeps the returned modules in `eval()`, so that their batch-norm statistics stay too.

    Args:
        names: `none`, `backbone` (all but the head) or parts such as `stem,layer1`.

    Raises:
        UsageError: a part that the network does not have; the error lists those that it has.
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
                where="--freeze",
                hint=[suggest(name, [*parts, *groups]), f"parts: none, backbone, {', '.join(parts)}"],
            )
        wanted.update(groups.get(name, [name]))
    return [name for name in parts if name in wanted]


def _with_weight(before: nn.Conv2d, weight: torch.Tensor) -> nn.Conv2d:
    """A convolution like `before` that holds `weight`."""
    with torch.device("meta"):  # its own initialisation would draw random numbers for nothing
        conv = nn.Conv2d(
            weight.shape[1],
            before.out_channels,
            (before.kernel_size[0], before.kernel_size[1]),
            stride=(before.stride[0], before.stride[1]),
            padding=before.padding if isinstance(before.padding, str) else (before.padding[0], before.padding[1]),
            bias=False,
        )
    conv.weight = nn.Parameter(weight.contiguous(), requires_grad=before.weight.requires_grad)
    return conv.train(before.training)
