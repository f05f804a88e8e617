"""Changes to a network before training: a new head, other input channels, first weights, frozen parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnetctl import registry
from resnetctl.errors import ConfigError, UsageError
from resnetctl.hints import Setting, suggest
from resnetctl.models.resnet import ResNet


@dataclass(frozen=True, kw_only=True)
class HeadSwap:
    """The result of `swap_head`: class names in the order of their outputs."""

    kept: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]


def swap_head(model: ResNet, *, old: Sequence[str], new: Sequence[str]) -> HeadSwap:
    """Replace `model.fc` by one for the classes `new`.

    A class in both lists keeps its weights, also at another position. The others start fresh (torch's default
    initialisation, from the global generator). Device, dtype and `requires_grad` stay.

    Raises:
        ValueError: the head has not as many outputs as `old` has names.
    """
    before = model.fc
    if before.out_features != len(old):
        raise ValueError(f"the head has {before.out_features} outputs, but {len(old)} class names are in `old`")
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
    """Make the first convolution read `channels` channels; an image with equal channels keeps its output.

    The sum of the kernels over channels stays the same. To one channel, the kernels are summed; from one channel, each
    new channel gets an equal share; otherwise the kernels repeat in turn, scaled.
    """
    conv = model.conv1
    if conv.in_channels == channels:
        return
    weight = conv.weight.detach()
    sources = torch.arange(channels, device=weight.device) % conv.in_channels  # old channel of each new channel
    repeats = torch.bincount(sources, minlength=conv.in_channels)[sources].view(1, -1, 1, 1)
    left_out = weight[:, channels:].sum(dim=1, keepdim=True)  # if channels are dropped: spread their kernels over all
    adapted = weight[:, sources] / repeats + left_out / channels
    conv.in_channels = channels
    conv.weight = nn.Parameter(adapted.contiguous(), requires_grad=conv.weight.requires_grad)


def zero_branches(model: ResNet) -> None:
    """Set the last scale of every residual branch to zero, so each block begins as its shortcut (Goyal et al. 2017).

    The network then begins shallow and grows as it learns, which allows higher learning rates (arXiv:1706.02677, 5.1).
    A block names the module at the end of its branch in `branch_end`: a norm, or a convolution in pre-activation.

    Raises:
        ConfigError: the block does not name it.
    """
    for name in model.stages:
        for block in model.get_submodule(name).children():
            end = getattr(block, "branch_end", "")
            if not end:
                raise ConfigError(
                    f"block '{model.arch.block}' does not say where its branch ends: it has no 'branch_end'",
                    where=Setting("model.zero_init"),
                    hint=Setting("model.zero_init", False),
                )
            nn.init.zeros_(block.get_parameter(f"{end}.weight"))


def initialise(model: ResNet, name: str, *, images: Tensor) -> None:
    """Give the network the first weights of the init `name`, which reads normalised train images `(N, C, S, S)`.

    Raises:
        ConfigError: the init refuses this network.
        PluginError: the init fails, or leaves a network that cannot be trained.
    """
    model.eval()  # a forward pass of the init must not change the statistics of the norms
    with registry.guarded("init", name), torch.no_grad():
        try:
            registry.get("init", name)(model, images)
        except ValueError as error:
            reason = f"init '{name}' refuses this network: {error}"
            raise ConfigError(reason, where=Setting("model.init"), hint=Setting("model.init", "")) from None
    bad = [key for key, value in model.named_parameters() if not value.isfinite().all()]
    if bad or not any(parameter.requires_grad for parameter in model.parameters()):
        problem = f"{bad[0]} is NaN or infinite" if bad else "no parameter is left to train"
        raise registry.fault("init", name, problem=problem)


def freeze(parts: Mapping[str, Sequence[nn.Module]], names: str) -> tuple[nn.Module, ...]:
    """Switch off the gradients of the parts in `names`, and return their modules.

    Keep the returned modules in `eval()`: in training mode their batch-norm statistics would still change.

    Args:
        parts: the modules of each part of a network, in its order.
        names: `none`, `backbone` (all but the head) or a list of parts such as `stem,layer1`.

    Raises:
        UsageError: the network has no such part; the error lists its parts.
    """
    chosen = _parse(names, parts)
    modules = tuple(module for name in chosen for module in parts[name])
    for module in modules:
        module.requires_grad_(False)
    return modules


def _parse(names: str, parts: Mapping[str, object]) -> list[str]:
    """Return the part names without repetition, in the order of the network."""
    listed = [name.strip() for name in names.split(",") if name.strip()]
    if listed in ([], ["none"]):
        return []
    groups = {"backbone": [name for name in parts if name != "head"]}
    wanted: set[str] = set()
    for name in listed:
        if name not in parts and name not in groups:
            raise UsageError(
                f"the network has no part '{name}'",
                where=Setting("freeze"),
                hint=[suggest(name, [*parts, *groups]), f"parts: none, backbone, {', '.join(parts)}"],
            )
        wanted.update(groups.get(name, [name]))
    return [name for name in parts if name in wanted]
