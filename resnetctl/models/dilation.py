"""Dilate the last stages of a network, so that their features keep more pixels, and prove that the result is exact.

A network without the stride of its last stages, whose later windows are spread by the same factor r, computes the same
numbers at r times as many positions (Chen et al. 2016, arXiv:1606.00915, 3.1). So `dilated[..., ::r, ::r]` must equal
the strided output, the atrous identity. A block that breaks it would silently compute something else: it is refused.
"""

import copy
import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnetctl import registry
from resnetctl.errors import ConfigError, PluginError
from resnetctl.hints import Call, Setting
from resnetctl.models.layers import restyle
from resnetctl.models.resnet import block_arguments
from resnetctl.models.trunk import (
    Trunk,
    blank,
    evaluating,
    expected_reduction,
    in_channels,
    input_sides,
    walk,
    watching,
)

# Of the largest strided value, in float64. An exact block is at 1e-15 there, and below 1e-5 in float32. A gate that
# sees all pixels is at 1e-4 or more.
TOLERANCE = 1e-9


class SpreadAveragePool(nn.Module):
    """An average pool without stride whose window's pixels are `rate` apart; only pixels inside the image count."""

    def __init__(self, kernel: int, rate: int) -> None:
        super().__init__()
        self.kernel, self.rate = kernel, rate

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to the same shape; a window begins at its output's position."""
        reach = (self.kernel - 1) * self.rate
        return self._sums(F.pad(images, (0, reach, 0, reach))) / self._counts(images, reach)

    def _sums(self, padded: Tensor) -> Tensor:
        window = padded.new_ones(padded.shape[1], 1, self.kernel, self.kernel)
        return F.conv2d(padded, window, dilation=self.rate, groups=padded.shape[1])

    def _counts(self, images: Tensor, reach: int) -> Tensor:
        return self._sums(F.pad(torch.ones_like(images[:1, :1]), (0, reach, 0, reach)))

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows in the brackets."""
        return f"kernel={self.kernel}, rate={self.rate}"


class SpreadMaxPool(nn.Module):
    """A max pool without stride whose window's pixels are `rate` apart; torch's own refuses such paddings."""

    def __init__(self, kernel: int, rate: int, *, padding: int) -> None:
        super().__init__()
        self.kernel, self.rate = kernel, rate
        self.reach = (padding * rate, (kernel - 1 - padding) * rate)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to the same shape; pixels outside the image never win."""
        padded = F.pad(images, (*self.reach, *self.reach), value=-math.inf)
        return F.max_pool2d(padded, self.kernel, stride=1, dilation=self.rate)

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows in the brackets."""
        return f"kernel={self.kernel}, rate={self.rate}, reach={self.reach}"


@dataclass(frozen=True)
class Mismatch:
    """The first module that breaks the identity: its name, and how it differs."""

    module: str
    difference: str


def dilated(trunk: Any, output_stride: int) -> Any:
    """Return a copy of `trunk` whose features are at most `output_stride` times smaller than the images.

    Args:
        trunk: a `ResNet` or a `Backbone`, an `nn.Module` with the attributes of `Trunk`. It stays as it is.
        output_stride: the reduction of one of its stages, such as 8 or 16. The later stages keep that resolution.

    Raises:
        ConfigError: no stage has this reduction.
        PluginError: a block cannot be dilated exactly; names the block and the module.
    """
    reductions = stage_reductions(trunk)
    if output_stride not in reductions.values():
        strides = ", ".join(map(str, sorted(set(reductions.values()))))
        raise ConfigError(
            f"no stage of arch '{trunk.arch.name}' has the output stride {output_stride}",
            where=Setting("output_stride"),
            hint=f"its stages have {strides}",
        )
    late = [name for name, reduction in reductions.items() if reduction > output_stride]
    if not late:
        return trunk
    problem = None
    for spread in _ways(trunk):
        candidate = copy.deepcopy(trunk)
        if not spread(candidate, late, output_stride):
            continue
        problem = mismatch(trunk, candidate, rates={name: reductions[name] // output_stride for name in late})
        if problem is None:
            return candidate
    assert problem is not None
    raise _refusal(trunk, problem, output_stride)


def stage_reductions(trunk: Any) -> dict[str, int]:
    """Return the factor by which each stage's features are smaller than the images, read from a forward pass."""
    side = 4 * expected_reduction(trunk)
    with evaluating(trunk):
        return {name: side // output.shape[2] for name, output in walk(trunk, blank(trunk, side)) if name != "stem"}


def _ways(trunk: Trunk) -> Iterator[Any]:
    """Yield the ways to dilate, the block's own first."""
    block = registry.get("block", trunk.arch.block)
    if "dilation" in inspect.signature(block).parameters and "dilation" not in trunk.arch.block_args:
        yield _rebuild
    yield _spread_windows


def _rebuild(trunk: Any, late: list[str], output_stride: int) -> bool:
    """Build the late stages from blocks with their argument `dilation`, if these have the same parameters.

    As in torchvision, the first block of a stage has the rate of the stage before, the others twice that.
    """
    arch, rate = trunk.arch, 1
    block = registry.get("block", arch.block)
    for number, name in enumerate(trunk.stages):
        if name not in late:
            continue
        stage, width = trunk.get_submodule(name), arch.widths[number]
        for position, old in enumerate(stage):
            inner = block.expansion * arch.widths[number - 1 if position == 0 else number]
            arguments = block_arguments(block, arch, rates=trunk.rates, index=sum(arch.depths[:number]) + position + 1)
            new = block(inner, width, stride=1, dilation=rate, **arguments)
            restyle(new, activation=arch.activation, norm=arch.norm)
            if list(new.state_dict()) != list(old.state_dict()):  # without a stride it may have no projection
                return False
            stage[position] = _adopt(new, old)
            rate = rate * 2 if position == 0 else rate
    return True


def _adopt(new: nn.Module, old: nn.Module) -> nn.Module:
    """Give a new block the parameters, buffers and modes of the old one."""
    for name, source in old.named_modules():
        target = new.get_submodule(name)
        target._parameters, target._buffers, target.training = source._parameters, source._buffers, source.training
    return new


def _spread_windows(trunk: Any, late: list[str], output_stride: int) -> bool:
    """Take the strides out of the late stages; spread the windows of what lies behind a stride.

    A module that reads images h pixels high in the strided network, where the output stride has H, gets the rate H / h.
    """
    side = 4 * expected_reduction(trunk)
    height = side // output_stride
    with evaluating(trunk):
        sides = input_sides(trunk, lambda: list(walk(trunk, blank(trunk, side))))
    for name, module in list(trunk.named_modules()):
        if name.partition(".")[0] in late and sides.get(name, 1) > 1:  # 1: behind a global pool
            _spread(trunk, name, module, rate=max(1, height // sides[name]))
    return True


def _spread(trunk: nn.Module, name: str, module: nn.Module, *, rate: int) -> None:
    """Remove the stride of one module, and put its window's pixels `rate` apart."""
    stride = getattr(module, "stride", 1)
    is_strided = (max(stride) if isinstance(stride, tuple) else stride) > 1
    if isinstance(module, nn.AvgPool2d | nn.MaxPool2d):
        if pool := _spread_pool(module, rate):
            trunk.set_submodule(name, pool)
        return
    if is_strided:
        cast(Any, module).stride = (1, 1) if isinstance(stride, tuple) else 1
    if rate > 1 and isinstance(module, nn.Conv2d):
        module.dilation = _times(module.dilation, rate)
        if not isinstance(module.padding, str):
            module.padding = _times(module.padding, rate)


def _spread_pool(pool: nn.AvgPool2d | nn.MaxPool2d, rate: int) -> nn.Module | None:
    """Return the pool without stride; None if its window has another form than those that can be spread."""
    kernel, padding = pool.kernel_size, pool.padding
    if not isinstance(kernel, int) or not isinstance(padding, int):
        return None
    if isinstance(pool, nn.MaxPool2d):
        return SpreadMaxPool(kernel, rate, padding=padding)
    return SpreadAveragePool(kernel, rate) if padding == 0 else None


def _times(value: int | tuple[int, ...], factor: int) -> Any:
    return value * factor if isinstance(value, int) else tuple(number * factor for number in value)


def mismatch(strided: Any, candidate: Any, *, rates: dict[str, int]) -> Mismatch | None:
    """Return the first module of `candidate` that breaks the atrous identity; None if none does.

    The proof runs copies in float64, with random parameters from a fixed seed: a branch that training has not opened
    yet, such as a zero scale, must not hide a mistake.

    Args:
        rates: the late stages, with the factor by which the candidate has more pixels.
    """
    first, second = (copy.deepcopy(module).to_empty(device="cpu").double().eval() for module in (strided, candidate))
    generator = torch.Generator("cpu").manual_seed(0)
    reduction = expected_reduction(strided)
    side = 4 * reduction + reduction // 2  # even in the early stages, odd in the late ones
    images = torch.randn(2, in_channels(strided), side, side, generator=generator, device="cpu", dtype=torch.float64)
    _randomise(first, generator, images)
    second.load_state_dict(first.state_dict())
    wanted, _ = _outputs(first, images)
    values, failure = _outputs(second, images)
    stages = {stage: _difference(values.get(stage), wanted[stage], rate) for stage, rate in rates.items()}
    if not failure and not any(stages.values()):
        return None
    for name, value in values.items():
        rate = rates.get(name.partition(".")[0], 0)
        if rate and "." in name and name in wanted and (difference := _any_difference(value, wanted[name], rate)):
            return Mismatch(name, difference)
    stage, difference = next(((stage, text) for stage, text in stages.items() if text), ("", ""))
    return Mismatch(stage, failure or difference)


def _randomise(trunk: Any, generator: torch.Generator, images: Tensor) -> None:
    """Draw all numbers so that no branch and no scale is zero.

    Weights are drawn as He et al. 2015, but those behind a global pool are positive and average their inputs, and the
    norms measure their statistics on `images`: a gate must neither be dead nor saturated, or nobody would see that it
    reads other pixels.
    """
    for tensor in [*trunk.parameters(), *trunk.buffers()]:
        _fill(tensor, generator, is_gate=False)
    with evaluating(trunk):
        sides = input_sides(trunk, lambda: list(walk(trunk, images)))
    for name, module in trunk.named_modules():
        if isinstance(module, nn.Linear | nn.Conv1d) or (isinstance(module, nn.Conv2d) and sides.get(name) == 1):
            _fill(module.weight, generator, is_gate=True)
    with evaluating(trunk):
        for module in trunk.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train()
                module.momentum = 1.0
        list(walk(trunk, images))


def _fill(tensor: Tensor, generator: torch.Generator, *, is_gate: bool) -> None:
    fan_in = math.prod(tensor.shape[1:])
    with torch.no_grad():
        if not tensor.is_floating_point():
            tensor.zero_()
        elif is_gate:
            tensor.uniform_(0, 2 / fan_in, generator=generator)
        elif tensor.dim() > 1:
            tensor.normal_(0, math.sqrt(2 / fan_in), generator=generator)
        else:
            tensor.uniform_(0.5, 1.5, generator=generator)


def _outputs(trunk: Any, images: Tensor) -> tuple[dict[str, Tensor], str]:
    """Return the first output of every module, in order, and the first line of an error, "" if there was none."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, _: Tensor, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            outputs.setdefault(name, output.clone())  # in-place layers change it later

    with evaluating(trunk), watching(trunk, keep):
        try:
            list(walk(trunk, images))
        except Exception as error:  # the code of any block
            return outputs, str(error).partition("\n")[0] or type(error).__name__
    return outputs, ""


def _any_difference(value: Tensor, wanted: Tensor, rate: int) -> str:
    """As `_difference`, for a module inside a stage: the rate may not yet apply, or lie between 1 and `rate`."""
    factor = max(1, min(rate, round(value.shape[2] / wanted.shape[2])))
    return _difference(value, wanted, factor)


def _difference(value: Tensor | None, wanted: Tensor, rate: int) -> str:
    """Return how the dilated output differs from the strided one, "" if it does not."""
    if value is None:
        return "it did not run"
    thinned = value[..., ::rate, ::rate]
    if thinned.shape != wanted.shape:
        return f"it gives {value.shape[2]} x {value.shape[3]} pixels for {wanted.shape[2]} x {wanted.shape[3]}"
    share = float((thinned - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))
    return "" if share <= TOLERANCE else f"it differs by {share:.2g} of the largest value"


def _refusal(trunk: Trunk, problem: Mismatch, output_stride: int) -> PluginError:
    return PluginError(
        f"block '{trunk.arch.block}' cannot be dilated exactly for output stride {output_stride}: "
        f"{problem.module}: {problem.difference}",
        where=f"arch '{trunk.arch.name}'",
        hint=[
            Setting("output_stride", None, note="leave it out: the strided features are exact"),
            Call("plugins show", (trunk.arch.block,)),
        ],
    )
