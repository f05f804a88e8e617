"""Fold batch norms into the convolutions before them, for prediction: the same function in a third fewer passes.

In evaluation a norm scales and shifts each channel by constants, so the convolution's weights can contain them. Which
norm reads which convolution is declared by the class whose `forward` calls them (`foldable`, see `spec.Block`). Nothing
is traced: torch.fx patches `nn.Module` for the whole process, and other threads may be predicting or training. A block
that declares nothing is not changed, nor is a pair with anything unusual: plugins bring blocks of any kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from copy import copy
from typing import cast

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from resnetctl.models.resnet import ResNet


def folded(model: ResNet) -> nn.Module:
    """Return a module that computes the same as `model` in evaluation, up to rounding. Both share tensors."""
    model.eval()
    blocks = {
        f"{stage}.{name}": block
        for stage in model.stages
        for name, block in model.get_submodule(stage).named_children()
    }
    return fold(_replaced(model, {name: fold(block) for name, block in blocks.items()}))


def fold(module: nn.Module) -> nn.Module:
    """Return a copy of a block, or of the trunk, with its pairs folded; the module itself if it has none.

    The module must be in evaluation mode. Tensors that do not change are shared.
    """
    parts: dict[str, nn.Module] = {}
    for conv, norm in _pairs(module):
        first, second = (module.get_submodule(name) for name in (conv, norm))
        parts[conv] = fuse_conv_bn_eval(cast(nn.Conv2d, first), cast(nn.BatchNorm2d, second))
        parts[norm] = nn.Identity().eval()
    return _replaced(module, parts) if parts else module


def _pairs(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of the declared pairs of an unchanged convolution and norm, each called once."""
    parts = dict(module.named_modules(remove_duplicate=False))
    times = Counter(parts.values())
    for conv, norm in _declared(module).items():
        first, second = parts.get(conv), parts.get(norm)
        if _is_plain(first, nn.Conv2d) and _is_plain(second, nn.BatchNorm2d) and times[first] == times[second] == 1:
            yield conv, norm


def _declared(module: nn.Module) -> dict[str, str]:
    """Return `foldable` of the class; {} if a subclass or the instance has replaced the `forward` that it is about."""
    if "forward" in vars(module):
        return {}
    owner = next(kind for kind in type(module).__mro__ if vars(kind).keys() & {"foldable", "forward"})
    return cast(dict[str, str], vars(owner).get("foldable", {}))


def _is_plain(module: nn.Module | None, kind: type[nn.Module]) -> bool:
    """Return whether the module is exactly torch's class, in evaluation, without hooks; a norm must have statistics."""
    if type(module) is not kind:
        return False
    is_usual = not (module.training or module._forward_hooks or module._forward_pre_hooks)
    return is_usual and getattr(module, "running_mean", module) is not None


def _replaced(module: nn.Module, parts: Mapping[str, nn.Module]) -> nn.Module:
    """Return a copy of `module` with the named submodules replaced. All others, and all tensors, are shared."""
    twin = copy(module)
    twin._modules = dict(module._modules)
    for name, part in parts.items():
        first, _, rest = name.partition(".")
        twin._modules[first] = _replaced(twin.get_submodule(first), {rest: part}) if rest else part
    return twin
