"""Fold batch norms into the convolutions before them, for prediction: the same function in a third fewer passes.

In evaluation a norm scales and shifts each channel by constants, so the convolution's weights can contain them. A pair
is folded if torch.fx shows that only this norm reads this convolution's output. A block that fx cannot trace is not
changed, nor is a pair with anything unusual: plugins bring blocks of any kind.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from resnetctl.models.resnet import ResNet


def folded(model: ResNet) -> nn.Module:
    """Return a module that computes the same as `model` in evaluation, up to rounding. Both share tensors."""
    model.eval()
    blocks = {f"{stage}.{name}": block for stage in model.stages for name, block in _children(model, stage)}
    trunk = _fold(model, set(blocks.values()))
    if trunk is not model:  # a copy of the trunk, so its blocks can be replaced
        for name, block in blocks.items():
            trunk.set_submodule(name, _fold(block, set()))
    return trunk.eval()


def _children(model: ResNet, stage: str) -> list[tuple[str, nn.Module]]:
    return list(model.get_submodule(stage).named_children())


class _Tracer(fx.Tracer):
    """Trace calls down to torch's own layers and to `leaves`."""

    def __init__(self, leaves: set[nn.Module]) -> None:
        super().__init__()
        self.leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m in self.leaves or super().is_leaf_module(m, module_qualified_name)


def _fold(module: nn.Module, leaves: set[nn.Module]) -> nn.Module:
    """Return `module` with its pairs folded; the module itself if nothing can be folded safely."""
    kept = {part: dict(vars(part)) for part in module.modules()}
    try:
        graph = _Tracer(leaves).trace(module)
    except Exception:  # a plugin's forward may do anything with a proxy
        return module
    finally:  # a forward that stores a tensor in its module stored a proxy during the trace: undo it
        for part, values in kept.items():
            vars(part).clear()
            vars(part).update(values)
    tensors = [str(node.target) for node in graph.nodes if node.op == "get_attr"]  # that the forward reads directly
    pairs = [
        (conv, norm) for conv, norm in _pairs(graph, dict(module.named_modules())) if not _has_any(tensors, conv, norm)
    ]
    # fx turns a tensor that the forward creates into a constant, but it may differ from call to call
    if not (pairs or leaves) or any("_tensor_constant" in name for name in tensors):
        return module
    result = fx.GraphModule(module, graph)
    for conv, norm in pairs:
        name = str(conv.target)
        fused = fuse_conv_bn_eval(
            cast(nn.Conv2d, module.get_submodule(name)), cast(nn.BatchNorm2d, module.get_submodule(str(norm.target)))
        )
        result.set_submodule(name, fused)
        norm.replace_all_uses_with(conv)
        graph.erase_node(norm)
    result.recompile()
    result.delete_all_unused_submodules()
    return result


def _pairs(graph: fx.Graph, modules: dict[str, nn.Module]) -> list[tuple[fx.Node, fx.Node]]:
    """Return pairs of a convolution and the only norm that reads its output, each called once."""
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(modules[str(node.target)] for node in calls)
    pairs = []
    for norm in calls:
        conv: Any = norm.args[0] if len(norm.args) == 1 and not norm.kwargs else None
        if conv not in calls or len(conv.users) != 1:
            continue
        first, second = modules[str(conv.target)], modules[str(norm.target)]
        if _is_plain(first, nn.Conv2d) and _is_plain(second, nn.BatchNorm2d) and times[first] == times[second] == 1:
            pairs.append((conv, norm))
    return pairs


def _is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Return whether the module is exactly torch's class, in evaluation, without hooks; a norm must have statistics."""
    is_usual = not (module.training or module._forward_hooks or module._forward_pre_hooks)
    return type(module) is kind and is_usual and getattr(module, "running_mean", module) is not None


def _has_any(tensors: list[str], *nodes: fx.Node) -> bool:
    """Return whether one of the nodes' modules has one of the named tensors."""
    return any(name.startswith(f"{node.target}.") for name in tensors for node in nodes)
