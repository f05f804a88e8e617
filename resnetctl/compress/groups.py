"""Which inner channels of a block may go: proved by tracing the block with torch.fx, and by removing some.

The channels that one convolution writes may go if a chain of layers alone reads them, and each keeps channels apart: a
batch norm, an activation that maps zero to zero, a depthwise or a grouped convolution. The chain ends with the
convolution that mixes them. A sum, a concatenation, a gate, a second reader: the channels stay. A grouped convolution
loses whole groups.

A block that cannot be traced may name its chains itself: `prunable = {"conv1": ("bn1", "relu", "conv2")}`.

torch.fx patches `nn.Module` for the whole process while it traces, so nothing here runs beside predictions.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from resnetctl.models.channels import shape_of

ZERO_TO_ZERO = (
    nn.Identity, nn.Dropout, nn.Dropout2d, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Hardswish, nn.ELU,
    nn.Mish, nn.Tanh,
)  # fmt: skip
FUNCTIONS = (F.relu, F.relu6, F.leaky_relu, F.silu, F.gelu, F.hardswish, F.elu, torch.relu, torch.relu_, torch.tanh)
METHODS = ("relu", "relu_", "tanh")
TOLERANCE = 1e-5  # of the largest value, between the cut block and the masked one
BATCH = 2  # images of the proof
SIDE = 8  # pixels


@dataclass(frozen=True, kw_only=True)
class Group:
    """Channels that may go together.

    Attributes:
        source: the convolution that writes them.
        between: norms, and depthwise or grouped convolutions, in the order of the data.
        reader: the convolution that mixes them.
        units: parts of equal size that can be removed, one by one.
    """

    source: str
    between: tuple[str, ...]
    reader: str
    units: int

    @property
    def members(self) -> tuple[str, ...]:
        """All layers whose shape changes."""
        return self.source, *self.between, self.reader


def groups(block: nn.Module, in_channels: int) -> list[Group]:
    """Return the groups of a block that are proved. The block must be in evaluation mode, on the CPU.

    Args:
        in_channels: channels of its input.
    """
    chains = declared(block) or _traced(block)
    found = [group for chain in chains if (group := _group(block, chain)) is not None]
    images = torch.randn(BATCH, in_channels, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    apart = [group for group in found if not set(group.members) & _shared(found, group)]
    return [group for group in apart if group.units > 1 and gap(block, group, images=images) <= TOLERANCE]


def gap(block: nn.Module, group: Group, *, images: Tensor) -> float:
    """Return how far the block without every second unit is from the block whose reader masks them, relatively.

    Both have other weights than the block, because those of a new block may hide a mistake: a norm may begin at zero.
    """
    kept = torch.arange(0, group.units, 2)
    masked = _shaken(block)
    cut = copy.deepcopy(masked)
    reader = masked.get_submodule(group.reader)
    assert isinstance(reader, nn.Conv2d)
    gone = torch.ones(reader.in_channels, dtype=torch.bool)
    gone[_channels(kept, units=group.units, width=reader.in_channels)] = False
    with torch.no_grad():
        reader.weight[:, gone] = 0
        remove(cut, group, kept=kept)
        try:
            wanted = masked(images)
            apart = (wanted - cut(images)).abs().max()
        except Exception:  # a layer outside the chain reads these channels, and a plugin may raise anything then
            return float("inf")
    return float(apart / wanted.abs().max().clamp(min=1e-6))


def _shaken(block: nn.Module) -> nn.Module:
    """Return a copy with every parameter and statistic changed at random."""
    twin, generator = copy.deepcopy(block), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        for buffer in twin.buffers():
            if buffer.is_floating_point():
                buffer.mul_(1 + 0.1 * torch.rand(buffer.shape, generator=generator))
    return twin


def remove(block: nn.Module, group: Group, *, kept: Tensor) -> None:
    """Keep these units of a group, int64 `(U,)` ascending, in place."""
    for name in group.members:
        module = block.get_submodule(name)
        reads, writes = name != group.source, name != group.reader
        inputs, outputs, channel_groups = shape_of(module)
        rows = _channels(kept, units=group.units, width=outputs) if writes else torch.arange(outputs)
        columns = _channels(kept, units=group.units, width=inputs) if reads else torch.arange(inputs)
        if isinstance(module, nn.Conv2d) and channel_groups > 1:
            _keep_groups(module, rows, share=len(kept) / group.units)
        elif isinstance(module, nn.Conv2d):
            module.in_channels, module.out_channels = len(columns), len(rows)
            _replace(module, {"weight": module.weight[rows][:, columns]}, rows=rows)
        elif isinstance(module, nn.BatchNorm2d):
            module.num_features = len(rows)
            _replace(module, {}, rows=rows)


def strength(block: nn.Module, group: Group) -> Tensor:
    """Return the L2 norm of all weights of each unit, float32 `(units,)` (group norm, Fang et al. 2023).

    arXiv:2301.12900. A unit whose writers and readers are all small changes the output least.
    """
    total = torch.zeros(group.units)
    for name in group.members:
        module = block.get_submodule(name)
        weight = module.get_parameter("weight").detach().float()
        per_channel = weight.transpose(0, 1) if name == group.reader else weight
        total += per_channel.reshape(group.units, -1).square().sum(1)
    return total.sqrt()


def _keep_groups(module: nn.Conv2d, rows: Tensor, *, share: float) -> None:
    """Cut a grouped convolution to whole groups: its columns are those of a group, and stay."""
    module.groups = round(module.groups * share)
    module.in_channels = round(module.in_channels * share)
    module.out_channels = len(rows)
    _replace(module, {"weight": module.weight[rows]}, rows=rows)


def _replace(module: nn.Module, ready: Mapping[str, Tensor], *, rows: Tensor) -> None:
    """Replace the tensors of a layer: by the `ready` ones, and all others by their rows."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        value = ready[name] if name in ready else parameter[rows]
        setattr(module, name, nn.Parameter(value.detach().clone(), requires_grad=parameter.requires_grad))
    for name, buffer in list(module.named_buffers(recurse=False)):
        if buffer.dim():
            setattr(module, name, buffer[rows].clone())


def _channels(kept: Tensor, *, units: int, width: int) -> Tensor:
    """Return the channels of units: those of one unit lie side by side."""
    size = width // units
    return (kept[:, None] * size + torch.arange(size)).reshape(-1)


def declared(block: nn.Module) -> list[tuple[str, ...]]:
    """Return the chains that the class names, unless a subclass has replaced the `forward` that they are about."""
    owner = next(kind for kind in type(block).__mro__ if vars(kind).keys() & {"prunable", "forward"})
    named: Mapping[str, Sequence[str]] = vars(owner).get("prunable", {})
    return [(source, *rest) for source, rest in named.items()]


def _traced(block: nn.Module) -> list[tuple[str, ...]]:
    """Return the chains of layers from each convolution to the next, [] for a block that cannot be traced."""
    try:
        graph = fx.Tracer().trace(block)
    except Exception:  # a plugin's forward may do anything with a value that is not there yet
        return []
    nodes = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(block.get_submodule(str(node.target)) for node in nodes)
    chains = []
    for node in nodes:
        if type(block.get_submodule(str(node.target))) is nn.Conv2d:
            chain = tuple(_followed(node, block))
            called = [block.get_submodule(name) for name in chain]
            if all(times[module] == 1 or isinstance(module, ZERO_TO_ZERO) for module in called):
                chains.append(chain)
    return chains


def _followed(node: fx.Node, block: nn.Module) -> Iterator[str]:
    """Yield the names of the layers from a convolution on, while one layer alone reads the channels."""
    yield str(node.target)
    while len(node.users) == 1:
        node = next(iter(node.users))
        if len(node.all_input_nodes) != 1:
            return
        if node.op == "call_module":
            yield str(node.target)
            module = block.get_submodule(str(node.target))
            if type(module) is nn.Conv2d and module.groups == 1:
                return
        elif not (
            (node.op == "call_function" and node.target in FUNCTIONS)
            or (node.op == "call_method" and node.target in METHODS)
        ):
            return


def _group(block: nn.Module, chain: Sequence[str]) -> Group | None:
    """Return the group of a chain of layers, None if one of them may mix its channels before the end."""
    parts = dict(block.named_modules())
    source = parts.get(chain[0])
    if type(source) is not nn.Conv2d or source.groups != 1 or _is_renamed(source):
        return None
    units = source.out_channels
    between: list[str] = []
    for name in chain[1:]:
        module = parts.get(name)
        if type(module) is nn.Conv2d and not _is_renamed(module):
            if module.groups == 1:
                return Group(source=chain[0], between=tuple(between), reader=name, units=units)
            fewer, more = sorted((units, module.groups))
            if more % fewer:
                return None
            units = fewer
            between.append(name)
        elif type(module) is nn.BatchNorm2d:
            between.append(name)
        elif type(module) not in ZERO_TO_ZERO:
            return None
    return None


def _is_renamed(module: nn.Module) -> bool:
    """Return whether the layer's weight is computed from others (weight norm, spectral norm), which cannot be cut."""
    return hasattr(module, "parametrizations") or "weight" not in module._parameters


def _shared(all_groups: Sequence[Group], own: Group) -> set[str]:
    """Return the layers that another group cuts on the same side."""
    others = [group for group in all_groups if group is not own]
    return {name for group in others for name in (group.source, *group.between)} & {own.source, *own.between}
